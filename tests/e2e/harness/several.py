"""Three gateways with one history, by a Redis server, behind a balancer that knows nothing of streams."""

import random
import re
import signal
import time
from collections import Counter

from harness import processes
from harness.balancer import Balancer
from harness.numbers import Chromium, Hopper, Node
from harness.redis import Redis
from harness.wait import until

EVERY = 0.05
HOPPERS = 3
PACKAGES = ["eventsource", "launchdarkly-eventsource"]
# The upstream of the first has ids and goes on behind them, that of the second has none.
PATHS = ["/ids", "/live"]

CONFIG = """
upstream = "{ids}"
share = "host, path"
store = "{store}"
store_secret = "{secret}"
store_down = "{down}"
history_events = 20000
# Who reads an upstream without ids is to go on though its last client went elsewhere while Redis was away.
on_leave = "linger:2m"
heartbeat = "500ms"
drain_window = "500ms"
retry = "200ms"
retry_jitter = 0

[[route]]
name = "ids"
path = "/ids"

[[route]]
name = "live"
path = "/live"
upstream = "{live}"
"""


class Several:
    def __init__(self, down, seed):
        self.random = random.Random(seed)
        self.began = time.time()
        self.stopping = []
        self.gateways, self.clients = [], []
        # A stream that begins while Redis is away is its gateway's own with `local`.
        self.requests = 1 if down == "wait" else 3
        self.redis = self._hold(Redis())
        self.upstreams = [
            self._hold(processes.script("numbers_upstream", EVERY, mode, self.began)) for mode in ("remembers", "live")
        ]
        secret = self.redis.directory.with_suffix(".secret")
        secret.write_text("s" * 32)
        self.config = self.redis.directory.with_suffix(".toml")
        ids, live = (upstream.url for upstream in self.upstreams)
        self.config.write_text(CONFIG.format(ids=ids, live=live, store=self.redis.url, secret=secret, down=down))
        self.balancer = Balancer(seed)
        self.fill()
        self._join(seed)

    def _hold(self, one):
        self.stopping.append(one)
        return one

    def _join(self, seed):
        urls = [self.balancer.url + path for path in PATHS]
        self.clients = [Chromium(self.balancer.url, PATHS)]
        self.clients += [Node(package, url) for url in urls for package in PACKAGES]
        self.clients += [Hopper(url, f"{seed}.{at}") for url in urls for at in range(HOPPERS)]

    # ---- gateways

    def fill(self):
        """Starts gateways until there are three."""
        while len(self.gateways) < 3:
            self.gateways.append(processes.Gateway("--config", self.config))
        self._aim()

    def kill(self, gateways):
        for gateway in gateways:
            gateway.kill()
        self.gateways = [gateway for gateway in self.gateways if gateway not in gateways]
        self._aim()

    def drain(self, gateway):
        """Another takes its place, and it stops."""
        self.gateways.remove(gateway)
        self.fill()
        gateway.terminate()
        assert gateway.wait() == 0

    def _aim(self):
        self.balancer.targets = [gateway.address for gateway in self.gateways]

    def owners(self):
        """Those that read an upstream."""
        return [gateway for gateway in self.gateways if gateway.metric("sse_store_owned") > 0]

    def owner(self):
        return self.random.choice(until(self.owners, "an owner"))

    def follower(self):
        """One that reads no upstream, if there is one; else any."""
        owners = self.owners()
        return self.random.choice([gateway for gateway in self.gateways if gateway not in owners] or self.gateways)

    def pause(self, gateway, seconds):
        gateway.signal(signal.SIGSTOP)
        self.look_for(seconds)
        gateway.signal(signal.SIGCONT)

    # ---- clients

    def verdicts(self):
        for client in self.clients:
            yield from client.verdicts if isinstance(client, Chromium) else [client.verdict]

    def look(self):
        for client in self.clients:
            client.look()
        wrong = [line for verdict in self.verdicts() for line in verdict.wrong]
        assert not wrong, "\n".join(wrong)

    def look_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.1)

    def until_all_have_what_comes(self, requests=None, limit=60):
        """Until each client has events that are newer than this call, by so many requests of each upstream at most."""
        requests = requests or self.requests
        newer = (time.time() - self.began) / EVERY + 10
        end = time.monotonic() + limit
        while behind := [f"{one.name}: {one.last}" for one in self.verdicts() if (one.last or 0) < newer]:
            assert time.monotonic() < end, f"waited {limit} s for what came behind {newer:.0f}: {behind}"
            self.look()
            time.sleep(0.1)
        for upstream in self.upstreams:
            until(lambda upstream=upstream: open_now(upstream) <= requests, f"{requests} to be open at {upstream.url}")

    def gaps(self):
        """How many clients of each path were told of, all together."""
        return Counter({path: sum(one.gaps for one in self.verdicts() if one.name.endswith(path)) for path in PATHS})

    # ---- the end

    def stop(self):
        for one in self.clients:
            one.stop()
        self.balancer.close()
        for gateway in self.gateways:
            gateway.signal(signal.SIGCONT)
            gateway.kill()
        for one in self.stopping:
            one.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def open_now(upstream):
    return int(re.findall(r"^(?:open|closed,) (\d+) now", upstream.log, re.MULTILINE)[-1])
