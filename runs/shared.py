"""What the service and its workers must share, compared before a run: keys and folders.

The service notes in the store, as it starts, fingerprints of its keys and a mark that it leaves in
DATA_DIR and in each of LAKE_DIRS. A worker on another machine that has other keys, or whose folders
are others of the same name, finds that out before it reads a row.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError
from pymongo.errors import PyMongoError

from common.documents import store
from engine.problems import Problem
from engine.target import TargetParams
from targets import places

SHARED = "run_shared"
"""The collection with the one document that the service keeps of itself."""
MARK = ".etl-engine"
AGAIN_S = 5.0

logger = logging.getLogger("runs")


def start() -> None:
    """Note what is to be shared, in a thread: the service starts without its store, too."""
    threading.Thread(target=_note_in_time, name="shared", daemon=True).start()


def _note_in_time() -> None:
    while True:
        try:
            note()
        except (PyMongoError, DatabaseError):
            time.sleep(AGAIN_S)
        else:
            return


def note() -> None:
    """Note the keys and folders of this process as those of the service."""
    marks = [{"folder": name, "mark": _marked(root)} for name, root in _roots()]
    noted = {"keys": fingerprints(), "folders": [one for one in marks if one["mark"]]}
    with store.batch_timeout():
        store.named(SHARED).update_one({"_id": "service"}, {"$set": noted}, upsert=True)


def require_keys() -> None:
    """Raise Problem `secret_unreadable` where this process has none of the service's keys."""
    noted = (store.named(SHARED).find_one({"_id": "service"}) or {}).get("keys")
    if noted and not set(noted) & set(fingerprints()):
        raise Problem(
            "secret_unreadable",
            "The worker's ENCRYPTION_KEY is not the service's.",
            hint="Give every worker the ENCRYPTION_KEY of the service, then run it again.",
            stage="plan",
        )


def require_folder(target: TargetParams) -> None:
    """Raise Problem `target_refused` where a target's folder is not the service's.

    What lies in a bucket or in a database is the same from everywhere.
    """
    if target.kind != "delta" or places.is_bucket(target.uri):
        return
    place = Path(target.uri or "")
    name, root = next(
        ((name, root) for name, root in _roots() if root == place or root in place.parents),
        ("DATA_DIR", Path(settings.DATA_DIR)),
    )
    service = store.named(SHARED).find_one({"_id": "service"}) or {}
    marks = {one["folder"]: one["mark"] for one in service.get("folders") or ()}
    if name in marks and marks[name] != _mark_in(root):
        raise Problem(
            "target_refused",
            f"The worker's {name} is not the folder that the service has there.",
            hint="Mount one folder for the service and all workers, or give the mapping a target "
            "in a bucket, such as s3://.",
            stage="plan",
        )


def fingerprints() -> list[str]:
    """Return what tells this process's keys from others, and tells nothing of them."""
    keys = [settings.ENCRYPTION_KEY, *settings.ENCRYPTION_KEYS_RETIRED]
    found = (hmac.new(key.encode(), b"etl-engine", hashlib.sha256) for key in keys if key)
    return [one.hexdigest()[:16] for one in found]


def _roots() -> Iterator[tuple[str, Path]]:
    """Yield the folders below which lakes lie, each with its name in messages."""
    first, *further = places.roots()
    yield "DATA_DIR", first
    for root in further:
        yield str(root), root


def _marked(root: Path) -> str | None:
    """Return the mark in a folder, which is left there once; None where nothing can be written."""
    draft = root / f"{MARK}-{secrets.token_hex(4)}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        draft.write_text(secrets.token_hex(16))
        with suppress(FileExistsError):
            os.link(draft, root / MARK)
        draft.unlink()
    except OSError as failure:
        logger.info("No mark can be left in %s: %s", root, failure.strerror)
    return _mark_in(root)


def _mark_in(root: Path) -> str | None:
    try:
        return (root / MARK).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
