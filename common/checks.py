"""System checks: each wrong setting has an id, and a hint that says how to mend it.

Those tagged `service` need nothing but the settings, and keep the service from starting. Those
tagged `database` ask the store: `python manage.py check --database default`. An app registers its
own; those of what is stored with `store_check`.
"""

from __future__ import annotations

import re
import sys
from base64 import urlsafe_b64decode as b64
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections, models
from django.db.migrations.executor import MigrationExecutor
from django.urls import URLPattern, URLResolver, get_resolver
from pymongo import timeout as within
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from common.documents import names, store
from common.documents.adoption import unique_fields
from common.documents.models import Document, field_of
from common.documents.store import Stored
from common.secrets.fields import EncryptedTextField
from common.secrets.keys import HOW_TO_MAKE_A_KEY

LEAST_LENGTH = 32
LEAST_BYTES = 8
KEEP_IT_SAFE = "Put the key into the environment or `.env`, and keep a copy safe."
STORE_TIMEOUT_S = 2.0
LONGEST_TIMEOUT_S = 60.0
MAX_NAMES = 10_000
"""So many names of a collection are looked at, of those that have more than visible ASCII."""
MAX_LISTED = 10
UNUSUAL = r"[^ -~]|^ | $|^$|.{101}"
"""What a name matches that may break a rule."""
TAKEN = ("", "admin", "health", "docs", "redoc", "openapi.json", "static", "metrics")
"""What the service's other pages begin with."""


@register("service")
def readable_settings(**kwargs: Any) -> list[CheckMessage]:
    hint = "Mend it in the environment or in `.env`."
    return [Error(problem, hint=hint, id="service.E004") for problem in settings.SETTINGS_PROBLEMS]


# --- Keys -----------------------------------------------------------------------------------------


@register("service")
def encryption_key(**kwargs: Any) -> list[CheckMessage]:
    if not settings.ENCRYPTION_KEY:
        said = f"Set ENCRYPTION_KEY to a Fernet key; {HOW_TO_MAKE_A_KEY}."
    elif not _is_key(settings.ENCRYPTION_KEY):
        said = f"ENCRYPTION_KEY is not a Fernet key; {HOW_TO_MAKE_A_KEY}."
    else:
        return []
    return [Error(said, hint=KEEP_IT_SAFE, id="service.E001")]


@register("service")
def retired_keys(**kwargs: Any) -> Iterator[CheckMessage]:
    for number, key in enumerate(settings.ENCRYPTION_KEYS_RETIRED, 1):
        if not _is_key(key):
            yield Error(
                f"Key {number} of ENCRYPTION_KEYS_RETIRED is not a Fernet key.",
                hint="Give the key as it was in ENCRYPTION_KEY, a comma between two keys.",
                id="service.E005",
            )
        elif key == settings.ENCRYPTION_KEY:
            yield Warning(
                f"Key {number} of ENCRYPTION_KEYS_RETIRED is ENCRYPTION_KEY itself.",
                hint="Leave it out, or set ENCRYPTION_KEY to a new key.",
                id="service.W002",
            )


def _is_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


@register("service")
def secret_key(**kwargs: Any) -> list[CheckMessage]:
    if settings.DEBUG or settings.SECRET_KEY != settings.INSECURE_SECRET_KEY:
        return []
    return [
        Error(
            "SECRET_KEY is not set, and DEBUG is off.",
            hint="Set SECRET_KEY to 50 or more random characters.",
            id="service.E002",
        )
    ]


@register("service")
def weak_keys(**kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of keys that somebody could guess."""
    if _is_key(settings.ENCRYPTION_KEY) and len(set(b64(settings.ENCRYPTION_KEY))) < LEAST_BYTES:
        yield Warning(
            "ENCRYPTION_KEY is a key that anybody could guess.",
            hint=f"Rotate to a random one; {HOW_TO_MAKE_A_KEY}.",
            id="service.W003",
        )
    for name in ("SECRET_KEY", "AUDIT_KEY"):
        key = getattr(settings, name)
        is_default = settings.DEBUG and key == settings.INSECURE_SECRET_KEY
        if key and not is_default and (len(key) < LEAST_LENGTH or len(set(key)) < LEAST_BYTES):
            yield Warning(
                f"{name} is short, or of few different characters.",
                hint="Set it to 50 or more random characters.",
                id="service.W004",
            )


@register("service")
def open_hosts(**kwargs: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS allows every name: a page of another site can pass for the service's.",
            hint="Name the hosts of the service's own address, such as etl.example.com.",
            id="service.W005",
        )
    ]


@register("service", deploy=True)
def preload(**kwargs: Any) -> list[CheckMessage]:
    if not getattr(settings, "SECURE_HSTS_PRELOAD", False):
        return []
    return [
        Warning(
            "SECURE_HSTS_PRELOAD asks browsers to know the whole domain by https alone, for ever.",
            hint="Leave it out, unless the owner of the domain has asked for that.",
            id="service.W006",
        )
    ]


@register("service")
def secret_prefix(**kwargs: Any) -> list[CheckMessage]:
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{2,}", settings.SECRET_ENV_PREFIX, re.ASCII):
        return []
    return [
        Error(
            f'SECRET_ENV_PREFIX "{settings.SECRET_ENV_PREFIX}" is no prefix of variables\' names.',
            hint="Take three or more letters, digits and _, such as ETL_SECRET_.",
            id="service.E014",
        )
    ]


@register("service")
def secrets_in_documents(**kwargs: Any) -> list[CheckMessage]:
    """A key rotation walks the records' own fields."""
    return [
        Error(
            f"{model._meta.label}.{field.name} is an EncryptedTextField outside of a Document.",
            hint="Move it to a Document, where rotate_encryption_key finds it.",
            obj=model,
            id="service.E011",
        )
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.local_fields
        if isinstance(field, EncryptedTextField) and not issubclass(model, Document)
    ]


# --- Addresses ------------------------------------------------------------------------------------


@register("service")
def api_prefix(**kwargs: Any) -> list[CheckMessage]:
    prefix = settings.API_V1_PREFIX
    if prefix.split("/")[1] in TAKEN:
        said = f'API_V1_PREFIX "{prefix}" hides another page of the service.'
    elif not re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII):
        said = f'API_V1_PREFIX "{prefix}" is not a path.'
    else:
        return []
    return [Error(said, hint="Choose another prefix, such as /api/v1.", id="service.E003")]


@register("service")
def allowed_hosts(**kwargs: Any) -> list[CheckMessage]:
    if settings.ALLOWED_HOSTS or settings.DEBUG:
        return []
    return [
        Error(
            "ALLOWED_HOSTS is empty: every request would be refused.",
            hint="Name the hosts of the service's own address, such as etl.example.com.",
            id="service.E006",
        )
    ]


@register("service")
def cors_origins(**kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f'CORS_ORIGINS has "{origin}", which is not an origin.',
            hint="An origin is a scheme, a host and perhaps a port: https://app.example.com.",
            id="service.E007",
        )
        for origin in settings.CORS_ALLOWED_ORIGINS
        if not _is_origin(origin)
    ]


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return text == f"{parts.scheme}://{parts.netloc}" and bool(parts.scheme and parts.hostname)


@register("service")
def mongodb_url(**kwargs: Any) -> list[CheckMessage]:
    url = settings.MONGODB_URL
    # The servers of an SRV address are asked of the DNS: a matter of the store, not of settings.
    plain = url.replace("mongodb+srv://", "mongodb://", 1)
    try:
        parse_uri(plain, warn=True)
    except (PyMongoError, ValueError):
        # The driver's own words may quote the password.
        return [
            Error(
                "MONGODB_URL is not a MongoDB address.",
                hint="Expected mongodb://USER:PASSWORD@HOST:PORT; in USER and PASSWORD write "
                "special characters as %40 for @, %3A for :, %2F for /.",
                id="service.E008",
            )
        ]
    return []


@register("service")
def mongodb_db_name(**kwargs: Any) -> list[CheckMessage]:
    if re.fullmatch(r"[^\s/\\.\"$*<>:|?]{1,63}", settings.MONGODB_DB_NAME):
        return []
    return [
        Error(
            f'MONGODB_DB_NAME "{settings.MONGODB_DB_NAME}" is not a name that MongoDB takes.',
            hint="Take up to 63 letters, digits, - and _.",
            id="service.E012",
        )
    ]


# --- Limits ---------------------------------------------------------------------------------------


@register("service")
def timeouts(**kwargs: Any) -> Iterator[CheckMessage]:
    for name in ("PROBE_TIMEOUT_S", "PREVIEW_TIMEOUT_S"):
        seconds = getattr(settings, name)
        if not 0 < seconds <= LONGEST_TIMEOUT_S:
            yield Error(
                f"{name} is {seconds:g}; expected seconds, more than 0 and up to "
                f"{LONGEST_TIMEOUT_S:g}.",
                hint="Its clients wait for the answer; 5 seconds is usual.",
                id="service.E009",
            )


@register("service")
def limits(**kwargs: Any) -> Iterator[CheckMessage]:
    for name in ("PROBE_MAX_CONCURRENT", "PREVIEW_MAX_CONCURRENT"):
        if getattr(settings, name) < 1:
            yield Error(
                f"{name} is {getattr(settings, name)}; expected 1 or more.",
                hint="Leave it out for the default.",
                id="service.E010",
            )


@register("service")
def debug_is_off(**kwargs: Any) -> list[CheckMessage]:
    if not settings.DEBUG:
        return []
    return [
        Warning(
            "DEBUG is on.",
            hint="Only ever on your own machine: error pages of the admin show settings.",
            id="service.W001",
        )
    ]


# --- Access ---------------------------------------------------------------------------------------


@register("service")
def access_to_views(**kwargs: Any) -> list[CheckMessage]:
    """Look whether every view of the API says who may call it."""
    if api_prefix():
        return []
    return [
        Error(
            f"{_class_of(view).__qualname__} does not say who may {', '.join(actions)}.",
            hint="Name a role for each action, or method, in the view's `access`.",
            obj=f"/{route}",
            id="service.E013",
        )
        for route, view in _views_of_the_api()
        if (actions := _without_access(view))
    ]


def _views_of_the_api() -> Iterator[tuple[str, Any]]:
    prefix = f"{settings.API_V1_PREFIX.strip('/')}/"
    return (found for found in _views(get_resolver(), "", prefix) if found[0].startswith(prefix))


def _views(resolver: URLResolver, path: str, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the route and callable of each view whose route may begin with `prefix`."""
    for pattern in resolver.url_patterns:
        route = path + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLPattern):
            yield route, pattern.callback
        elif route.startswith(prefix) or prefix.startswith(route):
            yield from _views(pattern, route, prefix)


def _without_access(view: Any) -> list[str]:
    """Return the actions of a view, or its methods, for which it names no role."""
    access = getattr(_class_of(view), "access", {})
    return [action for action in _actions(view) if action not in access]


def _class_of(view: Any) -> Any:
    """Return the class that a view was made of, or the function that it is."""
    return getattr(view, "cls", None) or getattr(view, "view_class", view)


def _actions(view: Any) -> list[str]:
    if hasattr(view, "actions"):
        return sorted({*view.actions.values()})
    view_class = _class_of(view)
    methods = set(getattr(view_class, "http_method_names", ["get"])) - {"head", "options"}
    return sorted(method for method in methods if view is view_class or hasattr(view_class, method))


# --- The store ------------------------------------------------------------------------------------


StoreCheck = Callable[[], Iterable[CheckMessage]]
store_checks: list[StoreCheck] = []


def store_check(check: StoreCheck) -> StoreCheck:
    """Have a check of what is stored asked once the store is ready."""
    store_checks.append(check)
    return check


@register(Tags.database)
def store_is_ready(**kwargs: Any) -> list[CheckMessage]:
    if not kwargs.get("databases") or mongodb_url():
        return []
    try:
        with within(STORE_TIMEOUT_S):
            store.ping()
        # `migrate` asks this before it does what would be asked for.
        if "migrate" in sys.argv[1:2]:
            return []
        with store.command_timeout():
            return [*_transactions(), *(_unmigrated() or _without_indexes() or _stored())]
    except (PyMongoError, DatabaseError) as failure:
        return [_unavailable(failure)]


def _stored() -> list[CheckMessage]:
    return [message for check in store_checks for message in check()]


def _unavailable(failure: Exception) -> CheckMessage:
    return Error(
        f"The store of MONGODB_URL does not answer as it should ({type(failure).__name__}).",
        hint="Is it running, reachable from here, and are the account and password right?",
        id="service.E020",
    )


def _unmigrated() -> list[CheckMessage]:
    executor = MigrationExecutor(connections["default"])
    due = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not due:
        return []
    listed = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in due)
    hint = "Run python manage.py migrate."
    return [Error(f"The store lacks migrations: {listed}.", hint=hint, id="service.E021")]


def _without_indexes() -> list[CheckMessage]:
    return [
        Error(
            f"The collection {model._meta.db_table} lacks indexes on: {'; '.join(missing)}.",
            hint="Were they dropped, or was the collection restored without them? Mend it with "
            f"python manage.py migrate {model._meta.app_label} zero --fake; "
            "python manage.py migrate",
            id="service.E022",
        )
        for model in _documents()
        if (missing := _missing_indexes(model))
    ]


def _missing_indexes(model: type[models.Model]) -> list[str]:
    found = store.collection(model).index_information().values()
    there = {(_columns(index["key"]), bool(index.get("unique"))) for index in found}
    return [
        f"{columns} (unique)" if unique else columns
        for columns, unique in _expected_indexes(model)
        if not {(columns, unique), (columns, True)} & there
    ]


def _columns(key: list[tuple[str, Any]]) -> str:
    return ", ".join(name for name, _ in key)


def _expected_indexes(model: type[models.Model]) -> Iterator[tuple[str, bool]]:
    """Yield the columns of each index a model declares, and whether it is unique."""
    for fields in unique_fields(model):
        yield ", ".join(str(field.column) for field in fields), True
    for index in model._meta.indexes:
        columns = [str(field_of(model, name.lstrip("-")).column) for name in index.fields]
        yield ", ".join(columns), False


# --- What is stored -------------------------------------------------------------------------------


def _transactions() -> Iterator[CheckMessage]:
    if not store.mongodb.features._supports_transactions:
        yield Warning(
            "The store is a stand-alone MongoDB, which has no transactions.",
            hint="Make it a replica set, if of one server. Without, a reference that is made while "
            "its target is being deleted may lead to nothing (check_references tells), and a crash "
            "in the middle of a set of records leaves fewer of them.",
            id="service.W020",
        )


@store_check
def names_of_older_rules() -> Iterator[CheckMessage]:
    for model in _documents():
        if not any(field.name == "name" for field in model._meta.concrete_fields):
            continue
        found = _unusual_names(model)
        broken = [f"{_named(one)}: {said}" for one in found if (said := _problem(one["name"]))]
        if broken:
            yield Warning(
                f"{model._meta.db_table}: names that would be refused today: {listed(broken)}.",
                hint="They work as before; rename them when it suits.",
                id="service.W021",
            )
        if alike := _alike(model, found):
            yield Warning(
                f"{model._meta.db_table}: different names that look alike: {listed(alike)}.",
                hint="They differ in white space or Unicode composition alone; rename all but one.",
                id="service.W022",
            )


def _documents() -> list[type[Document]]:
    return [model for model in apps.get_models() if issubclass(model, Document)]


def _unusual_names(model: type[Document]) -> list[Stored]:
    """Return the records whose names have more than visible ASCII, up to MAX_NAMES."""
    condition = {"name": {"$regex": UNUSUAL}}
    return list(store.find(model, condition, {"name": 1}, limit=MAX_NAMES))


def _problem(name: str) -> str | None:
    normal = names.normalized(name)
    if problem := names.problem(normal):
        return problem.rstrip(".")
    return None if normal == name else "It is not trimmed, or not in Unicode's composed form"


def _alike(model: type[Document], found: list[Stored]) -> list[str]:
    """Return the names that several records have once these are normalized."""
    normal = {names.normalized(one["name"]) for one in found} - {one["name"] for one in found}
    normalized = store.find(model, {"name": {"$in": [*normal]}}, {"name": 1})
    groups: dict[str, list[str]] = {}
    for one in [*found, *normalized]:
        groups.setdefault(names.normalized(one["name"]), []).append(_named(one))
    return [" and ".join(group) for group in groups.values() if len(group) > 1]


def _named(document: Stored) -> str:
    return f'"{names.printable(document["name"])}" ({document["_id"]})'


def listed(offenders: list[str]) -> str:
    """Return the first few of what is wrong, and how many more there are."""
    more = len(offenders) - MAX_LISTED
    return "; ".join(offenders[:MAX_LISTED]) + (f"; and {more} more" if more > 0 else "")
