"""The names of time zones: the same on every machine."""

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo


class UnknownZone(ValueError):
    """A name that this machine has no time zone for; the message says what is expected."""


@cache
def zone_names() -> frozenset[str]:
    """Return the IANA names that a schedule may use.

    They are those of the pinned `tzdata`, as machines have names of their own beside them
    (`localtime`, `posixrules`). `Factory` stands for a clock that nobody has set.
    """
    return frozenset(files("tzdata").joinpath("zones").read_text().split()) - {"Factory"}


def zone_named(name: str) -> ZoneInfo:
    """Return the zone of a name, also of one that `zone_names()` leaves out.

    Raises UnknownZone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        message = f'"{name}" is not an IANA time zone name, such as Europe/Berlin or UTC.'
        raise UnknownZone(message) from None
