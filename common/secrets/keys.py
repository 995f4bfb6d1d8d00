"""Encryption of stored secrets: Fernet tokens, written with the newest key, read with any.

Another service that has `ENCRYPTION_KEY` reads a token with `Fernet(key).decrypt(token)`.
"""

import base64
import binascii
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from common.exceptions import UnreadableSecret

HOW_TO_MAKE_A_KEY = "make one with `python manage.py generate_key`"


@lru_cache(maxsize=8)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([_fernet(key, number) for number, key in enumerate(keys)])


def _fernet(key: str, number: int) -> Fernet:
    try:
        return Fernet(key)
    except (ValueError, binascii.Error):
        # The key itself stays out of the message, and so does the exception that may quote it.
        name = f"Key {number} of ENCRYPTION_KEYS_RETIRED" if number else "ENCRYPTION_KEY"
        raise ImproperlyConfigured(f"{name} is not a Fernet key; {HOW_TO_MAKE_A_KEY}.") from None


def cipher() -> MultiFernet:
    """Return the cipher of the configured keys: the first writes, all of them read.

    Raises ImproperlyConfigured where a key is missing or malformed.
    """
    if not settings.ENCRYPTION_KEY:
        raise ImproperlyConfigured(f"Set ENCRYPTION_KEY to a Fernet key; {HOW_TO_MAKE_A_KEY}.")
    return _cipher((settings.ENCRYPTION_KEY, *settings.ENCRYPTION_KEYS_RETIRED))


def encrypt(plain: str) -> str:
    """Return the Fernet token (ASCII text, `gAAAA…`) of `plain`."""
    return cipher().encrypt(plain.encode()).decode("ascii")


def decrypt(token: str) -> str:
    """Return what `encrypt` was given; also opens a token wrapped once more in base64.

    Raises UnreadableSecret where no configured key opens it.
    """
    try:
        return cipher().decrypt(unwrapped(token)).decode()
    except (InvalidToken, UnicodeDecodeError):
        raise UnreadableSecret("No configured encryption key opens the stored secret.") from None


def unwrapped(token: str) -> bytes:
    """Return the plain token of one that may be wrapped in standard base64 (`Z0FBQ…`)."""
    raw = token.encode()
    if raw.startswith(b"Z0FBQ"):
        try:
            return base64.b64decode(raw, validate=True)
        except binascii.Error:
            return raw
    return raw
