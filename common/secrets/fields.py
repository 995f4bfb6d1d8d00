"""Model fields for what is stored encrypted."""

from typing import TYPE_CHECKING, Any

from django.db import models

from common.documents.codecs import CODECS, Codec
from common.secrets import keys


class Secret:
    """An encrypted value as it is stored; what it hides comes out only of `reveal()`."""

    __slots__ = ("token",)

    def __init__(self, token: str) -> None:
        self.token = token

    @classmethod
    def of(cls, plain: str) -> "Secret":
        return cls(keys.encrypt(plain))

    def reveal(self) -> str:
        """Return the plain text. Raises UnreadableSecret where no key opens it."""
        return keys.decrypt(self.token)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)

    def __repr__(self) -> str:
        return "Secret(set)"

    def __str__(self) -> str:
        return "set"


if TYPE_CHECKING:
    _TextField = models.TextField[Any, Any]
else:
    _TextField = models.TextField


class EncryptedTextField(_TextField):
    """Text kept as a Fernet token. Read, it is a `Secret`; given a `str`, it encrypts it.

    Dumps and forms never hold the value, nor its token.
    """

    # One that is not there is None: an empty text would be made a token of.
    empty_strings_allowed = False

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Secret | None:
        return None if value is None else Secret(_text(value))

    def to_python(self, value: Any) -> Secret | None:
        if value is None or isinstance(value, Secret):
            return value
        return Secret.of(str(value))

    def get_prep_value(self, value: Any) -> str | None:
        secret = self.to_python(value)
        return None if secret is None else secret.token

    def value_to_string(self, obj: models.Model) -> str:
        return ""


class SecretCodec(Codec):
    """A stored token is read as a `Secret`, and never shown."""

    is_secret = True

    def value_of(self, stored: Any) -> Secret:
        return Secret(_text(stored))

    def show(self, stored: Any) -> None:
        return None


CODECS[EncryptedTextField] = SecretCodec


def _text(stored: object) -> str:
    # Other programs may have written the token as BSON binary.
    return stored.decode("ascii", "replace") if isinstance(stored, bytes) else str(stored)
