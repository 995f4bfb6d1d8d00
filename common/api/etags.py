"""Entity tags: what a client read, so that it changes nothing that it has not seen.

A tag has two parts: of what people and other programs change, and of what the service keeps itself
or the clock changes. `If-Match` compares the first alone.
"""

from collections.abc import Collection
from hashlib import blake2b

import bson
from django.utils.http import parse_etags
from rest_framework.request import Request

from common.documents.store import Stored
from common.exceptions import Stale

COMPRESSED = "-gzip"
"""What Apache adds to the tag of an answer that it compresses."""


def etag_of(document: Stored, kept: Collection[str] = (), clocked: str = "") -> str:
    """Return the strong ETag of a record, from its stored document.

    Made of the whole document, so that it changes with any program's write that the driver can
    tell, and with a hidden field such as the password; `clocked` is what the clock changes.
    """
    own = {column: document.get(column) for column in kept}
    moving = _digest({**own, "": clocked}) if kept or clocked else "0"
    return f'"{_changed_part(document, kept)}-{moving}"'


def refuse_if_stale(request: Request, document: Stored, kept: Collection[str] = ()) -> None:
    """Raise Stale where `If-Match` names only other versions of the stored document.

    A tag that a proxy made weak, as it compressed the answer, names the same content.
    """
    wanted = request.headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return
    opening = f'"{_changed_part(document, kept)}-'
    if not any(tag.removeprefix("W/").startswith(opening) for tag in parse_etags(wanted)):
        raise Stale


def is_unchanged(request: Request, current: str) -> bool:
    """Tell whether `If-None-Match` names the `current` version (compared weakly)."""
    held = request.headers.get("If-None-Match")
    if held is None:
        return False
    tags = [tag.removeprefix("W/").replace(f'{COMPRESSED}"', '"') for tag in parse_etags(held)]
    return held.strip() == "*" or current in tags


def _changed_part(document: Stored, kept: Collection[str]) -> str:
    return _digest({key: value for key, value in document.items() if key not in kept})


def _digest(content: Stored) -> str:
    ordered = bson.encode(dict(sorted(content.items())))
    return blake2b(ordered, digest_size=12).hexdigest()
