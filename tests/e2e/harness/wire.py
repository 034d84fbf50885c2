"""The event stream format as a client reads it: HTML standard, section 9.2.6, line by line and without haste."""

import re
from dataclasses import dataclass, field

OUR_ID = re.compile(r"ts[0-9A-Za-z]{14}-(?P<sequence>\d+)(?:\.(?P<upstream>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Event:
    type: str
    data: str
    id: str = ""


@dataclass
class Reading:
    """What a client makes of a stream so far. `lines` are whole lines, without their ends."""

    events: list = field(default_factory=list)
    comments: list = field(default_factory=list)
    retries: list = field(default_factory=list)
    ids: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    unfinished: str = ""


def read(body: bytes) -> Reading:
    text = body.decode("utf-8", errors="replace").removeprefix("\ufeff")
    *lines, rest = re.split(r"\r\n|\n|\r", text)
    reading = Reading(lines=lines, unfinished=rest)
    event_type, data, last_id = "", [], ""
    for line in lines:
        if line == "":
            if data:
                reading.events.append(Event(event_type or "message", "\n".join(data), last_id))
            event_type, data = "", []
        elif line.startswith(":"):
            reading.comments.append(line[1:])
        else:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                event_type = value
            elif name == "data":
                data.append(value)
            elif name == "id" and "\0" not in value:
                last_id = value
                reading.ids.append(value)
            elif name == "retry" and value.isascii() and value.isdigit():
                reading.retries.append(int(value))
    return reading


def is_ours(event_id: str) -> bool:
    return OUR_ID.fullmatch(event_id) is not None


def upstream_part(event_id: str):
    """The upstream's id within one of ours, or None."""
    match = OUR_ID.fullmatch(event_id)
    return match["upstream"] if match else None


def without_ids(events):
    return [(event.type, event.data) for event in events]


def without_additions(body: bytes, added_comments=(), retry=None) -> bytes:
    """The bytes less the lines the gateway says it adds: its own ids, its `retry`, and the given comments.

    Lines are taken out with their ends, so what is left can be compared with the upstream's bytes.
    """
    added = {f":{comment}".encode() for comment in added_comments} | {b"retry: %d" % retry if retry else b""} - {b""}
    our_id = re.compile(rb"id: ts[0-9A-Za-z]{14}-\d+(?:\.[^\r\n]*)?")
    kept = []
    for line in re.findall(rb"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+", body):
        text = line.rstrip(b"\r\n")
        if text not in added and not our_id.fullmatch(text):
            kept.append(line)
    return b"".join(kept)
