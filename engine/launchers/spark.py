"""The parts of a run on a Spark cluster: what the service says to the child that drives it.

Nothing here loads pyspark: the child does, which is started for one run and ends with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from children.host import ChildFailed, ChildGone, ChildLate, Host, NoChildren
from children.limits import Limits
from engine.launchers.processes import SLICE_S, PartFailed, lost, parts_in_order, unforeseen
from engine.problems import Problem
from sources.contract import Json

DRIVING = "engine.launchers.driver"
# A virtual machine reserves far more than it uses.
LIMITS = Limits(memory_mib=2**22, cpu_s=10**9, file_mib=2**40, descriptors=65_536, depth=20_000)
PASSED_ON = ("SPARK_", "PYSPARK_", "HADOOP_", "YARN_", "JAVA_")
OURS = ("SPARK_REMOTE", "SPARK_MASTER", "SPARK_ARCHIVE", "SPARK_MIN_ROWS")


@dataclass(frozen=True)
class Cluster:
    """Where Spark is: `remote`, an address of Spark Connect, or `master`, such as spark://…:7077.

    `archive` is a file with this program and what it needs, for executors that lack it. `sealed`
    has the logins of the run as a Fernet token, which executors open with the first of `keys` that
    does: those of a cluster have their own, those of a master that is `local` are this machine's.
    """

    remote: str | None = field(repr=False)
    master: str | None
    archive: str | None
    sealed: str = field(repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)

    @property
    def address(self) -> str:
        """Return what messages call the cluster; a token behind `;` is not in it."""
        return (self.remote or self.master or "").partition(";")[0]


def launch(
    cluster: Cluster,
    told: dict[str, Json],
    ranges: Sequence[Json],
    look: Callable[[], None],
    on_parts: Callable[[int], None],
) -> list[Json]:
    """Return the parts in their order, done by executors.

    `look` is called several times a second, and what it raises ends the job; `on_parts` with the
    number of parts that are done. Raises PartFailed.
    """
    try:
        child = _host(cluster.keys).start(LIMITS)
    except NoChildren as exc:
        raise _failed(lost(f"Spark's driver: {exc}", "extract")) from exc
    try:
        child.send(f"{DRIVING}:launch", {
            "remote": cluster.remote, "master": cluster.master, "archive": cluster.archive,
            "sealed": cluster.sealed, "told": told, "ranges": list(ranges),
        })  # fmt: skip
        while True:
            look()
            try:
                is_answer, said = child.hear(SLICE_S)
            except ChildLate:
                continue
            if is_answer:
                return parts_in_order(said)
            on_parts(said["parts_done"])
    except ChildGone as exc:
        raise _failed(lost("The process that drives Spark ended early.", "extract")) from exc
    except ChildFailed as exc:
        raise _failed(_problem(cluster, exc)) from exc
    finally:
        child.stop()


def _failed(problem: Problem) -> PartFailed:
    return PartFailed(problem.as_dict(), [])


def _problem(cluster: Cluster, exc: ChildFailed) -> Problem:
    if exc.code != "spark":
        return unforeseen(exc, "extract")
    return Problem(
        "worker_lost",
        f"Spark at {cluster.address} did not do the parts: {exc.details}",
        hint="See the log of the worker and the cluster's pages; the run is tried again.",
        stage="extract",
    )


@lru_cache(maxsize=2)
def _host(keys: tuple[str, ...]) -> Host:
    """Return where drivers are forked from; executors with `keys` are theirs, too."""
    return Host([DRIVING], _environment(os.environ, keys))


def _environment(given: Mapping[str, str], keys: tuple[str, ...]) -> dict[str, str]:
    passed = {
        name: value
        for name, value in given.items()
        if name.startswith(PASSED_ON) and name not in OURS
    }
    if keys:
        passed |= {"ENCRYPTION_KEY": keys[0], "ENCRYPTION_KEYS_RETIRED": ",".join(keys[1:])}
        passed.setdefault("PYSPARK_PYTHON", sys.executable)
    return passed
