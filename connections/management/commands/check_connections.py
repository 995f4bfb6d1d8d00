from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from common.commands import OperatorCommand, offenders, seconds, whole_number
from common.documents import store
from common.documents.names import printable
from connections.checkup import Checked, check_all
from connections.models import Connection
from sources import asking

AT_ONCE = 8
BATCH = 100


class Command(OperatorCommand):
    help = "Test the stored connections, several at once, and note on each how it went."
    examples = ("", "crm 'Demo shop'", "--json --parallel 20", "--timeout 2")
    exit_codes = {0: "every connection answered", 1: "some did not, or there is none of that name"}
    when_stopped = "The tests that ended are noted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", help="Only these; without a name, all.")
        parser.add_argument(
            "--parallel",
            type=whole_number(1, 64),
            default=AT_ONCE,
            metavar="N",
            help=f"How many to test at once, 1 to 64 ({AT_ONCE}).",
        )
        parser.add_argument(
            "--timeout",
            type=seconds(120),
            default=settings.PROBE_TIMEOUT_S,
            metavar="SECONDS",
            help=f"How long each test may take ({settings.PROBE_TIMEOUT_S:g}).",
        )
        parser.add_argument("--json", action="store_true", help="Print the results as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        connections = _stored(options["names"])
        asking.configure(max_probes=max(asking.probes.limit, options["parallel"]))
        width = max((len(printable(found.name)) for found in connections), default=0)
        results = []
        with self.progress("Connections", len(connections)) as progress:
            for checked in _checked(connections, options["timeout"], options["parallel"]):
                progress.advance()
                results.append(checked)
                if not options["json"]:
                    self.tell(_row(checked, width))
        if options["json"]:
            self.write_json([_as_json(checked) for checked in results])
        else:
            answered = sum(checked.answered for checked in results)
            self.tell(f"{answered} of {len(results)} connections answered.")
        _fail_on([checked for checked in results if not checked.answered])


def _stored(names: list[str]) -> list[Connection]:
    """Return the connections of these names, all without names. Raises CommandError."""
    condition = {"name": {"$in": names}} if names else {}
    with store.command_timeout():
        found = list(store.collection(Connection).find(condition))
    if unknown := sorted({*names} - {document.get("name") for document in found}):
        raise offenders("There is no connection of this name:", unknown)
    records = [Connection.from_document(document) for document in found]
    return sorted(records, key=lambda connection: connection.name)


def _checked(connections: list[Connection], timeout_s: float, at_once: int) -> Iterator[Checked]:
    for start in range(0, len(connections), BATCH):
        yield from check_all(connections[start : start + BATCH], timeout_s, at_once)


def _row(checked: Checked, width: int) -> str:
    name = f"{printable(checked.connection.name):<{width}}"
    if checked.result is None or not checked.answered:
        return f"{name}  failed  {_error_code(checked)}: {checked.sentence}"
    details = checked.result.details
    tls = ", TLS" if details["tls"] else ""
    return (
        f"{name}  ok      {details['server']} {details['version']}, {details['latency_ms']} ms{tls}"
    )


def _error_code(checked: Checked) -> str:
    return checked.result.details["error_code"] if checked.result else "not_tested"


def _as_json(checked: Checked) -> dict[str, Any]:
    return {
        "name": checked.connection.name,
        "id": str(checked.connection.pk),
        "success": checked.answered,
        "message": checked.sentence,
        "details": checked.result.details if checked.result else {"error_code": "not_tested"},
    }


def _fail_on(failed: list[Checked]) -> None:
    if failed:
        raise offenders(
            "These connections failed:",
            [f'"{checked.connection.name}": {checked.sentence}' for checked in failed],
        )
