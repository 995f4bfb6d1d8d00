import os
from argparse import ArgumentTypeError
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import CommandError, CommandParser

from common.commands import OperatorCommand, offenders, whole_number
from common.demo import CONNECTION, DEFAULT_SOURCE
from common.documents import names
from portability import demo
from portability.apply import Interfered


class Command(OperatorCommand):
    help = (
        'Have the demo\'s records in the store: the connection "Demo shop", three mappings with '
        "their schemas, one of them wrong on purpose, and two schedules. What is there already and "
        "right stays as it is."
    )
    examples = (
        "",
        "--source-url postgresql://shop_reader:PASSWORD@localhost:54320/shop",
        "--run",
        "--reset",
        "--scale 10000    # that many more of each kind, for load tests",
    )
    exit_codes = {0: "the records are there", 1: "they cannot be made: the message says why"}

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--source-url",
            type=_source_url,
            default=os.environ.get("DEMO_SOURCE_URL"),
            metavar="URL",
            help="The shop's PostgreSQL; else DEMO_SOURCE_URL, which `make run` sets.",
        )
        parser.add_argument(
            "--reset", action="store_true", help="First delete all that this command ever made."
        )
        parser.add_argument(
            "--run", action="store_true", help="Queue runs of the demo's mappings that never ran."
        )
        parser.add_argument(
            "--scale",
            type=whole_number(1, 1_000_000),
            default=0,
            metavar="N",
            help="Also have N connections, schemas, mappings and schedules for load tests.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["reset"]:
            self._remove()
        self._seed(options["source_url"])
        if options["run"]:
            self.tell(f"Demo: {demo.start_runs()} runs queued.")
        if options["scale"]:
            self._seed_load(options["scale"])

    def _remove(self) -> None:
        if used := list(demo.used_by_others()):
            raise offenders("Nothing was deleted, as records of others use what would go:", used)
        with self.progress("Records deleted", 0) as progress:
            removed = demo.remove(progress.advance)
        self.tell(f"Deleted: {removed:,} records.")

    def _seed(self, source_url: str | None) -> None:
        try:
            seeded = demo.seed(source_url)
        except Interfered as failure:
            raise CommandError(names.printable(str(failure))) from failure
        self.tell(
            f"Demo: {seeded.created} created, {seeded.changed} changed, "
            f"{seeded.unchanged} as they were."
        )
        if seeded.created and not source_url:
            self.tell(
                f'"{CONNECTION}" points to {DEFAULT_SOURCE}; give --source-url '
                "if the shop is elsewhere."
            )

    def _seed_load(self, count: int) -> None:
        with self.progress("Load-test records of each kind", count) as progress:
            inserted = demo.seed_load(count, progress.advance)
        self.tell(f"Load test: {count:,} of each kind, {inserted:,} records new.")


def _source_url(value: str) -> str:
    try:
        address = urlsplit(value)
        complete = address.hostname and address.path.strip("/") and address.username
        _ = address.port
    except ValueError:
        complete = None
    if not complete or address.scheme not in ("postgresql", "postgres"):
        raise ArgumentTypeError("expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return value
