"""HAProxy as a balancer of TCP before a gateway."""

import shutil
import tempfile
from pathlib import Path

from harness import processes

CONFIG = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen clients
    bind 127.0.0.1:{port}
    server gateway {target} {options}
"""


def balancer(target, options):
    """`options` are those of the server, such as `send-proxy`."""
    port = processes.free_port()
    binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
    path = Path(tempfile.mkdtemp(prefix="sse-gateway-haproxy-")) / "haproxy.cfg"
    path.write_text(CONFIG.format(port=port, target=target, options=options))
    return processes.Server("haproxy", [binary, "-db", "-f", path], port).ready()
