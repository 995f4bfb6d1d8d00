import io
import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.commands import OperatorCommand, offenders
from common.documents import store
from portability.export import export
from portability.kinds import KINDS


class Command(OperatorCommand):
    help = (
        "Write all connections, schemas, targets, mappings, schedules and notifications as YAML: "
        "by name, without ids, secrets as references to environment variables."
    )
    examples = ("> config.yaml", "--output config.yaml")
    exit_codes = {
        0: "everything was written",
        1: "some records could not be written whole: each is named, the others are there",
    }
    when_stopped = "Nothing was written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="Write here, and not to standard output."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        total = sum(store.collection(kind.model).estimated_document_count() for kind in KINDS)
        written = io.StringIO()
        with self.progress("Records", total) as progress:
            lost = export(written, progress.advance)
        if options["output"]:
            try:
                _replace(options["output"], written.getvalue())
            except OSError as failure:
                raise CommandError(f"{options['output']}: {failure.strerror}.") from failure
        else:
            self.stdout.write(written.getvalue(), ending="")
        if lost:
            raise offenders("These are not in the file, or not whole:", lost)


def _replace(file: Path, content: str) -> None:
    """Write a file whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_text(content, encoding="utf-8", newline="\n")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
