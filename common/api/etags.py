"""Entity tags: what a client read, so that it changes nothing that it has not seen."""

from hashlib import blake2b

import bson
from django.utils.http import parse_etags
from rest_framework.request import Request

from common.documents.store import Stored
from common.exceptions import Stale


def etag_of(document: Stored, clocked: str = "") -> str:
    """Return the strong ETag of a record, from its stored document.

    Made of the whole document, so that it changes with any program's write that the driver can
    tell, and with a hidden field such as the password; and of what the clock changes: a
    schedule's next run passes.
    """
    return f'"{_digest(bson.encode(document))}-{_digest(clocked.encode()) if clocked else "0"}"'


def refuse_if_stale(request: Request, document: Stored) -> None:
    """Raise Stale where `If-Match` names only other versions of the stored document.

    What the clock alone changed since the client read it is nobody's write.
    """
    wanted = request.META.get("HTTP_IF_MATCH")
    if wanted is None or wanted.strip() == "*":
        return
    opening = f'"{_digest(bson.encode(document))}-'
    if not any(tag.startswith(opening) for tag in parse_etags(wanted)):
        raise Stale


def is_unchanged(request: Request, current: str) -> bool:
    """Tell whether `If-None-Match` names the `current` version (compared weakly)."""
    held = request.META.get("HTTP_IF_NONE_MATCH")
    if held is None:
        return False
    tags = [tag.removeprefix("W/") for tag in parse_etags(held)]
    return held.strip() == "*" or current in tags


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=12).hexdigest()
