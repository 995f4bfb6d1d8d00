"""What the tests of the admin share: someone who fills in forms, and a count of queries."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pymongo import monitoring

from access.memberships import set_role
from common.api.roles import ROLES, Role

Fields = dict[str, list[str]]


@dataclass(frozen=True)
class Operator:
    """Someone at the admin. Pages are named as their addresses: `connections_connection_add`."""

    client: Client

    def get(self, page: str, *args: object, **query: str) -> HttpResponse:
        return self.client.get(reverse(f"admin:{page}", args=args), query)

    def html(self, page: str, *args: object, **query: str) -> str:
        response = self.get(page, *args, **query)
        assert response.status_code == 200, response.status_code
        return response.content.decode()

    def post(self, page: str, *args: object, **fields: Any) -> HttpResponse:
        return self.client.post(reverse(f"admin:{page}", args=args), fields)

    def save(self, page: str, *args: object, **changes: Any) -> dict[str, list[str]]:
        """Change fields of a page's form and save it; return the errors by field, none if saved."""
        fields = form_fields(self.html(page, *args)) | listed(changes)
        return self.errors(self.post(page, *args, **fields))

    def errors(self, response: HttpResponse) -> dict[str, list[str]]:
        if response.status_code == 302:
            return {}
        context = response.context
        found = dict(context["adminform"].form.errors)
        for inline in context.get("inline_admin_formsets") or []:
            for index, errors in enumerate(inline.formset.errors):
                found |= {f"{index}.{name}": said for name, said in errors.items()}
            if inline.formset.non_form_errors():
                found["rules"] = inline.formset.non_form_errors()
        return {name: list(said) for name, said in found.items()}

    def act(self, page: str, action: str, ids: list[Any], **more: str) -> list[str]:
        """Run an action on the chosen records of a list; return what it reports."""
        chosen = {"action": action, "_selected_action": [str(one) for one in ids], **more}
        response = self.client.post(reverse(f"admin:{page}"), chosen, follow=True)
        return [str(message) for message in response.context["messages"]]


def operator() -> Operator:
    user, _ = User.objects.get_or_create(username="operator", is_staff=True, is_superuser=True)
    return _logged_in(user)


def someone(role: str | None) -> Operator:
    """Return someone with a role, or with none."""
    user = User.objects.create_user(f"someone{User.objects.count()}", is_staff=True)
    set_role(user.pk, ROLES[role] if role else Role.EVERYONE)
    return _logged_in(user)


def _logged_in(user: User) -> Operator:
    client = Client()
    client.force_login(user)
    return Operator(client)


def listed(fields: dict[str, Any]) -> Fields:
    return {name: value if isinstance(value, list) else [value] for name, value in fields.items()}


def form_fields(html: str) -> Fields:
    """Return what the browser would send of the page's form, its buttons and templates aside."""
    reader = _FormReader()
    reader.feed(html)
    return reader.fields


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: Fields = {}
        self.is_inside = False
        self.templates = 0
        self.select = self.textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.is_inside = given.get("id", "").endswith("_form")
        self.templates += tag == "template"
        if not self.is_inside or self.templates or "__prefix__" in given.get("name", ""):
            return
        if tag == "select":
            self.select = given["name"]
        elif tag == "option" and "selected" in given and self.select:
            self._add(self.select, given.get("value", ""))
        elif tag == "textarea":
            self.textarea = given["name"]
            self._add(self.textarea, "")
        elif tag == "input":
            self._input(given)

    def _input(self, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        left_out = kind in ("checkbox", "radio") and "checked" not in given
        if "name" in given and kind not in ("submit", "button") and not left_out:
            self._add(given["name"], given.get("value", "on" if kind == "checkbox" else ""))

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.fields[self.textarea][-1] += data.removeprefix("\n").replace("\n", "\r\n")

    def handle_endtag(self, tag: str) -> None:
        self.templates -= tag == "template"
        if tag == "textarea":
            self.textarea = ""
        elif tag == "select":
            self.select = ""
        elif tag == "form":
            self.is_inside = False

    def _add(self, name: str, value: str) -> None:
        self.fields.setdefault(name, []).append(value)


class _Recorder(monitoring.CommandListener):
    def __init__(self) -> None:
        self.commands: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.commands.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Only the start counts."""

    failed = succeeded  # type: ignore[assignment]


_recorder = _Recorder()
# Clients made from here on tell it of every command that they send.
monitoring.register(_recorder)


@contextmanager
def commands_sent() -> Iterator[list[str]]:
    """Yield a list that fills with the names of the commands that the store is sent."""
    _recorder.commands = commands = []
    yield commands
    _recorder.commands = []
