"""What a source hands over: batches of rows, and a kind for each of their columns.

**The contract of a batch.** A source gives `pyarrow.RecordBatch`es, all of one Arrow schema, with
one column for each `SourceColumn`, in the query's order; names may repeat. Null is null in every
kind. Text is UTF-8. A cell that is larger than allowed may come cut, as long as what is left is
still larger than allowed. Within a cursor's window a source may add a column of `edge.AFTER` and
`edge.UNTIL`, the last one.

Each kind comes in Arrow's own type, or as the text that the database writes, so that a driver
which reads text and one which reads binary feed the same function:

| kind          | Arrow type                  | or as text                                      |
| ------------- | --------------------------- | ----------------------------------------------- |
| `integer`     | any integer                 | digits, any number of them                      |
| `decimal`     |                             | exact, with its scale: `1.10`; `NaN`            |
| `float32`     | `float`                     | the shortest digits that read back the same     |
| `float64`     | `double`                    | the same                                        |
| `boolean`     | `bool`                      | `true`, `t`, `1` and `false`, `f`, `0`          |
| `tinyint1`    | any integer                 | digits                                          |
| `date`        | `date32`, years 1 to 9999   | `2026-01-31`, others as they are                |
| `timestamp`   | `timestamp`, these years    | `2026-01-31 03:04:05.5`, others as they are     |
| `timestamptz` | `timestamp`, these years    | the same in UTC, with or without `+00`          |
| `time`        | `time64`                    | `03:04:05.5`                                    |
| `binary`      | `binary`                    |                                                 |
| `json`        |                             | JSON, `null` for JSON's null                    |
| `record`      |                             | as a preview shows it                           |
| `text`        |                             | as a preview shows it                           |

"Others" are what has no place in Arrow: infinite, BC and zero moments, years past 9999. A column
that may hold them comes as text.

`tinyint1` is MySQL's `TINYINT(1)`; `timestamp` has no zone, `timestamptz` (PostgreSQL's type of
that name, MySQL's `TIMESTAMP`) has one, and is read in a session whose zone is UTC; `time` is a
time of day without a zone, and MySQL's `TIME`; `json` takes arrays, too; `record` is PostgreSQL's
composite types; `text` is for text, enumerations and everything else. MySQL's `FLOAT` is shortened
on the wire: read `c + 0e0`, and give it as `float32`. PostgreSQL's date style has to be ISO.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DATA_TYPES = ("string", "integer", "float", "boolean", "date", "timestamp")

# What a kind may become beside text.
_BECOMES = {
    "integer": {"integer", "float", "boolean"},
    "decimal": {"integer", "float", "boolean"},
    "float32": {"integer", "float", "boolean"},
    "float64": {"integer", "float", "boolean"},
    "boolean": {"integer", "boolean"},
    "tinyint1": {"integer", "float", "boolean"},
    "date": {"date", "timestamp"},
    "timestamp": {"date", "timestamp"},
    "timestamptz": {"date", "timestamp"},
    "time": set(),
    "binary": set(),
    "json": {"integer", "float", "boolean"},
    "record": set(),
    "text": {"integer", "float", "boolean", "date", "timestamp"},
}
KINDS = tuple(_BECOMES)

# Types of a database whose text is never a number's, a truth value's or a moment's.
_TEXT_ALONE = re.compile(
    r".*\[\]|uuid|interval\b.*|inet[46]?|cidr|macaddr8?|(int4|int8|num|ts|tstz|date)(multi)?range"
    r"|time(\(\d\))? with time zone|pg_lsn|tid|tsvector|tsquery"
    r"|point|line|lseg|box|path|polygon|circle"
    r"|geometry|linestring|multi(point|linestring|polygon)|geom(etry)?collection"
)
# Types of a database whose text may be a number's, and never a moment's.
_NO_MOMENT = re.compile(r"bit( varying)?(\(\d+\))?|money|json")
_MOMENTS = {"date", "timestamp"}

# What a cursor may run along: these kinds, and of `text` the types that are text to the database.
_ORDERED = {"integer", "decimal", "float32", "float64", *_MOMENTS, "timestamptz"}
_TEXTS = re.compile(
    r"text|(character varying|character|varchar)(\(\d+\))?|bpchar|name|(.+\.)?citext"
)


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column of the query's answer; `database_type` is for people, `kind` decides."""

    name: str
    kind: str
    database_type: str = ""

    def can_become(self, data_type: str) -> bool:
        """Tell whether any of its values fits a field of this type."""
        if data_type == "string":
            return True
        if self.kind in ("json", "text"):
            if _TEXT_ALONE.fullmatch(self.database_type):
                return False
            if data_type in _MOMENTS and _NO_MOMENT.fullmatch(self.database_type):
                return False
        return data_type in _BECOMES[self.kind]

    @property
    def has_order(self) -> bool:
        """Tell whether it may be a cursor: numbers, moments, and what is text to the database."""
        is_text = self.kind == "text" and _TEXTS.fullmatch(self.database_type)
        return self.kind in _ORDERED or bool(is_text)
