"""Three gateways with one history, by a Redis server, behind a balancer that knows nothing of streams."""

import random
import re
import signal
import time
from collections import Counter

from harness import processes
from harness.answers import HoppingAsker, NodeAsker, asked_more_than_once
from harness.balancer import Balancer
from harness.numbers import Chromium, Hopper, Node
from harness.redis import Redis
from harness.wait import until

EVERY = 0.05
HOPPERS = 3
ASKERS = 2
PACKAGES = ["eventsource", "launchdarkly-eventsource"]
# Shared by all; each client's own. The upstreams of the first have ids and go on behind them, those of the second have none.
SHARED = ["/ids", "/live"]
OWN = ["/own/ids", "/own/live"]
PATHS = SHARED + OWN

CONFIG = """
upstream = "{ids}"
share = "host, path"
store = "{store}"
store_secret = "{secret}"
store_down = "{down}"
store_ack = "{ack}"
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

[[route]]
name = "own"
path = "/own/ids"
share = "off"
resume = "on"
upstream = "{own_ids}"

[[route]]
name = "own-live"
path = "/own/live"
share = "off"
resume = "on"
upstream = "{own_live}"

[[route]]
name = "answers"
path = "/answers"
share = "off"
resume = "on"
gap_event = "stream-gap"
upstream = "{answers}"
"""


class Several:
    def __init__(self, down, seed, redis=None, ack="primary"):
        self.random = random.Random(seed)
        self.began = time.time()
        self.stopping = []
        self.gateways, self.clients, self.askers = [], [], []
        # A stream that begins while Redis is away is its gateway's own with `local`.
        self.requests = 1 if down == "wait" else 3
        self.redis = self._hold(redis or Redis())
        ids, live, own_ids, own_live = (
            self._hold(processes.script("numbers_upstream", EVERY, mode, self.began)) for mode in 2 * ["remembers", "live"]
        )
        self.shared = [ids, live]
        self.answers = self._hold(processes.script("answers_upstream", EVERY))
        secret = self.redis.directory.with_suffix(".secret")
        secret.write_text("s" * 32)
        self.config = self.redis.directory.with_suffix(".toml")
        self.config.write_text(
            CONFIG.format(
                ids=ids.url, live=live.url, own_ids=own_ids.url, own_live=own_live.url, answers=self.answers.url,
                store=self.redis.url, secret=secret, down=down, ack=ack,
            )
        )  # fmt: skip
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
        url = self.balancer.url + "/answers"
        self.askers = [NodeAsker(url, "npm")] + [HoppingAsker(url, f"hopper-{at}") for at in range(ASKERS)]

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
        """Those that read an upstream for all."""

        def reads(gateway):
            relays = [relay for relay in gateway.relays() if relay["route"] in ("ids", "live")]
            return any(relay["upstream"] == "connected" for relay in relays)

        return [gateway for gateway in self.gateways if reads(gateway)]

    def owner(self):
        return self.random.choice(until(self.owners, "an owner"))

    def follower(self):
        """One that reads no upstream for all, if there is one; else any."""
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
        for client in self.clients + self.askers:
            client.look()
        answered = [asker.verdict for asker in self.askers]
        wrong = [line for verdict in [*self.verdicts(), *answered] for line in verdict.wrong]
        assert not wrong, "\n".join(wrong)

    def look_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.1)

    def until_all_have_what_comes(self, requests=None, limit=60):
        """Until each client has events that are newer than this call, by so many requests of each shared upstream at most.

        Of those that ask, each has a part of an answer to a question that it had not asked yet.
        """
        requests = requests or self.requests
        newer = (time.time() - self.began) / EVERY + 10
        begun = {asker: asker.verdict.begun + 1 + asker.verdict.is_waiting for asker in self.askers}

        def behind():
            yield from (f"{one.name}: {one.last}" for one in self.verdicts() if (one.last or 0) < newer)
            yield from (asker.verdict.name for asker in self.askers if asker.verdict.begun < begun[asker])

        end = time.monotonic() + limit
        while late := list(behind()):
            assert time.monotonic() < end, f"waited {limit} s for what came behind {newer:.0f}: {late}"
            self.look()
            time.sleep(0.1)
        for upstream in self.shared:
            until(lambda upstream=upstream: open_now(upstream) <= requests, f"{requests} to be open at {upstream.url}")
        again = asked_more_than_once(self.answers)
        assert not again, f"asked again: {again}"

    def gaps(self):
        """How many clients of each path were told of, all together."""
        told = Counter({path: sum(one.gaps for one in self.verdicts() if one.path == path) for path in PATHS})
        told["/answers"] = sum(asker.verdict.gaps for asker in self.askers)
        return told

    def notices(self, told):
        """What clients of these paths were told of gaps last, and the answers that were broken off last."""
        lines = [line for one in self.verdicts() if told[one.path] for line in one.notices[-2:]]
        return "\n".join(lines + [line for asker in self.askers for line in asker.verdict.broken[-1:]])

    # ---- the end

    def stop(self):
        for one in self.clients + self.askers:
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
