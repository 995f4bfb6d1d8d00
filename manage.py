#!/usr/bin/env python
"""Run a management command of the ETL Engine Backend."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        # Before a command has begun: those that have say themselves what Ctrl-C leaves.
        sys.exit(130)
