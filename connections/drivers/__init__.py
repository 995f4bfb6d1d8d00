"""The source databases this service can read: one file a kind, and this one list of them."""

from __future__ import annotations

from .base import Driver, Session, SourceParams
from .errors import SourceUnreachable
from .mysql import MySQLDriver
from .postgresql import PostgresDriver
from .watch import Watch

DRIVERS: dict[str, type[Driver]] = {driver.kind: driver for driver in (MySQLDriver, PostgresDriver)}


def open_session(params: SourceParams, watch: Watch) -> Session:
    """Open a session of `params`, before the watch ends.

    Raises SourceUnreachable, SourceTimeout, RequestAborted.
    """
    _check_params(params)
    return DRIVERS[params.kind]().open(params, watch)


def _check_params(params: SourceParams) -> None:
    if params.kind not in DRIVERS:
        raise SourceUnreachable(
            f'"{params.kind}" is not a kind of database known here.',
            hint=f"Choose one of {', '.join(DRIVERS)}.",
        )
    if not 1 <= params.port <= 65535:
        raise SourceUnreachable(
            f"The port {params.port} is not between 1 and 65535.", hint="Correct it.", stage="port"
        )
    for name in ("host", "database", "username", "password"):
        if "\0" in getattr(params, name):
            raise SourceUnreachable(
                f"The {name} contains a NUL character.", hint="Leave it out.", stage="login"
            )
