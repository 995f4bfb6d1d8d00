"""What the child that drives Spark can be asked: it maps parts over executors, and waits.

Each partition is one part, so that the cluster repeats a part whose executor was lost. What an
executor staged before it died is in no answer, so the commit does not know it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pyspark.sql import SparkSession

from children import child
from children.frames import Json

FOLDER = "etl"
"""What the archive is called where executors unpack it."""
MOST_MESSAGE = 500
LOOK_S = 1.0


def launch(
    remote: str | None,
    master: str | None,
    archive: str | None,
    sealed: str,
    told: Json,
    ranges: list[Json],
) -> list[Json]:
    """Return what became of each part, in their order; note how many are done until then."""
    work = _work(sealed, json.dumps(told), [json.dumps(each) for each in ranges])
    answers: list[Json] = [None] * len(ranges)
    try:
        spark = _session(remote, master, archive)
        child.before_stop(lambda: _interrupt(spark, remote))
        numbers = spark.range(0, len(ranges), 1, len(ranges))
        with _parts_noted(spark, remote):
            rows = numbers.mapInArrow(work, "number long, answer string").collect()
        for row in rows:
            answers[row.number] = json.loads(row.answer)
        child.before_stop(None)
        spark.stop()
    except Exception as exc:  # of Spark, of its virtual machine, of the way to a server
        raise child.Failure("spark", _said(exc)) from exc
    return answers


def _session(remote: str | None, master: str | None, archive: str | None) -> SparkSession:
    builder: Any = SparkSession.builder.appName("etl")
    if remote:
        spark = builder.remote(remote).getOrCreate()
    else:
        builder = builder.master(master).config("spark.ui.showConsoleProgress", "false")
        spark = builder.getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
    if archive:
        spark.addArtifacts(f"{archive}#{FOLDER}", archive=True)
    return spark


def _work(sealed: str, told: str, ranges: list[str]) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return what executors do; it is pickled whole, as they may not have this program yet."""
    folder = FOLDER

    def work(batches: Iterator[Any]) -> Iterator[Any]:
        import sys
        from pathlib import Path

        from pyspark import SparkFiles

        home = Path(SparkFiles.getRootDirectory()) / folder
        if home.is_dir() and str(home) not in sys.path:
            sys.path.insert(0, str(home))
        from engine.launchers.executor import answers

        yield from answers(batches, sealed, told, ranges)

    return work


@contextmanager
def _parts_noted(spark: SparkSession, remote: str | None) -> Iterator[None]:
    """Note how many parts Spark has done, as often as it tells, or else every second."""
    if remote:
        spark.registerProgressHandler(_progressed)
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_look, args=(spark, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK_S)


def _progressed(stages: Iterable[Any] | None, **_: Any) -> None:
    """Hear Spark Connect say how far an operation is."""
    _note(each.num_completed_tasks for each in stages or ())


def _look(spark: SparkSession, over: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not over.wait(LOOK_S):
        stages = map(tracker.getStageInfo, tracker.getActiveStageIds())
        _note(stage.numCompletedTasks for stage in stages if stage)


def _note(tasks_done: Iterable[int]) -> None:
    """A task is a part: there is one stage."""
    child.note({"parts_done": sum(tasks_done)})


def _interrupt(spark: SparkSession, remote: str | None) -> None:
    """End what runs on the cluster."""
    with suppress(Exception):
        if remote:
            spark.interruptAll()
        else:
            spark.sparkContext.cancelAllJobs()


def _said(exc: Exception) -> str:
    """Return the first words of what Spark says; the second line has what the first leaves out."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return " ".join(lines[:2] or [type(exc).__name__])[:MOST_MESSAGE]
