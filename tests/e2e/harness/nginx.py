"""nginx as the edge before a gateway, with its defaults."""

import shutil
import tempfile
from pathlib import Path

from harness import processes

CONF = """
daemon off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {target}; }}
    }}
}}
"""


def nginx(target):
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    home, port = Path(tempfile.mkdtemp(prefix="sse-gateway-nginx-")), processes.free_port()
    (home / "nginx.conf").write_text(CONF.format(port=port, target=target))
    command = [binary, "-p", home, "-c", home / "nginx.conf", "-e", "stderr"]
    return processes.Server("nginx", command, port).ready()
