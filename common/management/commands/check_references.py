from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandParser

from common.commands import OperatorCommand, offenders
from common.documents import references
from common.documents.models import verbose_name
from common.documents.references import Dangling


@dataclass(frozen=True)
class Found:
    orphans: list[Dangling]
    dangling: list[Dangling]


class Command(OperatorCommand):
    help = (
        "Look for what a crash can leave: records of others that are gone, and other references "
        "that lead to nothing."
    )
    examples = ("", "--mend    # remove orphans", "--json")
    exit_codes = {
        0: "every reference leads to a record, or with --mend: does so now",
        1: "some lead to nothing: each is named",
    }

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--mend",
            action="store_true",
            help="Remove what went with a record that is gone; never what names no id.",
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
        )

    def _tell(self, found: Found, removed: int, *, mended: bool) -> None:
        did = f"; {removed} removed" if mended else ""
        self.tell(f"Orphans, which --mend removes: {len(found.orphans)}{did}.")
        self.tell(
            f"Other references to nothing, for you to change or delete: {len(found.dangling)}."
        )


def _mend(found: Found) -> int:
    return sum(references.remove(orphan) for orphan in found.orphans)


def _as_json(found: Found, removed: int) -> dict[str, Any]:
    return {
        "orphans": [_lost(lost) for lost in found.orphans],
        "dangling": [_lost(lost) for lost in found.dangling],
        "removed": removed,
    }


def _lost(lost: Dangling) -> dict[str, str | None]:
    return {
        "kind": verbose_name(lost.model),
        "id": str(lost.id),
        "name": lost.name,
        "field": lost.field,
        "target": None if lost.target is None else str(lost.target),
    }
