from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandParser

from common.commands import OperatorCommand, offenders
from common.documents import references
from common.documents.references import Dangling


@dataclass(frozen=True)
class Found:
    orphans: list[Dangling]
    dangling: list[Dangling]
    expired_leases: int


class Command(OperatorCommand):
    help = (
        "Look for what a crash can leave: column mappings of mappings that are gone, other "
        "references to nothing, expired leases."
    )
    examples = ("", "--mend    # remove orphans and expired leases", "--json")
    exit_codes = {
        0: "every reference leads to a record, or with --mend: does so now",
        1: "some lead to nothing: each is named",
    }

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--mend",
            action="store_true",
            help="Remove column mappings of mappings that are gone, and expired leases.",
        )
        parser.add_argument("--json", action="store_true", help="Print the findings as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = self._found()
        removed = _mend(found) if options["mend"] else 0
        if options["json"]:
            self.write_json(_as_json(found, removed))
        else:
            self._tell(found, removed, mended=options["mend"])
        remaining = found.dangling + ([] if options["mend"] else found.orphans)
        if remaining:
            raise offenders("These refer to nothing:", [str(lost) for lost in remaining])

    def _found(self) -> Found:
        with self.progress("Records", references.count_documents()) as progress:
            lost = list(references.dangling(progress.advance))
        return Found(
            [found for found in lost if found.orphan],
            [found for found in lost if not found.orphan],
            references.expired_leases(),
        )

    def _tell(self, found: Found, removed: int, *, mended: bool) -> None:
        did = f"; {removed} removed" if mended else ""
        self.stdout.write(f"Orphans, which --mend removes: {len(found.orphans)}{did}.")
        self.stdout.write(
            f"Other references to nothing, for you to change or delete: {len(found.dangling)}."
        )
        leases = "; removed" if mended and found.expired_leases else ""
        self.stdout.write(f"Expired leases, which block nobody: {found.expired_leases}{leases}.")


def _mend(found: Found) -> int:
    references.end_expired_leases()
    return sum(references.remove(orphan) for orphan in found.orphans)


def _as_json(found: Found, removed: int) -> dict[str, Any]:
    return {
        "orphans": [_lost(lost) for lost in found.orphans],
        "dangling": [_lost(lost) for lost in found.dangling],
        "expired_leases": found.expired_leases,
        "removed": removed,
    }


def _lost(lost: Dangling) -> dict[str, str]:
    return {
        "kind": lost.model.noun,
        "id": str(lost.id),
        "name": lost.name,
        "field": lost.field,
        "target": str(lost.target),
    }
