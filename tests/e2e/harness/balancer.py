"""A balancer that knows nothing of streams: each connection goes to any gateway that accepts it."""

import random
import socket

from harness.cutter import Cutter


class Balancer(Cutter):
    def __init__(self, seed):
        self.targets, self._random = [], random.Random(seed)
        super().__init__(None)

    def _connect(self):
        targets = list(self.targets)
        self._random.shuffle(targets)
        for target in targets:
            try:
                return socket.create_connection(target, timeout=10)
            except OSError:
                pass
        raise OSError("no gateway accepts")
