"""Binds a process for the rest of its life, whatever library is at work in it.

Python tells of what is about to happen, and who listens may forbid it (PEP 578). C that dials or
opens on its own, past Python, is not seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from children import networks

_OWN = tuple({str(Path(place).resolve()) for place in (sys.prefix, sys.base_prefix)})


def confine() -> list[str]:
    """Let this process dial nothing but what the networks in force permit, and numeric addresses
    alone; open no file but Python's own, and start no program. What asks for it gets a
    PermissionError.

    Return the list that each address which is refused from here on is added to.
    """
    refused: list[str] = []

    def judge_address(sock: Any, address: Any = None) -> None:
        if address is None:  # of a socket that is connected
            return
        host = str(address[0]) if isinstance(address, tuple) else "a path"
        if not networks.in_force().permit(host):
            refused.append(host)
            raise PermissionError("This address may not be dialled here.")

    judges: dict[str, Callable[..., None]] = {
        "socket.connect": judge_address,
        "socket.sendto": judge_address,
        "socket.sendmsg": judge_address,
        "open": _judge_file,
        **dict.fromkeys(
            (
                "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system",
                "subprocess.Popen",
            ),
            _forbid,
        ),
    }  # fmt: skip

    def judge(event: str, arguments: tuple[Any, ...]) -> None:
        if event in judges:
            judges[event](*arguments)

    sys.addaudithook(judge)
    return refused


def _judge_file(path: Any, *_: Any) -> None:
    if isinstance(path, int):  # one that is open
        return
    real = os.path.realpath(os.fsdecode(path))
    if not real.startswith(tuple(f"{own}/" for own in _OWN)):
        raise PermissionError("No file is opened here.")


def _forbid(*_: Any) -> None:
    raise PermissionError("No program is started here.")
