"""Tokens: making one, and knowing one."""

from __future__ import annotations

import re
import secrets
import string
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from access.callers import Caller, memory
from access.memberships import roles_in_groups
from access.models import Token
from common.api.roles import ROLES, Role
from common.documents import store, writes
from common.documents.store import Stored

PREFIX = "etl_"
"""What secret scanners find tokens by: `etl_[A-Za-z0-9]{40}`."""
LENGTH = 40
SHOWN = 10
DEFAULT_LIFE = timedelta(days=90)
NOTED_EVERY = timedelta(minutes=1)
ALPHABET = string.ascii_letters + string.digits
WELL_FORMED = re.compile(f"{PREFIX}[A-Za-z0-9]{{{LENGTH}}}")


def issue(token: Token) -> str:
    """Save a new token; return its text, which nobody can read again."""
    text = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    token.prefix, token.hash = text[:SHOWN], digest_of(text)
    token.save()
    return text


def digest_of(text: str) -> str:
    # Of 238 random bits a plain hash cannot be guessed backwards.
    return sha256(text.encode()).hexdigest()


def default_end() -> datetime:
    """Return when a new token ends whose maker does not say it."""
    return store.now() + min(DEFAULT_LIFE, _longest_life())


def end_problem(ends: datetime) -> str | None:
    """Return what is wrong with the end of a new token, if it is too far."""
    # Who asks for all there is may be a minute on the way.
    if ends <= store.now() + _longest_life() + timedelta(minutes=1):
        return None
    return f"A token lives for up to {_longest_life().days} days."


def _longest_life() -> timedelta:
    return timedelta(days=settings.TOKEN_MAX_DAYS)


def caller_of(text: str) -> Caller | None:
    """Return whose token this is; None where it is none, or expired, or ended with its owner."""
    if not WELL_FORMED.fullmatch(text):
        return None
    digest = digest_of(text)
    caller = memory.recall(digest) or _read(digest)
    is_over = caller and caller.expires_at and caller.expires_at <= datetime.now(UTC)
    return None if is_over else caller


def _read(digest: str) -> Caller | None:
    generation = memory.generation
    document = store.find_one(Token, {"hash": digest})
    caller = document and _caller(document)
    if not document or not caller:
        return None
    if caller.expires_at is None or caller.expires_at > datetime.now(UTC):
        memory.remember(digest, caller, generation)
        _note_use(document)
    return caller


def _caller(document: Stored) -> Caller | None:
    """Return who a stored token speaks for: its owner, as far as it and the owner's role go."""
    role = ROLES.get(str(document.get("role")), Role.EVERYONE)
    expires_at: datetime | None = document.get("expires_at")
    ends = expires_at.replace(tzinfo=UTC) if expires_at else None
    if (owner := document.get("owner_id")) is None:
        return Caller(f"token:{document.get('name')}", role, "token", None, ends)
    user: Any = store.find_one(User, {"_id": owner})
    if not user or not user.get("is_active"):
        return None
    granted = roles_in_groups([owner]).get(owner, Role.EVERYONE)
    owners = Role.ADMIN if user.get("is_superuser") else granted
    return Caller(str(user["username"]), min(role, owners), "token", owner, ends)


def _note_use(document: Stored) -> None:
    """Note that a token is in use, at most once a minute by all processes together."""
    last, now = document.get("last_used_at"), store.now().replace(tzinfo=None)
    if last is None or last <= now - NOTED_EVERY:
        unmoved = {"_id": document["_id"], "last_used_at": last}
        writes.keep(Token, unmoved, {"last_used_at": now})
