"""Run after run of one mapping until the process is killed: `python -m engine.tests.endless`."""

import sys

import pyarrow as pa

from engine.load.delta import DeltaLoader

from .plans import a_plan, direct
from .targets import Mysql, Postgres

ROWS = 300


def main(kind, place, write_mode, first):
    for run in range(int(first), 10_000):
        loader = loader_of(kind, place, write_mode)
        loader.begin()
        for start in range(0, ROWS, 100):
            numbers = [run] * 100
            keys = [f"{run}-{start + at}" for at in range(100)]
            loader.stage(pa.record_batch({"run": pa.array(numbers), "key": pa.array(keys)}))
        loader.commit(f"t{run}", loader.staged(), None)
        loader.close()


def loader_of(kind, place, write_mode):
    plan = a_plan(
        [direct("run", "run", "r1"), direct("key", "key", "r2")],
        {"run": "integer", "key": "string"},
        write_mode=write_mode,
        key_fields=("key",),
    )
    if kind == "delta":
        return DeltaLoader(plan, place)
    database = {"postgresql": Postgres, "mysql": Mysql}[kind]()
    database.name = place
    return database.loader(plan)


if __name__ == "__main__":
    main(*sys.argv[1:])
