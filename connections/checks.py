"""What `check` says about the drivers of source databases."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Warning, register


@register()
def mysql_driver(**_kwargs: Any) -> list[CheckMessage]:
    """Warn where mysqlclient could not be built, and PyMySQL reads MySQL alone."""
    if find_spec("MySQLdb") is not None:
        return []
    return [
        Warning(
            "mysqlclient is not installed: PyMySQL reads whole tables of MySQL, in three times as "
            "long.",
            hint="Install a C compiler and libmariadb-dev, then `pip install mysqlclient`.",
            id="connections.W001",
        )
    ]
