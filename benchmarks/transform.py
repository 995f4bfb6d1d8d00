"""How many rows a second pass 20 rules on one core.

python -m benchmarks.transform
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from engine.kinds import SourceColumn
from engine.plan import Field, Plan, Rule
from engine.transform import transform

ROWS = 32_768
BATCHES = 20
ROUNDS = 5
START = datetime(2024, 1, 1, tzinfo=UTC)
DIRECT = [
    ("id", "integer"), ("id", "string"), ("n", "integer"), ("n", "float"), ("amount", "float"),
    ("amount", "string"), ("score", "float"), ("name", "string"), ("name", "string"),
    ("city", "string"), ("city", "string"), ("flag", "boolean"), ("born", "date"),
    ("at", "timestamp"), ("at", "date"), ("seen", "timestamp"), ("quantity", "integer"),
    ("quantity", "float"),
]  # fmt: skip


def main() -> None:
    batch, source = rows()
    work = plan()
    rates = sorted(rate(batch, source, work) for _ in range(ROUNDS))
    print(
        f"{len(work.rules)} rules: {rates[ROUNDS // 2]:,.0f} rows/s a core "
        f"({rates[0]:,.0f} to {rates[-1]:,.0f})"
    )


def rate(batch: pa.RecordBatch, source: list[SourceColumn], work: Plan) -> float:
    """Return rows a second of processor time."""
    began = time.process_time()
    for _ in range(BATCHES):
        transform(batch, source, work)
    return BATCHES * batch.num_rows / (time.process_time() - began)


def rows() -> tuple[pa.RecordBatch, list[SourceColumn]]:
    """Return a batch as a driver that reads text gives it."""
    chance = random.Random(1)  # noqa: S311 - the same rows each time, no secret
    moments = [
        str(START + timedelta(seconds=chance.randrange(10**8) / 2))[:-6] for _ in range(ROWS)
    ]
    columns = {
        "id": ("integer", [str(number) for number in range(ROWS)]),
        "n": ("integer", [str(chance.randrange(10**6)) for _ in range(ROWS)]),
        "amount": ("decimal", [f"{chance.random() * 1e4:.2f}" for _ in range(ROWS)]),
        "score": ("float64", [repr(chance.random()) for _ in range(ROWS)]),
        "name": ("text", [f"customer {number}" for number in range(ROWS)]),
        "city": ("text", [chance.choice(["Köln", "Berlin", "Paris"]) for _ in range(ROWS)]),
        "flag": ("boolean", [chance.choice("tf") for _ in range(ROWS)]),
        "born": ("date", [moment[:10] for moment in moments]),
        "at": ("timestamp", moments),
        "seen": ("timestamptz", [f"{moment}+00" for moment in moments]),
        "quantity": ("text", [str(chance.randrange(1000)) for _ in range(ROWS)]),
        "tags": ("text", ["a,b,c"] * ROWS),
    }
    source = [SourceColumn(name, kind) for name, (kind, _) in columns.items()]
    return pa.record_batch({name: pa.array(cells) for name, (_, cells) in columns.items()}), source


def plan() -> Plan:
    fields = [Field(f"{name}_{at}", data_type) for at, (name, data_type) in enumerate(DIRECT)]
    rules = [
        Rule(f"d{at}", "direct", (name,), (field.name,))
        for at, ((name, _), field) in enumerate(zip(DIRECT, fields, strict=True))
    ]
    texts = [Field(name, "string") for name in ("first", "second", "joined")]
    return Plan(
        query="SELECT * FROM customers",
        rules=(
            *rules,
            Rule("s", "split", ("tags",), ("first", "second"), delimiter=","),
            Rule("j", "join", ("name", "city"), ("joined",), separator=" "),
        ),
        columns=(*fields, *texts),
        table="customers",
        write_mode="append",
        mapping_id="m",
        run_id="r",
        loaded_at=START,
    )


if __name__ == "__main__":
    main()
