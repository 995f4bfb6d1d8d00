import difflib
import os
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.commands import OperatorCommand, offenders
from common.documents import names
from portability import text
from portability.apply import Interfered, apply
from portability.plan import Action, Change, FieldChange, Plan, plan
from portability.text import Problem, Problems

SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-"}


class Command(OperatorCommand):
    help = (
        "Make the store what a file of export_config says. Everything is checked before anything "
        "is written; secrets come from the environment variables that the file names, and one "
        "that is not set keeps the stored secret, unless the record moves to another place."
    )
    examples = (
        "config.yaml --plan     # what would be created and changed?",
        "config.yaml",
        "config.yaml --prune    # also delete what the file's sections do not name",
        "--json - < config.yaml",
    )
    exit_codes = {0: "done, or with --plan: it could be done", 1: "problems, all of them named"}
    when_stopped = "Each record is written whole or not at all; the same file again does the rest."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="A file of export_config; - is standard input.")
        parser.add_argument("--plan", action="store_true", help="Show the changes; write nothing.")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="Delete the records that the file does not name, in the sections that it has.",
        )
        parser.add_argument("--json", action="store_true", help="Print the changes as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changes = self._planned(options["file"], prune=options["prune"])
        except Problems as found:
            if options["json"]:
                self.write_json({"problems": [_problem_as_json(one) for one in found.problems]})
            raise _refused(options["file"], found) from found
        if options["json"]:
            self.write_json(_as_json(changes))
        else:
            for line in _described(changes):
                self.tell(line)
        if changes.changes and not options["plan"]:
            self._apply(changes)
            if not options["json"]:
                self.stdout.write("Written.")

    def _planned(self, file: str, *, prune: bool) -> Plan:
        content = _content(file)
        with self.progress("Records checked", 0) as progress:
            return plan(content, os.environ, prune=prune, advance=progress.advance)

    def _apply(self, changes: Plan) -> None:
        with self.progress("Records written", len(changes.changes)) as progress:
            try:
                apply(changes, progress.advance)
            except Interfered as failure:
                raise CommandError(names.printable(str(failure))) from failure


def _refused(file: str, found: Problems) -> CommandError:
    return offenders(
        f"Nothing was written; wrong in {file} ({len(found.problems)}):",
        [f"{file}:{problem}" for problem in found.problems],
    )


def _problem_as_json(problem: Problem) -> dict[str, Any]:
    line, column = problem.place
    return {"line": line, "column": column, "path": problem.path, "message": problem.message}


def _content(file: str) -> str:
    """Return the text of a file. Raises CommandError."""
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(text.MAX_BYTES + 1)
        else:
            with open(file, "rb") as opened:  # noqa: PTH123 - read up to a limit
                raw = opened.read(text.MAX_BYTES + 1)
        return raw.decode()
    except OSError as failure:
        raise CommandError(f"{file}: {failure.strerror}.") from failure
    except UnicodeDecodeError as failure:
        raise CommandError(f"{file}: Not UTF-8: byte {failure.start + 1} is no text.") from failure


# --- A plan in words ------------------------------------------------------------------------------


def _described(plan: Plan) -> Iterator[str]:
    for change in plan.changes:
        yield f'{SIGNS[change.action]} {change.kind.verbose_name} "{change.name}"'
        for field in change.fields:
            yield from (f"    {line}" for line in _field_lines(change, field))
    counts = [f"{plan.count(action)} to {action}" for action in Action]
    yield f"{', '.join(counts)}; {plan.unchanged} unchanged."


def _field_lines(change: Change, field: FieldChange) -> Iterator[str]:
    before, after = _lines(field.before), _lines(field.after)
    if field.field in change.kind.secrets:
        yield f"{field.field}: {_secret_change(field)}"
    elif len(before) <= 1 and len(after) <= 1:
        arrow = " → ".join([*(before or ["(none)"]), *(after or ["(none)"])])
        yield f"{field.field}: {arrow if change.action is Action.CHANGE else ''.join(after)}"
    else:
        yield f"{field.field}:"
        yield from (f"  {line}" for line in _changed_lines(before, after))


def _secret_change(field: FieldChange) -> str:
    if field.after is None:
        return "removed"
    return f"taken from {field.after}"


def _changed_lines(before: list[str], after: list[str]) -> Iterator[str]:
    for line in difflib.ndiff(before, after):
        if not line.startswith("?"):
            yield line.rstrip()


def _lines(value: Any) -> list[str]:
    """Return a value as the lines in which it is compared: a rule or a column is one."""
    if value is None:
        return []
    if isinstance(value, list):
        return [_item(item) for item in value]
    if isinstance(value, bool):
        return [str(value).lower()]
    return str(value).split("\n") if value != "" else ['""']


def _item(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    if "source_columns" not in item:
        return " ".join(str(value) for value in item.values())
    config = "".join(f" {name}={value!r}" for name, value in item.get("config", {}).items())
    sources, targets = (
        ", ".join(map(str, item.get(name) or [])) for name in ("source_columns", "target_fields")
    )
    return f"{item.get('type')} {sources} → {targets}{config}"


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "changes": [
            {
                "action": str(change.action),
                "kind": change.kind.section,
                "name": change.name,
                "fields": {
                    field.field: {"before": field.before, "after": field.after}
                    for field in change.fields
                },
            }
            for change in plan.changes
        ],
        "unchanged": plan.unchanged,
    }
