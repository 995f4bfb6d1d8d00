"""Writes what executors of Spark need to do a part of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from common.commands import OperatorCommand
from engine.launchers import archive


class Command(OperatorCommand):
    help = "Write this program and its libraries as one file, for Spark to hand to executors."
    examples: ClassVar = ("/srv/etl/etl-executors.zip",)
    exit_codes: ClassVar = {0: "written", 1: "the file cannot be written"}
    when_stopped: ClassVar = "The file is not complete; run the command again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="The file, such as etl-executors.zip.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["path"]
        try:
            found = archive.make(path)
        except OSError as exc:
            raise CommandError(f"{path} cannot be written: {exc.strerror or exc}.") from exc
        size_mib = path.stat().st_size / 2**20
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        self.tell(f"{path}: {size_mib:.0f} MiB, {len(found)} libraries, for Python {version}.")
