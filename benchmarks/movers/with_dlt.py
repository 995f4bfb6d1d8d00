"""dlt, as its documentation has it for speed: `with_dlt.py SOURCE_URL TARGET FOLDER`.

A target that is a URL is a PostgreSQL, and takes the table as it is; any other is a folder of a
Delta table, and the 20 rules are applied to Arrow tables on the way.
"""

import os
import sys

FOLDER = sys.argv[3]
os.environ |= {
    "DLT_DATA_DIR": FOLDER,
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
}

import dlt  # noqa: E402 - it reads the environment when it is loaded
import rules  # noqa: E402
from dlt.sources.sql_database import sql_table  # noqa: E402


def main() -> None:
    source_url, target = sys.argv[1:3]
    resource = sql_table(
        source_url,
        table="bench",
        backend="connectorx",
        backend_kwargs={"return_type": "arrow_stream", "batch_size": 50_000},
        reflection_level="minimal",
    )
    to_database = "://" in target
    if not to_database:
        resource = resource.add_map(rules.with_arrow)
        resource.apply_hints(table_format="delta")
    destination = (
        dlt.destinations.postgres(target)
        if to_database
        else dlt.destinations.filesystem(f"file://{target}")
    )
    pipeline = dlt.pipeline(
        "bench", pipelines_dir=FOLDER, destination=destination, dataset_name="bench_dlt"
    )
    pipeline.run(
        resource,
        table_name="bench",
        write_disposition="append",
        loader_file_format="parquet",
    )


if __name__ == "__main__":
    main()
