"""Encryption of passwords: Fernet tokens, as text."""

from cryptography.fernet import Fernet
from peer.settings import ENCRYPTION_KEY

_fernet = Fernet(ENCRYPTION_KEY)


def encrypt(plain: str) -> str:
    return _fernet.encrypt(plain.encode()).decode("ascii")
