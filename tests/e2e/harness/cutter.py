"""A TCP proxy that cuts: what a lost Wi-Fi, a dead NAT entry or a reset does to a connection."""

import contextlib
import selectors
import socket
import struct
import threading


class Cutter:
    """Forwards `127.0.0.1:port` to `target` until `cut()`, which resets every connection that is open then."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._pairs = set()
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    # Lingering for no time makes the close a reset.
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RD)
                with contextlib.suppress(OSError):
                    end.close()
        return len(pairs)

    def close(self):
        self._open = False
        self.listener.close()
        self.cut()

    def _connect(self):
        return socket.create_connection(self.target, timeout=10)

    def _accept(self):
        while self._open:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                upstream = self._connect()
            except OSError:
                client.close()
                continue
            for end in (client, upstream):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.add((client, upstream))
            threading.Thread(target=self._forward, args=(client, upstream), daemon=True).start()

    def _forward(self, client, upstream):
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ, upstream)
                selector.register(upstream, selectors.EVENT_READ, client)
                while selector.get_map():
                    for key, _ in selector.select():
                        data = key.fileobj.recv(65536)
                        if data:
                            key.data.sendall(data)
                        else:
                            selector.unregister(key.fileobj)
                            key.data.shutdown(socket.SHUT_WR)
        except (OSError, ValueError, KeyError):
            pass
        finally:
            with self._lock:
                self._pairs.discard((client, upstream))
            for end in (client, upstream):
                with contextlib.suppress(OSError):
                    end.close()
