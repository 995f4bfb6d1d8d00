"""What a child does: it answers its host's questions until the host is gone or says stop."""

from __future__ import annotations

import os
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType

from children import frames, networks
from children.frames import Json

STOP_S = 1.0

_talk: socket.socket | None = None
_said = threading.Lock()
_before_stop: Callable[[], None] | None = None
_after_answer: Callable[[], None] | None = None


class Failure(Exception):
    """What a function raises to tell its host what went wrong: `code` and JSON that says more."""

    def __init__(self, code: str, details: Json = None) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


def note(said: Json) -> None:
    """Tell the host how far the work has come; it keeps the last note."""
    if _talk is not None:
        _say({"note": said})


def answer_and_exit(failure: Failure) -> None:
    """End the child with a failure as its answer, from any thread, whatever the main one does."""
    _say({"failed": failure.code, "details": failure.details})
    os._exit(0)


def before_stop(work: Callable[[], None] | None) -> None:
    """Have `work` done, within a second, when the host says stop. It runs in another thread."""
    global _before_stop
    _before_stop = work


def after_answer(work: Callable[[], None]) -> None:
    """Have `work` done once the answer to this question is sent."""
    global _after_answer
    _after_answer = work


def serve(talk: socket.socket, stop: int, modules: dict[str, ModuleType]) -> None:
    """Answer question after question. `modules` holds all that may be called, by name."""
    global _talk
    _talk = talk
    threading.Thread(target=_await_stop, args=(stop,), daemon=True).start()
    while True:
        try:
            question = frames.receive(talk)
        except frames.Broken:
            return
        _say(_answer(question, modules))
        _do_after_answer()


def _await_stop(fd: int) -> None:
    """Wait for the host's order, or its end. The kernel's kill is the backstop, not this."""
    if os.read(fd, 1) and _before_stop is not None:
        threading.Timer(STOP_S, os._exit, (1,)).start()
        with suppress(Exception):
            _before_stop()
    os._exit(1)


def _answer(question: Json, modules: dict[str, ModuleType]) -> Json:
    try:
        if "networks" in question:
            networks.use(networks.Networks.from_json(question["networks"]))
        return {"result": _called(question["call"], modules)(**question["arguments"])}
    except Failure as exc:
        return {"failed": exc.code, "details": exc.details}
    except MemoryError:
        return {"failed": "out_of_memory", "details": None}
    except Exception as exc:
        return {"failed": "unforeseen", "details": _where(exc)}


def _called(name: str, modules: dict[str, ModuleType]) -> Callable[..., Json]:
    module, _, function = name.partition(":")
    if module not in modules or function.startswith("_"):
        raise ValueError(f"{name} is not to be called in a child")
    found: Callable[..., Json] = getattr(modules[module], function)
    return found


def _where(exc: Exception) -> str:
    """Return the exception's type and where it was raised: its message could hold a secret."""
    frames_ = traceback.extract_tb(exc.__traceback__)[-6:]
    places = " < ".join(f"{each.filename}:{each.lineno}" for each in reversed(frames_))
    return f"{type(exc).__name__} at {places}"


def _say(message: Json) -> None:
    assert _talk is not None  # noqa: S101 - set before the first question
    with _said:
        try:
            frames.send(_talk, message)
        except frames.Broken:
            os._exit(1)


def _do_after_answer() -> None:
    global _after_answer
    work, _after_answer = _after_answer, None
    if work is not None:
        work()
