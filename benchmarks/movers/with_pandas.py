"""pandas and SQLAlchemy, in chunks of 50,000 rows: `with_pandas.py SOURCE_URL TARGET FOLDER`.

A target that is a URL is a PostgreSQL, and takes the table as it is; any other is a folder of a
Delta table, and the 20 rules are applied on the way.
"""

import csv
import io
import sys
from collections.abc import Iterable
from typing import Any

import pandas as pd
import rules
from deltalake import write_deltalake
from sqlalchemy import create_engine

CHUNK_ROWS = 50_000


def main() -> None:
    source_url, target = sys.argv[1:3]
    source = create_engine(source_url).connect().execution_options(stream_results=True)
    database = create_engine(target) if "://" in target else None
    for chunk in pd.read_sql("SELECT * FROM bench", source, chunksize=CHUNK_ROWS):
        if database:
            chunk.to_sql("bench_pandas", database, if_exists="append", index=False, method=copied)
        else:
            write_deltalake(target, rules.with_pandas(chunk), mode="append")


def copied(table: Any, connection: Any, names: list[str], rows: Iterable[Any]) -> None:
    """Insert by COPY, as the documentation of pandas has it."""
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    written.seek(0)
    columns = ", ".join(f'"{name}"' for name in names)
    with connection.connection.cursor() as cursor:
        cursor.copy_expert(f'COPY "{table.name}" ({columns}) FROM STDIN WITH CSV', written)


if __name__ == "__main__":
    main()
