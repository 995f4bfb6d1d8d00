"""A run of the engine, as the worker has it: `python -m benchmarks.movers.ours`, JSON on stdin."""

import json
import logging
import secrets
import sys
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

from cryptography.fernet import Fernet

from benchmarks.movers.rules import DIRECT, JOINS, SPLITS
from engine import asking, running
from engine.launchers.choice import Means
from engine.launchers.spark import Cluster
from engine.messages import RunSpec
from engine.plan import Field, Plan, Rule
from engine.target import TargetParams
from sources.contract import SourceParams

COPIED = [
    ("id", "integer"), ("name", "string"), ("email", "string"), ("city", "string"),
    ("country", "string"), ("amount", "float"), ("score", "float"), ("quantity", "integer"),
    ("active", "boolean"), ("born", "date"), ("created", "timestamp"), ("note", "string"),
]  # fmt: skip

MEANS = {
    "ours": Means(),
    "parts": Means(processes=2),
    "spark": Means(engine="spark"),
}


def main() -> None:
    logging.basicConfig()
    given: dict[str, Any] = json.load(sys.stdin)
    rules, columns = by_rules() if given["rules"] else as_it_is()
    means = MEANS[given["way"]]
    source = SourceParams.from_json(given["source"])
    target = TargetParams.from_json(given["target"])
    plan = Plan(
        query="SELECT * FROM bench",
        rules=tuple(rules),
        columns=tuple(columns),
        table="bench_ours",
        write_mode="append",
        mapping_id=secrets.token_hex(12),
        run_id=secrets.token_hex(12),
        loaded_at=datetime.now(UTC),
        split_column=None if given["way"] == "ours" else "id",
    )
    spec = RunSpec(
        plan, source, target, uuid.uuid4().hex, means=means,
        cluster=local_spark(source, target) if means.engine == "spark" else None,
    )  # fmt: skip
    report = running.run(spec, lambda note: None, threading.Event())
    assert report.rows_written == given["rows"], report  # noqa: S101


def local_spark(source: SourceParams, target: TargetParams) -> Cluster:
    key = Fernet.generate_key()
    sealed = Fernet(key).encrypt(asking.logins(source, target).encode()).decode()
    return Cluster(None, "local[2]", None, sealed, (key.decode(),))


def as_it_is() -> tuple[list[Rule], list[Field]]:
    rules = [Rule(name, "direct", (name,), (name,)) for name, _ in COPIED]
    return rules, [Field(name, kind) for name, kind in COPIED]


def by_rules() -> tuple[list[Rule], list[Field]]:
    rules = [Rule(target, "direct", (source,), (target,)) for source, target, _ in DIRECT]
    columns = [Field(target, kind) for _, target, kind in DIRECT]
    for source, targets, delimiter in SPLITS:
        rules.append(Rule(targets[0], "split", (source,), targets, delimiter=delimiter))
        columns += [Field(target, "string") for target in targets]
    for sources, target, separator in JOINS:
        rules.append(Rule(target, "join", sources, (target,), separator=separator))
        columns.append(Field(target, "string"))
    return rules, columns


if __name__ == "__main__":
    main()
