"""What a child may use, and what the kernel is told about it and its parent."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

# linux/prctl.h
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38


@dataclass(frozen=True)
class Limits:
    """`memory_mib` beside what the zygote has mapped already; `cpu_s` over the child's life.

    `depth` is Python's recursion: only the main thread has the stack for so much.
    """

    memory_mib: int = 384
    cpu_s: int = 300
    file_mib: int = 1
    descriptors: int = 256
    depth: int = 20_000


def _prctl(option: int, value: int) -> bool:
    """Tell whether the kernel did as asked; the standard library has no call for it."""
    return ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0


def hide() -> None:
    """Keep other processes of this account from /proc/PID/environ and the memory of this one."""
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Have this process, and not the machine's first, reap what its children leave behind."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def restrict(limits: Limits) -> None:
    """Bind this process for the rest of its life; a limit of the system that is lower stays."""
    sys.setrecursionlimit(limits.depth)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    hide()
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for kind, value in (
        (resource.RLIMIT_AS, mapped + limits.memory_mib * 1024 * 1024),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.file_mib * 1024 * 1024),
        (resource.RLIMIT_NOFILE, limits.descriptors),
    ):
        hard = resource.getrlimit(kind)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))
