"""Runs a command under the system call filter of a systemd unit, which kills it at the first call that is not allowed.

    python confined.py UNIT COMMAND …

What systemd does, for machines on which no systemd runs. `systemd-analyze` says what its sets of calls contain.
"""

import errno
import os
import socket
import subprocess
import sys
from functools import cache

import pyseccomp


def values(unit, key):
    """Of each line of the unit that sets `key`, in order."""
    with open(unit) as lines:
        return [line.strip().removeprefix(f"{key}=") for line in lines if line.startswith(f"{key}=")]


@cache
def calls(name):
    """The system calls that a name of `SystemCallFilter=` stands for."""
    if not name.startswith("@"):
        return frozenset([name])
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    members = [line.strip() for line in done.stdout.splitlines()[1:]]
    return frozenset().union(*(calls(member) for member in members if member and not member.startswith("#")))


def allowed_calls(unit):
    # systemd allows these without being asked; without them it could not start anything.
    allowed = set(calls("@default")) | {"execve"}
    for value in values(unit, "SystemCallFilter"):
        named = frozenset().union(*(calls(name) for name in value.removeprefix("~").split()))
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def allowed_families(unit):
    return {getattr(socket, name) for value in values(unit, "RestrictAddressFamilies") for name in value.split()}


def confine(unit):
    families = allowed_families(unit)
    filter = pyseccomp.SyscallFilter(pyseccomp.KILL_PROCESS)
    for call in sorted(allowed_calls(unit) - {"socket"}):
        # The sets name calls of all architectures.
        try:
            filter.add_rule(pyseccomp.ALLOW, call)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EFAULT, errno.EDOM):
                raise
        except ValueError:
            pass
    for family in families:
        filter.add_rule(pyseccomp.ALLOW, "socket", pyseccomp.Arg(0, pyseccomp.EQ, int(family)))
    filter.load()


if __name__ == "__main__":
    confine(sys.argv[1])
    os.execv(sys.argv[2], sys.argv[2:])
