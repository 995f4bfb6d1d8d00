"""The 20 rules of the benchmark, and the same by hand on Arrow tables and on data frames.

By hand nothing is checked: a value that does not fit ends the whole.
"""

from typing import Any

DIRECT = [
    ("id", "id", "integer"), ("id", "id_text", "string"), ("email", "email", "string"),
    ("city", "city", "string"), ("country", "country", "string"), ("amount", "amount", "float"),
    ("amount", "amount_text", "string"), ("score", "score", "float"),
    ("quantity", "quantity", "integer"), ("quantity", "quantity_text", "string"),
    ("active", "active", "boolean"), ("born", "born", "date"), ("born", "born_at", "timestamp"),
    ("created", "created", "timestamp"), ("created", "created_on", "date"),
    ("note", "note", "string"),
]  # fmt: skip
SPLITS = [("name", ("first", "last"), " "), ("email", ("account", "domain"), "@")]
JOINS = [(("city", "country"), "place", ", "), (("name", "email"), "contact", " ")]


def with_arrow(table: Any) -> Any:
    """Return a table of the source as one of the target."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = {
        "string": pa.string(), "integer": pa.int64(), "float": pa.float64(), "boolean": pa.bool_(),
        "date": pa.date32(), "timestamp": pa.timestamp("us", "UTC"),
    }  # fmt: skip
    out = {target: table[source].cast(types[kind]) for source, target, kind in DIRECT}
    for source, targets, delimiter in SPLITS:
        pieces = pc.split_pattern(table[source], delimiter)
        out |= {target: pc.list_element(pieces, at) for at, target in enumerate(targets)}
    for sources, target, separator in JOINS:
        out[target] = pc.binary_join_element_wise(*(table[name] for name in sources), separator)
    return pa.table(out)


def with_pandas(frame: Any) -> Any:
    """Return a frame of the source as one of the target."""
    import pandas as pd

    casts = {
        "string": lambda column: column.astype("string"),
        "integer": lambda column: column.astype("int64"),
        "float": lambda column: column.astype("float64"),
        "boolean": lambda column: column.astype("bool"),
        "date": lambda column: pd.to_datetime(column).dt.date,
        "timestamp": lambda column: pd.to_datetime(column, utc=True),
    }
    out = {target: casts[kind](frame[source]) for source, target, kind in DIRECT}
    for source, targets, delimiter in SPLITS:
        pieces = frame[source].str.split(delimiter, expand=True)
        out |= {target: pieces[at] for at, target in enumerate(targets)}
    for (first, second), target, separator in JOINS:
        out[target] = frame[first] + separator + frame[second]
    return pd.DataFrame(out)
