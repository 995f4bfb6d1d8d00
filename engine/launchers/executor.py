"""A part of a run on an executor of Spark: it opens the logins, and has a child do the work.

The key is in the executor's environment; the child that meets the source has none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from children import networks
from engine.launchers import processes
from engine.problems import Problem

VALID_S = 24 * 60 * 60
MEND = "Give the executors the ENCRYPTION_KEY of the service; logins are good for one day."

Json = Any


def answers(
    batches: Iterator[pa.RecordBatch], sealed: str, told: str, ranges: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Give a row of `number` and `answer` for each number of a part."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            answer = json.dumps(_answer(sealed, told, ranges[number]))
            yield pa.record_batch({"number": pa.array([number]), "answer": [answer]})


def _answer(sealed: str, told: str, part: str) -> dict[str, Json]:
    try:
        logins = opened(sealed)
    except Problem as problem:
        return {"part": None, "problem": problem.as_dict()}
    networks.use(networks.Networks.from_json(logins.pop("networks")))
    return processes.done({**json.loads(told), **logins, "part": json.loads(part)}, Event())


def opened(sealed: str) -> dict[str, Json]:
    """Return logins that were sealed within a day. Raises Problem `secret_unreadable`."""
    try:
        found: dict[str, Json] = json.loads(_cipher().decrypt(sealed.encode(), ttl=VALID_S))
    except InvalidToken:
        raise _unreadable("The logins of the run were sealed with another key, or too long ago.") \
            from None  # fmt: skip
    return found


def _cipher() -> MultiFernet:
    file = os.environ.get("ENCRYPTION_KEY_FILE")
    key = Path(file).read_text().strip() if file else os.environ.get("ENCRYPTION_KEY", "")
    retired = os.environ.get("ENCRYPTION_KEYS_RETIRED", "").split(",")
    if not key:
        raise _unreadable("The executor has no ENCRYPTION_KEY.")
    return MultiFernet([Fernet(each.strip()) for each in (key, *retired) if each.strip()])


def _unreadable(message: str) -> Problem:
    return Problem("secret_unreadable", message, hint=MEND, stage="plan")
