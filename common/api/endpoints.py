"""The table of endpoints and roles: read from the views, and from nowhere else.

Permissions, the OpenAPI document, the rights of the admin and `docs/access.md` all come from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.db import models
from drf_spectacular.generators import EndpointEnumerator

from common.api.roles import Role, role_for


@dataclass(frozen=True)
class Endpoint:
    """What one method does at one address; `path` is whole, and without its trailing slash."""

    method: str
    path: str
    action: str
    view: type[Any]

    @property
    def role(self) -> Role:
        return role_for(self.view, self.action)

    @property
    def is_declared(self) -> bool:
        return self.action in getattr(self.view, "access", {})

    @property
    def is_of_the_api(self) -> bool:
        return self.path.startswith(settings.API_V1_PREFIX + "/")

    @property
    def name(self) -> str:
        return operation_name(self.path, self.action)

    @property
    def model(self) -> type[models.Model] | None:
        """Return the model whose records it is about, None where it is about none."""
        serializer = getattr(self.view, "serializer_class", None)
        found: type[models.Model] | None = getattr(getattr(serializer, "Meta", None), "model", None)
        return found


@cache
def endpoints() -> tuple[Endpoint, ...]:
    """Return every endpoint of the service, by path."""
    return tuple(sorted(_found(), key=lambda one: (one.path, one.method)))


def _found() -> Iterator[Endpoint]:
    for path, _, method, callback in EndpointEnumerator().get_api_endpoints():
        actions = getattr(callback, "actions", {})
        action = actions.get(method.lower(), method.lower())
        yield Endpoint(method, path.rstrip("/") or "/", action, callback.cls)


def operation_name(path: str, action: str) -> str:
    """Return a name such as `connections_retrieve`: of the path's nouns and the action.

    An action that is a method of a view, and no word of its own, adds nothing.
    """
    parts = path.removeprefix(settings.API_V1_PREFIX).split("/")
    nouns = [part.replace("-", "_") for part in parts if part and "{" not in part]
    if action in METHODS:
        return "_".join(nouns) or "service"
    if nouns and action.startswith(nouns[-1]):
        nouns.pop()
    return "_".join([*nouns, action])


METHODS = {"get", "post", "put", "patch", "delete"}


@cache
def names_for(role: Role) -> list[str]:
    """Return the names of the API's operations that a role may: `operationId`s."""
    return sorted(one.name for one in endpoints() if one.is_of_the_api and one.role <= role)


@cache
def role_of_permission(permission: str) -> Role:
    """Return the role that one of Django's permissions takes: `mappings.change_mapping`.

    `view`, `add`, `change` and `delete` are what the API does with the model's records; any other
    word is an action of its view, such as `mappings.preview_mapping`. What the API has not is for
    admins alone.
    """
    app_label, _, codename = permission.partition(".")
    word, _, model_name = codename.rpartition("_")
    action = {"view": "list", "add": "create", "change": "update", "delete": "destroy"}.get(
        word, word
    )
    roles = [
        one.role
        for one in endpoints()
        if one.model is not None
        and (one.model._meta.app_label, one.model._meta.model_name) == (app_label, model_name)
        and one.action == action
    ]
    return min(roles, default=Role.ADMIN)


def as_table() -> str:
    """Return the API's endpoints and their roles as a table of Markdown, for `docs/access.md`."""
    rows = [
        f"| `{one.method}` | `{one.path.removeprefix(settings.API_V1_PREFIX)}` | {_who(one.role)} |"
        for one in endpoints()
        if one.is_of_the_api
    ]
    return "\n".join(["| method | path | role |", "| --- | --- | --- |", *rows])


def _who(role: Role) -> str:
    return role.word if role else "everybody"
