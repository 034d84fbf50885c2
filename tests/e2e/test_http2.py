"""HTTP/2 as strangers speak it: floods end, or cost nobody else anything; and who does not read holds up nobody."""

import contextlib
import socket
import ssl
import struct
import time

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from harness import certificate
from harness.wait import until
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MIB = 1024 * 1024


def head(path="/quiet", method="GET", more=()):
    return [
        (":method", method),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
        ("accept", "text/event-stream"),
        *more,
    ]


class Stranger:
    """A connection of frames, whatever they are."""

    def __init__(self, address, settings=None):
        self.socket = socket.create_connection(address, timeout=30)
        self.encoder = Encoder()
        self.got = b""
        self.send_bytes(PREFACE + SettingsFrame(0, settings=settings or {}).serialize())

    def send_bytes(self, data):
        """Whether all of it was taken."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def send(self, *frames):
        return self.send_bytes(b"".join(frame.serialize() for frame in frames))

    def headers(self, stream, flags=("END_HEADERS", "END_STREAM"), **options):
        return HeadersFrame(stream, self.encoder.encode(head(**options)), flags=list(flags))

    def reads(self):
        """Takes in what comes next; whether anything did."""
        piece = self.socket.recv(65536)
        self.got += piece
        return piece

    def ends(self, limit=30):
        """Reads on until the gateway closes, and gives the codes of what it said of that: GOAWAY, or resets."""
        self.socket.settimeout(limit)
        with contextlib.suppress(ConnectionError):
            while self.reads():
                pass
        return self.codes(7, 4)

    def frames(self, kind):
        """The payloads of all frames of this kind."""
        found, data = [], self.got
        while len(data) >= 9:
            length = int.from_bytes(data[:3], "big")
            if data[3] == kind:
                found.append(data[9 : 9 + length])
            data = data[9 + length :]
        return found

    def codes(self, kind, at):
        """The error codes in frames of this kind."""
        return [struct.unpack("!L", payload[at : at + 4])[0] for payload in self.frames(kind)]

    def close(self):
        self.socket.close()


HEADERS, RST_STREAM, SETTINGS = 1, 3, 4
PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 1, 11
ENABLE_CONNECT_PROTOCOL = 8


@pytest.fixture
def own(starlette, gateway):
    return gateway(starlette)


@pytest.fixture
def stranger(own):
    opened = []

    def connect(**options):
        opened.append(Stranger(own.address, **options))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def others_are_served(own):
    """The least of some tries, since whatever else runs here takes its time too."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        with httpx.stream("GET", own.url + "/quiet", headers={"Accept": "text/event-stream"}, timeout=30) as stream:
            next(stream.iter_raw())
        times.append(time.monotonic() - began)
    assert min(times) < 1


def test_who_opens_and_resets_streams_is_cut_off(own, stranger):
    """CVE-2023-44487."""
    one = stranger()
    for number in range(50):
        frames = []
        for stream in range(number * 400 + 1, number * 400 + 400, 2):
            frames += [one.headers(stream), RstStreamFrame(stream, error_code=8)]
        if not one.send(*frames):
            break
    assert one.ends() == [ENHANCE_YOUR_CALM]
    others_are_served(own)
    until(lambda: own.metric("sse_streams_active") == 0, "no stream to be left")


def test_a_head_without_an_end_is_cut_off(own, stranger):
    """CVE-2024-27316."""
    before = own.memory()
    one = stranger()
    one.send(one.headers(1, flags=["END_STREAM"]))
    block = one.encoder.encode([(f"x-{number}", "y" * 1000) for number in range(15)])
    sent = 0
    while sent < 64 * MIB and one.send(ContinuationFrame(1, block[:16384])):
        sent += 16384
    assert sent < 16 * MIB
    assert one.ends() in ([ENHANCE_YOUR_CALM], [])
    assert own.memory() - before < 8 * MIB
    others_are_served(own)


def test_a_head_that_is_too_large_is_refused(own, stranger):
    one = stranger()
    block = one.encoder.encode(head(more=[(f"x-{number}", "y" * 1000) for number in range(80)]))
    first, *rest = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    frames = [ContinuationFrame(1, piece) for piece in rest]
    frames[-1].flags.add("END_HEADERS")
    assert one.send(HeadersFrame(1, first, flags=["END_STREAM"]), *frames)
    until(lambda: one.reads() and one.frames(HEADERS), "an answer")
    (answer,) = one.frames(HEADERS)
    assert dict(Decoder().decode(answer))[":status"] == "431"
    others_are_served(own)


FLOODS = {
    "settings": lambda: SettingsFrame(0, settings={4: 65535}),
    "pings": lambda: PingFrame(0, opaque_data=b"12345678"),
    "empty data": lambda: DataFrame(1, b""),
    "window updates": lambda: WindowUpdateFrame(0, window_increment=1),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_by_who_reads_nothing_holds_little_and_costs_nobody_else(own, stranger, kind):
    others_are_served(own)
    before = own.memory()
    one = stranger()
    one.send(one.headers(1, flags=["END_HEADERS"], path="/v1/chat/completions", method="POST"))
    frames = FLOODS[kind]().serialize() * 1000
    one.socket.settimeout(3)
    sent = 0
    while sent < 200 and one.send_bytes(frames):
        sent += 1
    print(f"{kind}: {sent * 1000} frames taken")
    others_are_served(own)
    assert own.memory() - before < 8 * MIB


def test_websockets_over_it_are_refused(own, stranger):
    """RFC 8441: it is not announced, and an extended CONNECT is an error of its stream alone."""
    one = stranger()
    extended = [(":method", "CONNECT"), (":protocol", "websocket"), *head()[1:4]]
    one.send(HeadersFrame(1, one.encoder.encode(extended), flags=["END_HEADERS"]), one.headers(3))
    until(
        lambda: one.reads() and one.codes(RST_STREAM, 0) == [PROTOCOL_ERROR] and b"data: hello" in one.got,
        "the stream to be refused, and the other one to be answered",
    )
    announced = one.frames(SETTINGS)[0]
    assert ENABLE_CONNECT_PROTOCOL not in [announced[at + 1] for at in range(0, len(announced), 6)]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_does_not_read_one_of_a_hundred_streams_has_the_others_on_time(starlette, gateway, tmp_path, scheme):
    """Windows of 64 KiB, as browsers' of old had: one stream is never read, and the connection's window is kept open."""
    flags = []
    if scheme == "https":
        chain, key = certificate.make(tmp_path)
        flags = ["--tls-cert", chain, "--tls-key", key]
    own = gateway(starlette, *flags)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.increment_flow_control_window(16 * MIB)
    plain = socket.create_connection(own.address, timeout=30)
    if scheme == "https":
        context = ssl.create_default_context(cafile=chain)
        context.set_alpn_protocols(["h2"])
        plain = context.wrap_socket(plain, server_hostname="localhost")
    for number in range(100):
        # The one that is not read is filled at once.
        path = "/events?every=0&ids=off" if number == 0 else "/events?every=0.5&ping=60"
        connection.send_headers(2 * number + 1, head(path), end_stream=True)
    plain.sendall(connection.data_to_send())
    counts, last, gaps, stalled = {}, {}, [], 0
    began = time.monotonic()
    while time.monotonic() - began < 6:
        for event in connection.receive_data(plain.recv(262144)):
            if not isinstance(event, h2.events.DataReceived):
                continue
            stream, now = event.stream_id, time.monotonic()
            if stream == 1:
                stalled += len(event.data)
                continue
            connection.acknowledge_received_data(event.flow_controlled_length, stream)
            if b"data: " in event.data:
                counts[stream] = counts.get(stream, 0) + event.data.count(b"data: ")
                if stream in last:
                    gaps.append(now - last[stream])
                last[stream] = now
        plain.sendall(connection.data_to_send())
    plain.close()
    assert stalled == 65535
    assert len(counts) == 99 and min(counts.values()) >= 6
    assert sorted(gaps)[len(gaps) * 99 // 100] < 1.5
