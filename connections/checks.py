"""What `check` says about the drivers of source databases, and about where they are counted."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Warning, register

from connections.places import shared_folder


@register()
def mysql_driver(**_kwargs: Any) -> list[CheckMessage]:
    """Warn where mysqlclient could not be built, and PyMySQL reads MySQL alone."""
    if find_spec("MySQLdb") is not None:
        return []
    return [
        Warning(
            "mysqlclient is not installed: PyMySQL reads whole tables of MySQL, more slowly.",
            hint="Install a C compiler, pkg-config and libmariadb-dev, then "
            "`pip install -r requirements.txt`.",
            id="connections.W001",
        )
    ]


@register()
def places(**_kwargs: Any) -> list[CheckMessage]:
    """Warn where the processes cannot count tests and previews together."""
    try:
        shared_folder()
    except OSError as exc:
        return [
            Warning(
                f"Each process counts tests and previews for itself: {exc}",
                hint="Set PLACES_DIR to a folder of this account's own.",
                id="connections.W002",
            )
        ]
    return []
