"""Children of the engine, and the parts of a run, done by several of them side by side.

A part that meets what passes by itself, or whose child is lost, is done again while the snapshot
that it reads is there: nothing of it can be seen before the commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Event
from typing import Any

from children.host import Child, ChildFailed, ChildGone, ChildLate, Host, NoChildren
from children.limits import Limits
from engine.problems import KEPT_ENTRIES, Problem
from engine.trouble import out_of_memory, source_problem
from sources.asking import as_error
from sources.contract import Json, SourceParams

logger = logging.getLogger(__name__)

SERVING = "engine.serving"
SLICE_S = 0.2

# A run's time has its own limit, and its files are as large as they are.
RUN_LIMITS = Limits(memory_mib=400, cpu_s=10**9, file_mib=2**40, descriptors=1024, depth=20_000)
# Threads each map memory of their own: two are enough for what waits.
host = Host(
    [SERVING],
    {
        "TOKIO_WORKER_THREADS": "2",
        "RAYON_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        # Large blocks are given back once they are free. Left to itself, glibc soon puts blocks of
        # any size that it has seen freed among the small ones, and what lies between holds them.
        "MALLOC_MMAP_THRESHOLD_": str(3 * 1024 * 1024 // 2),
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    },
)

PASSING = frozenset(
    {"worker_lost", "source_unreachable", "source_timeout", "target_unreachable", "target_timeout"}
)
PAUSES_S = (0.5, 2.0)
"""Before a part is done a second and a third time."""

OnRows = Callable[[int, int], None]
"""Called with the rows that were read and those that were refused, of all parts so far."""


class PartFailed(Exception):
    """A part has a problem that no repetition mends; `done` are the other ones, and it."""

    def __init__(self, problem: dict[str, str], done: list[Json]) -> None:
        super().__init__(problem["code"])
        self.problem = problem
        self.done = done


def lost(message: str, stage: str) -> Problem:
    return Problem(
        "worker_lost",
        message,
        hint="The run is tried again. See the service's log, and whether memory was short.",
        stage=stage,
    )


def unforeseen(exc: ChildFailed, stage: str) -> Problem:
    logger.error("The engine met something unforeseen: %s", exc.details)
    return Problem(
        "internal_error",
        "The run failed unexpectedly.",
        hint="See the service's log, and report it.",
        stage=stage,
    )


def problem_of(exc: ChildFailed, source: SourceParams, stage: str) -> Problem:
    """Return what a run says of a child that failed."""
    if exc.code == "out_of_memory":
        return out_of_memory(stage)
    if exc.code == "unforeseen":
        return unforeseen(exc, stage)
    # What was found to listen where a database should.
    return source_problem(as_error(exc, source), stage)


# --- Many parts -----------------------------------------------------------------------------------


def launch(
    questions: Sequence[dict[str, Json]],
    processes: int,
    max_rejected: int | None,
    look: Callable[[], None],
    on_rows: OnRows,
) -> list[Json]:
    """Return the parts in their order, done by so many processes at once.

    Once these have refused more than `max_rejected` rows, the parts that are done by then. `look`
    is called several times a second, and what it raises ends all of them, the queries in the
    database, too. Raises PartFailed.
    """
    stop = Event()
    counts = [(0, 0)] * len(questions)
    answers: list[dict[str, Json] | None] = [None] * len(questions)

    def work(at: int) -> None:
        def count(read: int, refused: int) -> None:
            counts[at] = (read, refused)

        answers[at] = done(questions[at], stop, count)

    with ThreadPoolExecutor(processes, "part") as pool:
        waiting = {pool.submit(work, at) for at in range(len(questions))}
        try:
            while waiting:
                ended, waiting = wait(waiting, SLICE_S, FIRST_COMPLETED)
                look()
                on_rows(sum(read for read, _ in counts), sum(refused for _, refused in counts))
                for each in ended:
                    each.result()
                found = parts_in_order(answers)
                if max_rejected is not None and _refused(found) > max_rejected:
                    return found
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return parts_in_order(answers)


def _refused(found: Sequence[Json]) -> int:
    return sum(part["rows_rejected"] for part in found)


def parts_in_order(answers: Sequence[dict[str, Json] | None]) -> list[Json]:
    """Return what parts did, as far as they have; the first refused values of them all.

    Raises PartFailed.
    """
    found, problem, left = [], None, KEPT_ENTRIES
    for answer in answers:
        if answer is None:
            continue
        if answer["part"] is not None:
            part = answer["part"]
            part["rejected"] = part["rejected"][:left]
            left -= len(part["rejected"])
            found.append(part)
        problem = problem or answer["problem"]
    if problem is not None:
        raise PartFailed(problem, found)
    return found


# --- One part -------------------------------------------------------------------------------------


def done(question: dict[str, Json], stop: Event, on_rows: OnRows | None = None) -> dict[str, Json]:
    """Return what became of a part: {"part", "problem"}, of which one may be None."""
    for pause_s in (*PAUSES_S, None):
        answer = _tried(question, stop, on_rows)
        problem = answer["problem"]
        again = problem is not None and problem["code"] in PASSING and pause_s is not None
        if not again or stop.wait(pause_s):
            return answer
    raise AssertionError("unreachable")


def _tried(question: dict[str, Json], stop: Event, on_rows: OnRows | None) -> dict[str, Json]:
    try:
        child = host.start(RUN_LIMITS)
    except NoChildren as exc:
        return {"part": None, "problem": lost(str(exc), "extract").as_dict()}
    try:
        return _answer(child, question, stop, on_rows)
    except ChildGone:
        problem = lost("The process of a part ended before it had an answer.", "extract")
    except ChildFailed as exc:
        problem = problem_of(exc, SourceParams.from_json(question["source"]), "extract")
    finally:
        child.kill()
    return {"part": None, "problem": problem.as_dict()}


def _answer(
    child: Child, question: dict[str, Json], stop: Event, on_rows: OnRows | None
) -> dict[str, Json]:
    child.send(f"{SERVING}:part", question)
    while not stop.is_set():
        try:
            is_answer, said = child.hear(SLICE_S)
        except ChildLate:
            continue
        if is_answer:
            answer: dict[str, Any] = said
            _count(answer["part"], on_rows)
            return answer
        if isinstance(said, dict):  # a text is a step of a login
            _count(said, on_rows)
    return _stopped(child)


def _count(said: Json, on_rows: OnRows | None) -> None:
    if on_rows and said:
        on_rows(said["rows_read"], said["rows_rejected"])


def _stopped(child: Child) -> dict[str, Json]:
    """End a child, and what it has under way in a database."""
    child.stop()
    until = time.monotonic() + 1.5
    while not child.ended and time.monotonic() < until:
        time.sleep(0.02)
    return {"part": None, "problem": lost("The part was stopped.", "extract").as_dict()}
