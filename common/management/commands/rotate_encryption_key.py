from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from common.commands import OperatorCommand, offenders
from common.secrets import rotation
from common.secrets.rotation import Report


class Command(OperatorCommand):
    help = (
        "Bring every stored secret under ENCRYPTION_KEY; the keys in ENCRYPTION_KEYS_RETIRED "
        "open what is stored so far."
    )
    examples = (
        "--verify     # can every secret be read, and with which key?",
        "--dry-run    # what would be written?",
        "",
        "--json",
    )
    exit_codes = {
        0: "every secret is readable, and (without --dry-run, --verify) under ENCRYPTION_KEY",
        1: "some are not: each is named, and the old keys must be kept",
    }
    when_stopped = "Every secret is readable with the configured keys; run it again to finish."

    def add_arguments(self, parser: CommandParser) -> None:
        modes = parser.add_mutually_exclusive_group()
        modes.add_argument("--dry-run", action="store_true", help="Look, and write nothing.")
        modes.add_argument(
            "--verify", action="store_true", help="Tell which key opens each secret; write nothing."
        )
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        keys = rotation.Keys()
        writes = not (options["dry_run"] or options["verify"])
        with self.progress("Records", rotation.count_documents()) as progress:
            if writes:
                total, last = rotation.rotate(keys, progress.advance)
            else:
                total = last = rotation.look(keys, progress.advance, write=False)
        if options["json"]:
            self.write_json(_as_json(total, last, writes=writes))
        else:
            self._tell(total, last, len(keys.fernets), options)
        self._fail_on(last, writes=writes)

    def _tell(self, total: Report, last: Report, keys: int, options: dict[str, Any]) -> None:
        if options["verify"]:
            for number in range(keys):
                self.tell(f"{_key_name(number)}: {_secrets(last.by_key[number])}")
        elif options["dry_run"]:
            self.tell(f"{_secrets(last.secrets)} found; {last.due:,} would be written anew.")
        else:
            self.tell(
                f"{_secrets(total.secrets)} found; {total.rotated:,} written under the first key."
            )
        if total.wrapped:
            verb = "unwrapped" if not options["dry_run"] and not options["verify"] else "found"
            self.tell(f"{_secrets(total.wrapped)} in a wrapping of base64 {verb}.")
        self.tell(_verdict(last))

    def _fail_on(self, last: Report, *, writes: bool) -> None:
        if last.unreadable:
            raise offenders(
                f"No configured key opens {_secrets(len(last.unreadable))}; give each a new value, "
                "delete its record, or add its key to ENCRYPTION_KEYS_RETIRED:",
                [str(unreadable) for unreadable in last.unreadable],
            )
        if writes and last.due:
            raise offenders(
                f"Secrets are still being written under an old key, {last.due:,} in the last pass:",
                ["restart every process of the service with the new keys, then run this again."],
            )


def _verdict(last: Report) -> str:
    if last.old_keys_can_go:
        return "ENCRYPTION_KEYS_RETIRED may be emptied: every secret is under ENCRYPTION_KEY."
    under_old = last.by_key.total() - last.by_key[rotation.FIRST_KEY]
    reasons = [
        f"{_secrets(count)} {what}"
        for count, what in (
            (under_old, "under an old key"),
            (len(last.unreadable), "unreadable"),
        )
        if count
    ]
    return f"Keep ENCRYPTION_KEYS_RETIRED: {' and '.join(reasons)}."


def _key_name(number: int) -> str:
    return f"ENCRYPTION_KEYS_RETIRED, key {number}" if number else "ENCRYPTION_KEY"


def _secrets(count: int) -> str:
    return f"{count:,} secret{'' if count == 1 else 's'}"


def _as_json(total: Report, last: Report, *, writes: bool) -> dict[str, Any]:
    return {
        "secrets": total.secrets,
        "rotated": total.rotated,
        "due": last.due,
        "wrapped": total.wrapped,
        "by_key": {_key_name(number): count for number, count in sorted(total.by_key.items())},
        "unreadable": [asdict(unreadable) for unreadable in last.unreadable],
        "old_keys_can_be_dropped": last.old_keys_can_go,
        "wrote": writes,
    }
