"""Open a target: the loader of its kind, with sessions that pass the walls of every connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pymysql.converters import conversions

from children import networks
from engine import options as known_options
from engine.load import proxy
from engine.load.contract import Loader
from engine.load.delta import DeltaLoader
from engine.load.mysql import MysqlLoader
from engine.load.postgresql import PostgresLoader
from engine.plan import Plan
from engine.problems import Problem
from engine.target import TargetParams
from engine.trouble import target_problem
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import SourceError
from sources.mysql import login as mysql
from sources.postgresql import login as postgresql

CONNECT_S = 30.0
NOWHERE = "http://127.0.0.1:9"
"""Where nothing listens: discard's port."""
# What tells an object store who asks; without any of these its library asks the machine.
_LOGINS = {
    "s3": ("access_key_id", "skip_signature"),
    "gs": ("service_account", "application_credentials", "skip_signature"),
    "az": ("account_key", "access_key", "sas", "client_id", "token", "use_emulator",
           "skip_signature"),
}  # fmt: skip
_SCHEMES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "azure": "az", "adl": "az"}


@contextmanager
def open_loader(plan: Plan, target: TargetParams) -> Iterator[Loader]:
    """Give the loader of a target, and end its sessions. Raises Problem."""
    with ExitStack() as stack:
        loader = _loader(plan, target, stack)
        stack.callback(loader.close)
        yield loader


def _loader(plan: Plan, target: TargetParams, stack: ExitStack) -> Loader:
    if target.kind == "delta":
        return DeltaLoader(plan, target.uri or "", store_options(target))
    connect = connector(target, stack)
    if target.kind == "mysql":
        return MysqlLoader(plan, connect)
    return PostgresLoader(plan, connect, schema=target.db_schema or "public")


def connector(target: TargetParams, stack: ExitStack) -> Callable[[], Any]:
    """Return what opens a session in a target's database, as its loader wants it."""
    params = target.database
    assert params is not None  # noqa: S101 - a target of this kind has one

    def connect() -> Any:
        try:
            return log_in(params, Clock(CONNECT_S), stack)
        except SourceError as exc:
            raise target_problem(exc, "plan") from exc

    return connect


def log_in(params: SourceParams, clock: Clock, stack: ExitStack) -> Any:
    """Return a session that may write, as a loader wants it; `stack` ends it.

    Raises SourceError.
    """
    return {"postgresql": _postgresql, "mysql": _mysql}[params.kind](params, clock, stack)


def _postgresql(params: SourceParams, clock: Clock, stack: ExitStack) -> Any:
    conn, _ = postgresql.log_in(params, clock, stack)
    return conn


def _mysql(params: SourceParams, clock: Clock, stack: ExitStack) -> Any:
    """Return a session that turns values into Python's, as sources' own do not."""
    conn: Any = mysql.log_in(params, clock, stack)
    conn.use_unicode = True
    conn.encoders = {key: value for key, value in conversions.items() if not isinstance(key, int)}
    conn.decoders = {key: value for key, value in conversions.items() if isinstance(key, int)}
    return conn


def store_options(target: TargetParams) -> dict[str, str]:
    """Return the options of an object store; nothing of this machine lends it any, unless told.

    Its library looks names up itself, so that it is given a proxy that dials what may be dialled.
    With `ambient` it asks the machine for a login, too, and the network is the operator's.

    Raises Problem where there is no login among them, or one that is not known.
    """
    options = {name: str(value) for name, value in target.options.items()}
    # What the environment lends is the operator's.
    if not target.ambient and (said := known_options.problem_of(options)):
        raise Problem("target_refused", said, hint="Change the target's credentials.", stage="plan")
    for _, endpoint in known_options.endpoints(options):
        _hold_to_networks(endpoint)
    scheme = (target.uri or "").partition("://")[0].lower()
    store = _SCHEMES.get(scheme, scheme)
    if store not in _LOGINS or target.ambient:
        return options
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    options["AWS_METADATA_ENDPOINT"] = NOWHERE
    options["PROXY_URL"] = proxy.running().url
    given = [name.lower() for name, value in options.items() if value]
    if not any(word in name for name in given for word in _LOGINS[store]):
        raise Problem(
            "target_refused",
            f"{target.uri} needs credentials, and the target has none.",
            hint="Give the target credentials, named as delta-rs names them.",
            stage="plan",
        )
    if any(name.lower().endswith("endpoint_url") and value.startswith("http://")
           for name, value in options.items()):  # fmt: skip
        options.setdefault("AWS_ALLOW_HTTP", "true")
    return options


def _hold_to_networks(endpoint: str) -> None:
    """Raise Problem for an endpoint that leads where this service may not connect."""
    try:
        networks.refuse_url(endpoint)
    except networks.NotAllowed as exc:
        raise Problem(
            "target_refused",
            f"The endpoint {endpoint} leads to {exc.address}, where this service may not connect.",
            hint="Take another endpoint, or have the operator change the networks.",
            stage="plan",
        ) from exc
    except OSError as exc:
        raise Problem(
            "target_unreachable",
            f"The endpoint {endpoint} is not known: {exc.strerror or exc}",
            hint="Check the endpoint's name.",
            stage="plan",
        ) from exc
