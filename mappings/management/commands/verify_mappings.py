from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from bson import ObjectId
from django.core.management.base import CommandParser
from django.db import connection

from common.commands import OperatorCommand, offenders, whole_number
from common.documents import store
from common.documents.codecs import record_codec
from common.exceptions import NotFound, ServiceError
from mappings.models import Mapping, Verification, VerificationStatus
from mappings.verify import verify

AT_ONCE = 4

Named = tuple[ObjectId, str]


class Command(OperatorCommand):
    help = "Ask the sources whether the stored mappings can run, and note the answers on them."
    examples = ("", "orders 'Daily customers'", "--json --parallel 8")
    exit_codes = {
        0: "no mapping is broken",
        1: "some are broken, or there is none of that name",
    }
    when_stopped = "The mappings that were asked for are noted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", help="Only these; without a name, all.")
        parser.add_argument(
            "--parallel",
            type=whole_number(1, 16),
            default=AT_ONCE,
            metavar="N",
            help=f"How many to ask for at once, 1 to 16 ({AT_ONCE}).",
        )
        parser.add_argument("--json", action="store_true", help="Print the results as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        mappings = _stored(options["names"])
        results, broken = [], []
        with self.progress("Mappings", len(mappings)) as progress:
            for (identifier, name), found in _verified(mappings, options["parallel"]):
                progress.advance()
                said = " ".join(one["message"] for one in found["problems"])
                results.append({"id": str(identifier), "name": name, **found})
                if found["status"] == VerificationStatus.BROKEN:
                    broken.append(f'"{name}": {said}')
                if not options["json"]:
                    self.tell(f"{found['status']:<10}  {name}{f': {said}' if said else ''}")
        if options["json"]:
            self.write_json(results)
        else:
            verified = sum(one["status"] == VerificationStatus.VERIFIED for one in results)
            self.tell(f"{verified} of {len(results)} mappings are verified.")
        if broken:
            raise offenders("These mappings are broken:", broken)


def _stored(names: list[str]) -> list[Named]:
    """Return the mappings of these names, all without names. Raises CommandError."""
    condition = {"name": {"$in": names}} if names else {}
    with store.command_timeout():
        documents = list(store.find(Mapping, condition, {"name": 1}))
    if unknown := sorted({*names} - {document.get("name") for document in documents}):
        raise offenders("There is no mapping of this name:", unknown)
    found = [(one["_id"], str(one.get("name", one["_id"]))) for one in documents]
    return sorted(found, key=lambda named: named[1])


def _verified(mappings: list[Named], at_once: int) -> Iterator[tuple[Named, dict[str, Any]]]:
    """Yield each mapping with its verification as a GET shows it, in their order."""
    executor = ThreadPoolExecutor(at_once)
    try:
        asked = [executor.submit(copy_context().run, _answer, one[0]) for one in mappings]
        for named, future in zip(mappings, asked, strict=True):
            if (found := future.result()) is not None:
                yield named, found
    finally:
        executor.shutdown(cancel_futures=True)


def _answer(identifier: ObjectId) -> dict[str, Any] | None:
    """Return how a mapping stands, None where it has gone meanwhile."""
    try:
        found = verify(identifier)
    except NotFound:
        return None
    except ServiceError as refusal:
        return {
            "status": VerificationStatus.UNVERIFIED.value,
            "checked_at": None,
            "columns": [],
            "problems": [{"code": refusal.code, "message": refusal.detail, "rule_id": None}],
        }
    finally:
        connection.close()
    codec = record_codec(Verification)
    return codec.show(codec.store(found))
