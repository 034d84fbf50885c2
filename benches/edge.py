#!/usr/bin/env python3
"""What the edge costs: TLS, HTTP/2 and compression, beside nginx, HAProxy and Caddy.

    cargo build --release -p sse-gateway --features jemalloc
    tests/.env/venv/bin/python benches/edge.py            # --quick for less, --only gateway,nginx, --rows handshakes,compression

All stand before the same upstream and are measured in turn, round by round; a table has the median (lowest-highest). CPU is that of
the server's processes alone, user and system; memory is the slope of PSS between two numbers of idle streams.
"""

import argparse
import asyncio
import os
import ssl
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import h2.config  # noqa: E402
import h2.connection  # noqa: E402
import h2.events  # noqa: E402
import psutil  # noqa: E402
import uvloop  # noqa: E402
from harness import certificate, processes  # noqa: E402
from harness import nginx as edge_nginx  # noqa: E402

THREADS = 2
EVENT = b"data: " + b'{"type":"delta","index":%07d,"text":"' + b"abcdefghij " * 14 + b'"}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


# ---- the upstream, a process of its own


async def upstream(port):
    """`/n/PACE` is a stream of so many events a second, `/idle` one event and silence."""

    async def answer(reader, writer):
        try:
            target = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].split(b"/")
            writer.write(HEAD)
            pace = float(target[2]) if target[1] == b"n" else 0
            began = time.monotonic()
            number = 0
            while True:
                text = EVENT % number
                writer.write(b"%x\r\n%s\r\n" % (len(text), text))
                await writer.drain()
                number += 1
                if not pace:
                    await reader.read()
                    return
                await asyncio.sleep(max(0, began + number / pace - time.monotonic()))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


# ---- those that are measured


def gateway(url, files, *flags):
    binary = os.environ.get("SSE_GATEWAY_BIN") or ROOT / "target" / "release" / "sse-gateway"
    port = processes.free_port()
    tls = ["--tls-cert", files[0], "--tls-key", files[1]] if files else []
    command = [binary, "--upstream", url, "--listen", f"127.0.0.1:{port}", "--admin-listen", "off", *tls, *flags]
    return processes.Server("gateway", command, port, env={"RUST_LOG": "warn"}).ready()


def nginx(url, files):
    port = processes.free_port()
    site = f"""
    server {{
        listen 127.0.0.1:{port} ssl http2 backlog=4096;
        ssl_certificate {files[0]}; ssl_certificate_key {files[1]}; ssl_session_tickets off;
        http2_max_concurrent_streams 200;
        location / {{ proxy_pass {url}; proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";
                      proxy_read_timeout 1h; }}
    }}"""
    command = edge_nginx.command(site)
    main = Path(command[command.index("-c") + 1])
    text = main.read_text().replace("events {}", "worker_processes 2; events { worker_connections 16000; }")
    main.write_text(text)
    return processes.Server("nginx", command, port).ready()


def haproxy(url, files):
    port = processes.free_port()
    folder = Path(tempfile.mkdtemp(prefix="edge-haproxy-"))
    (folder / "both.pem").write_bytes(files[0].read_bytes() + files[1].read_bytes())
    (folder / "haproxy.cfg").write_text(f"""
global
    nbthread {THREADS}
    fd-hard-limit 20000
    tune.ssl.lifetime 1
    ssl-default-bind-options no-tls-tickets
    tune.h2.max-concurrent-streams 200
defaults
    mode http
    option http-no-delay
    option abortonclose
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind 127.0.0.1:{port} ssl crt {folder}/both.pem alpn h2,http/1.1
    default_backend streams
backend streams
    server upstream {url.removeprefix("http://")}
""")
    return processes.Server("haproxy", ["haproxy", "-db", "-f", folder / "haproxy.cfg"], port).ready()


def caddy(url, files):
    port = processes.free_port()
    folder = Path(tempfile.mkdtemp(prefix="edge-caddy-"))
    (folder / "Caddyfile").write_text(f"""
{{
    admin off
    auto_https off
    storage file_system {folder}
}}
https://:{port} {{
    tls {files[0]} {files[1]}
    reverse_proxy {url} {{
        flush_interval -1
    }}
}}
""")
    env = {"GOMAXPROCS": str(THREADS), "HOME": str(folder)}
    command = ["caddy", "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]
    return processes.Server("caddy", command, port, env=env).ready()


EDGES = {"gateway": gateway, "nginx": nginx, "haproxy": haproxy, "caddy": caddy}


def family(server):
    top = psutil.Process(server.pid)
    return [top, *top.children(recursive=True)]


def cpu(server):
    return sum(sum(one.cpu_times()[:2]) for one in family(server))


def pss(server):
    return sum(one.memory_full_info().pss for one in family(server))


# ---- the clients


def context(protocols=("http/1.1",)):
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(list(protocols))
    return made


class Reader(asyncio.Protocol):
    """One stream over HTTP/1.1: counts events by what cannot be cut in two."""

    def __init__(self, path, fields=""):
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{fields}\r\n".encode()
        self.bytes = self.events = 0
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.bytes += len(data)
        self.events += data.count(b'"}\n\n')
        if not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, error):
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed"))


class Reader2(asyncio.Protocol):
    """Many streams over one connection of HTTP/2."""

    def __init__(self, path, count):
        self.path, self.count = path, count
        self.seen = set()
        self.events = 0
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        self.http.initiate_connection()
        self.http.increment_flow_control_window(1 << 30)
        for _ in range(self.count):
            number = self.http.get_next_available_stream_id()
            fields = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", self.path)]
            self.http.send_headers(number, [*fields, ("accept", "text/event-stream")], end_stream=True)
            self.http.increment_flow_control_window((1 << 31) - 1 - 65535, number)
        transport.write(self.http.data_to_send())

    def data_received(self, data):
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.events += event.data.count(b'"}\n\n')
                self.seen.add(event.stream_id)
        if len(self.seen) == self.count and not self.opened.done():
            self.opened.set_result(None)
        self.transport.write(self.http.data_to_send())

    def connection_lost(self, error):
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed"))


async def open_all(server, make, count, tls):
    made = []
    for first in range(0, count, 50):
        batch = range(first, min(count, first + 50))
        loop = asyncio.get_running_loop()
        opening = [loop.create_connection(make, "127.0.0.1", server.port, ssl=tls) for _ in batch]
        made += [protocol for _, protocol in await asyncio.gather(*opening)]
    await asyncio.wait_for(asyncio.gather(*(one.opened for one in made)), 60)
    return made


def close_all(made):
    for one in made:
        one.transport.abort()


# ---- the rows


async def handshakes(server, quick):
    """TLS handshakes a CPU-second, each with one small request behind it."""
    tls = context()
    count = 200 if quick else 600
    before = cpu(server)
    for _ in range(count // 20):
        close_all(await open_all(server, lambda: Reader("/idle"), 20, tls))
    return count / (cpu(server) - before)


async def slope(server, make, few, many, streams, tls):
    first = await open_all(server, make, few, tls)
    await asyncio.sleep(1)
    before = pss(server)
    second = await open_all(server, make, many - few, tls)
    await asyncio.sleep(1)
    grown = (pss(server) - before) / 1024 / ((many - few) * streams)
    close_all(first + second)
    return grown


async def idle_tls(server, quick):
    """KiB an idle stream over TLS and HTTP/1.1."""
    few, many = (200, 600) if quick else (500, 2500)
    return await slope(server, lambda: Reader("/idle"), few, many, 1, context())


async def idle_h2(server, quick):
    """KiB an idle stream over TLS and HTTP/2, a hundred streams a connection."""
    few, many = (2, 6) if quick else (5, 25)
    return await slope(server, lambda: Reader2("/idle", 100), few, many, 100, context(["h2"]))


async def paced(server, make, count, tls, quick):
    made = await open_all(server, make, count, tls)
    seen = lambda: sum(one.events for one in made)  # noqa: E731
    before, events = cpu(server), seen()
    await asyncio.sleep(2 if quick else 6)
    used, read = cpu(server) - before, seen() - events
    close_all(made)
    return used / read * 1_000_000


async def events_tls(server, quick):
    """CPU-seconds a million events over TLS and HTTP/1.1: 300 streams, 10 events/s each."""
    return await paced(server, lambda: Reader("/n/10"), 300, context(), quick)


async def events_h2(server, quick):
    """The same over HTTP/2, a hundred streams a connection."""
    return await paced(server, lambda: Reader2("/n/10", 100), 3, context(["h2"]), quick)


EDGE_ROWS = {row.__name__: row for row in (handshakes, idle_tls, idle_h2, events_tls, events_h2)}

# What is compressed: who shares, and what the client asks for.
COMPRESSION = {
    "shared, as it is": (["--share", "on"], ""),
    "shared, once for all": (["--share", "on", "--compress", "on"], "Accept-Encoding: gzip\r\n"),
    "each its own, as it is": ([], ""),
    "each its own, for each": (["--compress", "on"], "Accept-Encoding: gzip\r\n"),
}


async def compression(url, flags, fields, quick):
    """CPU-seconds a million deliveries to clients of one stream, bytes a delivery, KiB a client."""
    count, pace, seconds = (200, 5, 2) if quick else (1000, 5, 6)
    with gateway(url, None, *flags, "--heartbeat", "off") as server:
        made = await open_all(server, lambda: Reader(f"/n/{pace}", fields), 100, None)
        await asyncio.sleep(1)
        memory = pss(server)
        made += await open_all(server, lambda: Reader(f"/n/{pace}", fields), count - 100, None)
        await asyncio.sleep(1)
        memory = (pss(server) - memory) / 1024 / (count - 100)
        read = lambda: sum(one.bytes for one in made)  # noqa: E731
        before, began, bytes_before = cpu(server), time.monotonic(), read()
        await asyncio.sleep(seconds)
        deliveries = (time.monotonic() - began) * pace * count
        used, got = cpu(server) - before, read() - bytes_before
        close_all(made)
    return used / deliveries * 1_000_000, got / deliveries, memory


def shown(values):
    middle = statistics.median(values)
    digits = 0 if middle >= 100 else 1
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


async def main(options):
    source = processes.Server("upstream", [sys.executable, __file__, "--upstream", port := processes.free_port()], port)
    rounds = 1 if options.quick else options.rounds
    only = options.only.split(",")
    with source.ready():
        rows = [name for name in EDGE_ROWS if name in options.rows.split(",")]
        if rows:
            files = certificate.make(Path(tempfile.mkdtemp(prefix="edge-")))
            seen = {(name, row): [] for name in only for row in rows}
            for _ in range(rounds):
                for row in rows:
                    for name in only:
                        with EDGES[name](source.url, files) as server:
                            seen[name, row].append(await EDGE_ROWS[row](server, options.quick))
            print("| | " + " | ".join(only) + " |\n|---|" + "---:|" * len(only))
            for row in rows:
                told = " ".join(EDGE_ROWS[row].__doc__.split())
                print(f"| {told} | " + " | ".join(shown(seen[name, row]) for name in only) + " |")
        if "compression" in options.rows.split(","):
            seen = {name: [] for name in COMPRESSION}
            for _ in range(rounds):
                for name, (flags, fields) in COMPRESSION.items():
                    seen[name].append(await compression(source.url, flags, fields, options.quick))
            print(f"\n| {compression.__doc__} | CPU-seconds | bytes | KiB a client |\n|---|---:|---:|---:|")
            for name, values in seen.items():
                print(f"| {name} | " + " | ".join(shown(column) for column in zip(*values, strict=True)) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(EDGES))
    parser.add_argument("--rows", default=",".join([*EDGE_ROWS, "compression"]))
    parser.add_argument("--upstream", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    uvloop.run(upstream(chosen.upstream) if chosen.upstream else main(chosen))
