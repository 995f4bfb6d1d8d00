"""Where messages go: what may be an address, and what of it is shown. Nothing here is dialled."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

PORTS = {"http": 80, "https": 443}
MAILBOX = re.compile(r"[^@\s,<>\"]+@[^@\s,<>\"/:]+")
MOST_MAILBOXES = 20

NO_WEBHOOK = "Expected an address such as https://hooks.example.com/etl, in ASCII alone."
NO_MAIL = (
    "Expected mailto: and one or more addresses, such as mailto:ops@example.com,on@example.com."
)


def problem_of(kind: str, url: str) -> str | None:
    """Return why a message of this kind cannot go to a URL; None where it can."""
    if kind == "webhook":
        return None if _web_place(url) else NO_WEBHOOK
    if kind == "email":
        return None if mailboxes(url) else NO_MAIL
    return None


def shown(kind: str, url: str) -> str:
    """Return what may be told of a URL that is right: scheme, host and port."""
    if kind == "email":
        hosts = dict.fromkeys(one.partition("@")[2] for one in mailboxes(url))
        return f"mailto:{','.join(hosts)}"
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or PORTS[parts.scheme]}"


def mailboxes(url: str) -> list[str]:
    """Return the addresses of a `mailto:` URL; none where one of them is none."""
    scheme, _, rest = url.partition(":")
    found = [unquote(part).strip() for part in rest.split(",")]
    is_right = scheme.lower() == "mailto" and len(found) <= MOST_MAILBOXES
    return found if is_right and all(map(MAILBOX.fullmatch, found)) else []


def _web_place(url: str) -> SplitResult | None:
    if (
        not url.isascii()
        or any(character <= " " or character == "\x7f" for character in url)
        or "\\" in url
    ):
        return None
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return None
    return parts if parts.scheme in PORTS and parts.hostname and has_port else None
