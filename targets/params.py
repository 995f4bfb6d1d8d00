"""What the engine needs to open a target."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from children import networks
from common.documents import store
from connections.models import Connection
from engine import options as known_options
from engine.problems import Problem
from engine.target import TargetParams
from targets import places
from targets.models import NO_CREDENTIALS, Target, TargetKind

MEND = "Change the target, then try again."


def target_params(target: Target | None) -> TargetParams:
    """Return how a target is opened, secrets revealed; None is the default.

    Where a folder may lie is looked at anew: links change. Raises Problem `target_refused` or
    `connection_gone`, and UnreadableSecret.
    """
    if target is None:
        return TargetParams("delta", uri=str(Path(places.default_uri()).resolve()))
    if target.kind == TargetKind.DELTA:
        return _folder(target)
    return TargetParams(
        target.kind, database=_database(target).params(), db_schema=target.db_schema
    )


def _folder(target: Target) -> TargetParams:
    uri = target.uri or ""
    if problem := places.problem_of(uri):
        raise Problem("target_refused", problem, hint=MEND, stage="plan")
    if target.lacks_credentials():
        raise Problem("target_refused", NO_CREDENTIALS, hint=MEND, stage="plan")
    options, ambient = target.options(), settings.LAKE_AMBIENT_CREDENTIALS
    if problem := known_options.problem_of(options, ambient):
        raise Problem("target_refused", problem, hint=MEND, stage="plan")
    _refuse_endpoints(options)
    if not places.is_bucket(uri):
        uri = str(places.resolved(uri))
    return TargetParams("delta", uri=uri, options=options, ambient=ambient)


def _refuse_endpoints(options: dict[str, str]) -> None:
    """Raise Problem where an endpoint lies in a network that is denied; a name is looked up."""
    for name, url in known_options.endpoints(options):
        try:
            networks.refuse_url(url)
        except networks.NotAllowed as denied:
            said = f"{name} leads to {denied.address}, where no target may lead."
            raise Problem("host_not_allowed", said, hint=MEND, stage="plan") from denied
        except OSError as exc:
            said = f"The host of {name} was not found."
            raise Problem("target_unreachable", said, hint=MEND, stage="plan") from exc


def _database(target: Target) -> Connection:
    found = store.find_one(Connection, {"_id": target.connection_id})
    if found is None:
        said = "The target's connection was removed."
        raise Problem("connection_gone", said, hint=MEND, stage="plan")
    connection = Connection.from_document(found)
    if connection.db_type != target.kind:
        said = f"The target is {target.kind}, and its connection leads to {connection.db_type}."
        raise Problem("target_refused", said, hint=MEND, stage="plan")
    return connection
