"""Reads settings from the environment.

A value that makes no sense is noted, and the default taken in its place, so that `check` can name
every wrong setting at once; the service does not start while there is one.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True)
class MailServer:
    """Where mail goes out; without a `host`, nowhere. `is_tls` is from the start on."""

    host: str = ""
    port: int = 25
    username: str = ""
    password: str = ""
    starts_tls: bool = False
    is_tls: bool = False


class Environment:
    """The process's environment, and below it a `.env` file; `problems` collects what is wrong."""

    def __init__(self, file: Path) -> None:
        self._env = environ.Env()
        self._env.read_env(file)
        self.problems: list[str] = []
        self.names = {"DJANGO_SETTINGS_MODULE", "ENV_FILE"}
        """The variables that are the service's own."""
        self.files: list[str] = [str(file)]
        """The files that are."""

    def secret(self, name: str) -> str:
        """Return a secret: of the variable, or of the file that NAME_FILE names."""
        given, file = self.text(name), self.text(f"{name}_FILE")
        if given or not file:
            return given
        self.files.append(file)
        try:
            return Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as wrong:
            why = getattr(wrong, "strerror", None) or "it is no text"
            self.problems.append(f"{name}_FILE cannot be read: {why}.")
            return ""

    def mail(self, name: str) -> MailServer:
        """Return the mail server that a URL names: smtp, smtp+tls (STARTTLS) or smtp+ssl."""
        url = self.secret(name)
        if not url:
            return MailServer()
        try:
            found = environ.Env.email_url_config(url)
        except (ImproperlyConfigured, ValueError):
            found = {}
        if not found.get("EMAIL_HOST") or not str(found["EMAIL_BACKEND"]).endswith(
            "smtp.EmailBackend"
        ):
            self._note(name, "a URL such as smtp+tls://user:password@mail.example.com:587")
            return MailServer()
        starts_tls, is_tls = (bool(found.get(f"EMAIL_USE_{way}")) for way in ("TLS", "SSL"))
        usual = 587 if starts_tls else 465 if is_tls else 25
        return MailServer(
            str(found["EMAIL_HOST"]),
            int(found.get("EMAIL_PORT") or usual),
            str(found.get("EMAIL_HOST_USER") or ""),
            str(found.get("EMAIL_HOST_PASSWORD") or ""),
            starts_tls,
            is_tls,
        )

    def text(self, name: str, default: str = "") -> str:
        self.names.add(name)
        return str(self._env.str(name, default)).strip()

    def flag(self, name: str, default: bool) -> bool:
        """Return a switch; one that is misspelled is a problem, and not simply off."""
        value = self.text(name).lower()
        if value and value not in SWITCH:
            self._note(name, "true or false")
        return SWITCH.get(value, default)

    def number(self, name: str, default: float) -> float:
        try:
            number = float(self.text(name) or default)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        self._note(name, "a number")
        return default

    def whole(self, name: str, default: int) -> int:
        try:
            return int(self.text(name) or default)
        except ValueError:
            self._note(name, "a whole number")
            return default

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.text(name).upper() or default
        if value in choices:
            return value
        self._note(name, f"one of {', '.join(choices)}")
        return default

    def listed(self, name: str, default: str = "") -> list[str]:
        """Return a list's items: a JSON list (`["a","b"]`) or a comma-separated one (`a,b`)."""
        text = self.text(name, default)
        if text.startswith("["):
            try:
                return _items(json.loads(text))
            except ValueError:
                # An address such as `[::1]` begins like JSON, and is none.
                if '"' in text:
                    self._note(name, 'a JSON list such as ["a","b"], or a comma-separated one')
                    return []
        return _items(text.split(","))

    def networks(self, name: str, default: str = "") -> list[IPv4Network | IPv6Network]:
        """Return a list of networks; an address is one of its own."""
        try:
            return [ip_network(item, strict=False) for item in self.listed(name, default)]
        except ValueError:
            self._note(name, "addresses and networks such as 127.0.0.1,10.0.0.0/8")
            return [ip_network(item, strict=False) for item in _items(default.split(","))]

    def _note(self, name: str, expected: str) -> None:
        self.problems.append(f"{name} makes no sense: expected {expected}.")


def _items(values: Sequence[object]) -> list[str]:
    return [str(value).strip() for value in values if str(value).strip()]
