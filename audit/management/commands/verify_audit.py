import re
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from audit import verification
from audit.chain import Link
from audit.models import Entry
from common.commands import OperatorCommand, offenders
from common.documents import store


class Command(OperatorCommand):
    help = (
        "Look over the whole audit: name what was changed, removed, inserted or cut off, and what "
        "waits for its seal."
    )
    examples = ("", "--known 1200:9f86d0…    # and a seal that was noted elsewhere", "--json")
    exit_codes = {
        0: "every entry is as it was sealed",
        1: "some are not, or wait for more than a minute: each is named",
    }

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--known",
            type=_link,
            metavar="SEQ:HASH",
            help="A seal that this command, or an answer of the API, told before.",
        )
        parser.add_argument("--json", action="store_true", help="Print the findings as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        total = store.count(Entry, {})
        with self.progress("Entries", total) as progress:
            found = verification.verify(progress.advance, options["known"])
        if options["json"]:
            self.write_json(
                {
                    "problems": found.problems,
                    "sealed": found.sealed,
                    "unsealed": found.unsealed,
                    "newest": {"seq": found.newest.seq, "hash": found.newest.hash},
                }
            )
        else:
            self.stdout.write(f"{found.sealed:,} entries are sealed, {found.unsealed:,} wait.")
            self.stdout.write(f"Newest: {found.newest.seq}:{found.newest.hash}")
        if found.problems:
            raise offenders("The audit is not what it was:", found.problems)


def _link(text: str) -> Link:
    match = re.fullmatch(r"(\d{1,10}):([0-9a-f]{64})", text)
    if not match:
        raise ArgumentTypeError("expected SEQ:HASH, as this command prints it")
    return Link(int(match[1]), match[2])
