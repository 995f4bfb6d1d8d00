"""Entity tags: what a client read, so that it changes nothing that it has not seen."""

from hashlib import blake2b

import bson
from django.utils.http import parse_etags
from rest_framework.request import Request

from common.exceptions import Stale
from common.store import Stored


def etag_of(document: Stored, body: bytes) -> str:
    """Return the strong ETag of a record.

    Made of the whole stored document and of the body it became, so that it changes with any
    program's write, with a hidden field such as the password, and with a derived one.
    """
    digest = blake2b(body, digest_size=16)
    digest.update(bson.encode(document))
    return f'"{digest.hexdigest()}"'


def refuse_if_stale(request: Request, current: str) -> None:
    """Raise Stale where `If-Match` names other versions than the `current` one."""
    wanted = request.headers.get("If-Match")
    if wanted is not None and wanted.strip() != "*" and current not in parse_etags(wanted):
        raise Stale


def is_unchanged(request: Request, current: str) -> bool:
    """Tell whether `If-None-Match` names the `current` version (compared weakly)."""
    held = request.headers.get("If-None-Match")
    if held is None:
        return False
    tags = [tag.removeprefix("W/") for tag in parse_etags(held)]
    return held.strip() == "*" or current in tags
