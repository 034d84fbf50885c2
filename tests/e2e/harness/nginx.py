"""nginx as the edge before a gateway: with its defaults, or with a site of one's own."""

import shutil
import tempfile
from pathlib import Path

from harness import processes

MAIN = """
daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include site.conf;
}
"""
DEFAULTS = """
server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {target}; }}
}}
"""


def nginx(target):
    port = processes.free_port()
    return serve(DEFAULTS.format(port=port, target=target), port)


def serve(site, port):
    """`site` is what stands in a file of conf.d."""
    return processes.Server("nginx", command(site), port).ready()


STREAM = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid nginx.pid;
error_log stderr;
events {{}}
stream {{
    server {{
        listen 127.0.0.1:{port};
        proxy_pass {target};
        proxy_protocol on;
    }}
}}
"""


def balancer(target):
    """Of TCP, with a PROXY header in front of each connection."""
    port = processes.free_port()
    return processes.Server("nginx", command("", STREAM.format(port=port, target=target)), port).ready()


def command(site, main=MAIN):
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    home = Path(tempfile.mkdtemp(prefix="sse-gateway-nginx-"))
    (home / "nginx.conf").write_text(main)
    (home / "site.conf").write_text(site)
    return [binary, "-p", home, "-c", home / "nginx.conf", "-e", "stderr"]
