"""Secrets that are kept elsewhere: a variable of the environment, a file, or Vault.

A record says where, in `secrets_from`; the secret is fetched whenever it is used, and never stored:

    {"password": {"env": "ETL_SECRET_CRM"}}
    {"password": {"file": "/run/secrets/crm"}}
    {"password": {"vault": "kv/data/crm#password"}}
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from common.exceptions import UnreadableSecret

MAX_BYTES = 1024 * 1024
VAULT_TIMEOUT_S = 3.0
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
VAULT_PLACE = re.compile(r"[\w-]+(/[\w.-]+)+#[\w.-]+", re.ASCII)
VAULTS_OWN = ("auth", "cubbyhole", "identity", "sys")
"""Where Vault tells of itself, and of the token that asks."""

FORMS = '{"env": NAME}, {"file": PATH} or {"vault": "PATH#KEY"}'

Reference = Mapping[str, str]


# --- What may be referred to ----------------------------------------------------------------------


def problems(references: Any, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a record's `secrets_from`: a path in it, empty for all, and why.

    `names` are the record's secrets.
    """
    known = list(names)
    if references is None:
        return
    if not isinstance(references, Mapping):
        yield "", f'Expected an object such as {{"{known[0]}": {{"env": NAME}}}}.'
        return
    for name, reference in references.items():
        if name not in known:
            yield str(name), f"There is no such secret; there are {', '.join(known)}."
        elif problem := problem_of(reference):
            yield str(name), problem


def problem_of(reference: Any) -> str | None:
    """Return why a reference leads nowhere that may be read; None where it does."""
    if not isinstance(reference, Mapping) or len(reference) != 1:
        return f"Expected one of {FORMS}."
    kind, place = next(iter(reference.items()))
    if kind not in KINDS or not isinstance(place, str):
        return f"Expected one of {FORMS}."
    return KINDS[kind][0](place)


def _problem_of_variable(name: str) -> str | None:
    prefix = settings.SECRET_ENV_PREFIX
    if VARIABLE.fullmatch(name) and name in settings.OWN_VARIABLES:
        return f"{name} is a variable of the service's own; take one that begins with {prefix}."
    if not VARIABLE.fullmatch(name) or not name.startswith(prefix) or name == prefix:
        return f"Only variables that begin with {prefix} are read, such as {prefix}CRM."
    return None


def _problem_of_file(name: str) -> str | None:
    folder = Path(settings.SECRETS_DIR)
    below = f"Only files below {folder} are read, such as {folder / 'crm'}."
    if "\0" in name or not name.startswith("/"):
        return below
    try:
        found, root = Path(name).resolve(), folder.resolve()
    except (OSError, RuntimeError):
        return below
    if root not in found.parents:
        return below
    if any(found == Path(own).resolve() for own in settings.OWN_FILES):
        return "This file is the service's own."
    return None


def _problem_of_vault(place: str) -> str | None:
    path = place.partition("#")[0]
    if not VAULT_PLACE.fullmatch(place) or {"..", "."} & set(path.split("/")):
        return "Expected a path and a key of Vault, such as kv/data/crm#password."
    if path.split("/")[0] in VAULTS_OWN:
        return "This is where Vault tells of itself; take a path of an engine of secrets."
    return None


# --- Finding them ---------------------------------------------------------------------------------


def fetch(reference: Any, name: str) -> str:
    """Return the secret that a reference leads to; `name` is the field's, for messages.

    Raises UnreadableSecret.
    """
    if problem := problem_of(reference):
        raise UnreadableSecret(f"The reference of {name} cannot be followed: {problem}")
    kind, place = next(iter(reference.items()))
    secret = KINDS[kind][1](place, name)
    if not secret:
        raise UnreadableSecret(f"{_said(kind, place)}, of {name}, is empty.")
    return secret


def _said(kind: str, place: str) -> str:
    return {"env": "The variable", "file": "The file", "vault": "Vault's"}[kind] + f" {place}"


def _of_variable(place: str, name: str) -> str:
    value = os.environ.get(place)
    if value is None:
        raise UnreadableSecret(
            f"The variable {place}, of {name}, is not set: set it for the service and restart it."
        )
    return value


def _of_file(place: str, name: str) -> str:
    try:
        # What was looked at is what is opened: a link that changes meanwhile is not followed.
        descriptor = os.open(Path(place).resolve(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode()
    except UnicodeDecodeError:
        raise UnreadableSecret(f"The file {place}, of {name}, is no text in UTF-8.") from None
    except (OSError, RuntimeError) as exc:
        why = getattr(exc, "strerror", None) or "it leads nowhere"
        raise UnreadableSecret(f"The file {place}, of {name}, cannot be read: {why}.") from exc
    if len(content) > MAX_BYTES:
        raise UnreadableSecret(f"The file {place}, of {name}, is larger than a secret.")
    return re.sub(r"\r?\n\Z", "", text)


def _of_vault(place: str, name: str) -> str:
    if not settings.VAULT_ADDR:
        raise UnreadableSecret(
            f"Vault's {place}, of {name}, cannot be read: set VAULT_ADDR and VAULT_TOKEN."
        )
    import hvac  # it is large, and few need it
    from hvac.exceptions import VaultError
    from requests.exceptions import RequestException

    path, _, key = place.partition("#")
    try:
        client = hvac.Client(
            url=settings.VAULT_ADDR, token=settings.VAULT_TOKEN, timeout=VAULT_TIMEOUT_S
        )
        answer = client.read(path)
    except (VaultError, RequestException, ValueError) as exc:
        raise UnreadableSecret(
            f"Vault's {place}, of {name}, cannot be read: {type(exc).__name__}."
        ) from None
    found = _value_in(answer, key)
    if found is None:
        raise UnreadableSecret(f"Vault has nothing at {place}, of {name}.")
    return found


def _value_in(answer: Any, key: str) -> str | None:
    """Return a key's value in an answer of Vault: of the second version of its store, or another.

    What is no text is told as JSON.
    """
    data = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(data, Mapping):
        return None
    inner = data.get("data")
    held = inner if isinstance(inner, Mapping) and "metadata" in data else data
    value = held.get(key)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


KINDS: Mapping[str, tuple[Callable[[str], str | None], Callable[[str, str], str]]] = {
    "env": (_problem_of_variable, _of_variable),
    "file": (_problem_of_file, _of_file),
    "vault": (_problem_of_vault, _of_vault),
}
