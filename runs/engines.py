"""What a worker may use for a run: processes of its own, and Spark where there is one."""

from __future__ import annotations

from django.conf import settings

from common.secrets import keys
from engine import asking
from engine.launchers.choice import Means
from engine.launchers.spark import Cluster
from engine.problems import Problem
from engine.target import TargetParams
from mappings.models import Engine
from sources.contract import SourceParams


def has_spark() -> bool:
    return bool(settings.SPARK_REMOTE or settings.SPARK_MASTER)


def means_of(engine: str | None) -> Means:
    """Return what a mapping's run may use. Raises Problem `mapping_incomplete`."""
    engine = engine or Engine.AUTO.value
    if engine == Engine.SPARK.value and not has_spark():
        raise Problem(
            "mapping_incomplete",
            'The mapping asks for the engine "spark", and this worker knows of no Spark.',
            hint="Set SPARK_REMOTE or SPARK_MASTER for the workers, or choose the engine auto.",
            stage="plan",
        )
    return Means(
        engine=engine,
        processes=settings.RUN_PROCESSES,
        part_rows=settings.RUN_PART_ROWS,
        spark_rows=settings.SPARK_MIN_ROWS if has_spark() else None,
    )


def cluster_for(means: Means, source: SourceParams, target: TargetParams) -> Cluster | None:
    """Return the cluster that a run may go to, with the run's logins sealed; None without one."""
    if not has_spark() or means.engine == Engine.EMBEDDED.value:
        return None
    return Cluster(
        remote=settings.SPARK_REMOTE or None,
        master=settings.SPARK_MASTER or None,
        archive=settings.SPARK_ARCHIVE or None,
        sealed=keys.encrypt(asking.logins(source, target)),
        keys=_own_keys() if settings.SPARK_MASTER.startswith("local") else (),
    )


def _own_keys() -> tuple[str, ...]:
    return (settings.ENCRYPTION_KEY, *settings.ENCRYPTION_KEYS_RETIRED)
