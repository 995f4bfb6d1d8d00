"""What workers do beside runs, such as telling people: whoever has such work registers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Duty:
    """Work that each worker does again and again, in `threads` of its own.

    `work` tells whether it found something to do: then it is done again at once, else `every_s`
    later. Several workers do it at the same time, and one that is killed leaves it in the middle.
    """

    name: str
    work: Callable[[], bool]
    every_s: float
    threads: int = 1


_registered: list[Duty] = []


def register(duty: Duty) -> None:
    """Have workers do a duty."""
    _registered.append(duty)


def registered() -> list[Duty]:
    return list(_registered)
