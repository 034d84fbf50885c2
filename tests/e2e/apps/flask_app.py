"""A Flask application as people write it, and a few views that show one thing each. Runs under gunicorn (gthread)."""

import hashlib
import json
import time

from flask import Flask, Response, jsonify, redirect, request

from reqlog import CHINESE, PAGE, RequestLog, resume_from

app = Flask(__name__)
log = RequestLog()


def event_stream(chunks):
    """The view's stream, logged when it opens and when the server gives it up."""
    entry = log.open(request.args, request.headers)

    def logged():
        try:
            yield from chunks
        finally:
            log.close(entry)

    return Response(logged(), mimetype="text/event-stream", headers={"cache-control": "no-cache"})


@app.get("/stream")
def stream():
    """One event a second, for a user; goes on where the client left off."""
    user = request.args["user_id"]
    first = resume_from(request.headers.get("Last-Event-ID"))
    every = float(request.args.get("every", 1))

    def events():
        number = first
        while True:
            data = json.dumps({"user": user, "count": number, "text": CHINESE}, ensure_ascii=False)
            yield f"id: {number}\nevent: add\ndata: {data}\n\n"
            number += 1
            time.sleep(every)

    return event_stream(events())


@app.get("/plain")
def plain():
    """What most views look like: data, and nothing else."""
    every = float(request.args.get("every", 1))
    count = int(request.args.get("count", 1_000_000))

    def events():
        for number in range(1, count + 1):
            yield f"data: 第{number}条 {CHINESE}\n\n"
            time.sleep(every)

    return event_stream(events())


@app.get("/silent")
def silent():
    """The head, then nothing for a while (bounded: the stream holds a worker thread)."""
    seconds = float(request.args.get("seconds", 12))

    def events():
        yield ""
        time.sleep(seconds)

    return event_stream(events())


@app.get("/n")
def numbered():
    """`count` events with ids, `delay` seconds apart, then the end."""
    count = int(request.args.get("count", 5))
    delay = float(request.args.get("delay", 0))

    def events():
        for number in range(1, count + 1):
            yield f"id: {number}\ndata: {number}\n\n"
            time.sleep(delay)

    return event_stream(events())


@app.get("/mixed")
def mixed():
    """Ids on some events only."""
    stay = float(request.args.get("stay", 0))

    def events():
        yield "data: before any id\n\n"
        yield "id: 41\ndata: has 41\n\n"
        yield "data: after 41\n\n"
        yield "id: 42\ndata: has 42\n\n"
        yield "data: after 42\n\n"
        time.sleep(stay)

    return event_stream(events())


@app.get("/shapes")
def shapes():
    """Correct events of all the shapes that clients must understand; no Chinese without a comment in between."""
    blocks = [
        ": a comment of the upstream\n\n",
        "retry: 1234\n\n",
        "event: add\nid: 7\ndata: one\ndata:two\ndata\ndata:  two spaces\n\n",
        f": {CHINESE}\nevent: 通知\ndata: {CHINESE}\n\n",
        "id: only-an-id\n\n",
        "event: no-data\n\n",
        "unknown: field\ndata: known\n\n",
        "data:\n\n",
        "id\ndata: the id is empty now\n\n",
        "data: CRLF\r\n\r\n",
        "data: CR\r\r",
        "data: " + "x" * 100_000 + "\n\n",
        "data: in two\ndata: chunks\n",
        "data: and a third\n\n",
    ]

    def events():
        for block in blocks:
            yield block
            time.sleep(0.02)

    return event_stream(events())


@app.get("/slow")
def slow():
    """An ordinary response that takes its time: no head for `delay` seconds."""
    log.open(request.args, request.headers)
    time.sleep(float(request.args.get("delay", 3)))
    return Response("slow, but here\n", mimetype="text/plain")


@app.route("/upload", methods=["POST", "PUT"])
def upload():
    """Reads the body piece by piece and says what it was."""
    digest, length = hashlib.sha256(), 0
    while piece := request.stream.read(65536):
        digest.update(piece)
        length += len(piece)
    return jsonify(
        sha256=digest.hexdigest(),
        length=length,
        transfer_encoding=request.headers.get("Transfer-Encoding"),
        content_length=request.headers.get("Content-Length"),
    )


@app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def echo():
    return jsonify(
        method=request.method,
        target=request.environ["RAW_URI"],
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.get_data(as_text=True),
    )


@app.get("/moved")
def moved():
    return redirect("/echo?from=moved", code=302)


@app.get("/nothing")
def nothing():
    return Response(status=204)


@app.get("/log")
def read_log():
    return jsonify(log.of(request.args["key"]))


@app.get("/page")
def page():
    return PAGE
