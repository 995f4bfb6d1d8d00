"""Functions that the children of the tests run."""

import ctypes
import os
import resource
import time
from pathlib import Path

from children import child, networks
from children.child import Failure


def echo(**said):
    return said


def who():
    return os.getpid()


def told(name):
    return os.environ.get(name)


def permits(address):
    return networks.in_force().permit(address)


def read_file(path):
    return Path(path).read_bytes().decode("latin-1")


def fail(code):
    raise Failure(code, {"why": "asked to"})


def stumble():
    raise ValueError("a secret")


def sleep(seconds):
    child.note("sleeping")
    time.sleep(seconds)
    return "awake"


def mark_on_stop(path):
    child.before_stop(lambda: os.mkfifo(path))
    time.sleep(30)


def fill_memory():
    return len(bytearray(2 * 1024**3))


def spin():
    while True:
        pass


def crash():
    ctypes.string_at(0)


def limits():
    kinds = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
    return {name: resource.getrlimit(getattr(resource, name))[0] for name in kinds}


def status():
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def leave_an_orphan():
    """Return a process that outlives the child that forked it, by a moment."""
    pid = os.fork()
    if pid == 0:
        time.sleep(0.2)
        os._exit(0)
    return pid
