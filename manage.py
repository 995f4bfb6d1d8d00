#!/usr/bin/env python
"""Run a management command of the ETL Engine Backend."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_config.settings")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit(
            "This Python has no Django. Use the one of the checkout, which `make venv` makes: "
            f".venv/bin/python manage.py {' '.join(sys.argv[1:])}"
        )
    if (ROOT / ".run" / "lock").exists():
        # `make run` has been used here.
        from devtools.checkout import settle_store

        settle_store()
    from common.context import of_command, use

    # Django's own commands, and the shell, write as well.
    with use(of_command()):
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        # Before a command has begun: those that have say themselves what Ctrl-C leaves.
        sys.exit(130)
