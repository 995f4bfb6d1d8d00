"""Sealing in the service: a thread in each of its processes, and one of them at a time seals."""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError
from pymongo.errors import PyMongoError

from audit.chain import ChainBroken
from audit.sealing import BATCH, Sealer
from common.documents import store
from common.exceptions import ServiceError

EVERY_S = 0.4
AGAIN_S = 60.0
"""How often the log repeats what keeps the entries from being sealed."""

logger = logging.getLogger("audit")


def start() -> threading.Thread:
    """Begin to seal, in a thread that ends with the process."""
    thread = threading.Thread(target=_seal_for_ever, name="audit", daemon=True)
    thread.start()
    return thread


def _seal_for_ever() -> None:
    sealer, log = Sealer(), Complaints()
    while True:
        if _turn(sealer, log) < BATCH:
            time.sleep(EVERY_S)


def _turn(sealer: Sealer, log: Complaints) -> int:
    try:
        with store.batch_timeout():
            return sealer.turn()
    except ChainBroken as broken:
        log.say(f"No entry of the audit is sealed. {broken} Run manage.py verify_audit.")
    except (PyMongoError, DatabaseError, ServiceError) as failure:
        log.say(f"The store does not let the audit be sealed ({type(failure).__name__}).")
    except Exception:
        logger.exception("The audit could not be sealed; it is tried again.")
        time.sleep(EVERY_S)
    return 0


class Complaints:
    """What goes wrong each second is told once a minute."""

    def __init__(self) -> None:
        self.next = 0.0

    def say(self, sentence: str) -> None:
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + AGAIN_S
            logger.error(sentence)
