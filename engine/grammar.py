"""One value's text as a value of a field's type, and one value as its text.

These functions are the rule, a cell at a time; `cast` takes whole columns past them where they
are of the usual form. `docs/transformation.md` has the rule as a table.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

SPACE = " \t\r\n"
INTEGERS = range(-(2**63), 2**63)
TRUE_WORDS = ("true", "t", "yes", "y", "on", "1")
FALSE_WORDS = ("false", "f", "no", "n", "off", "0")

_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]*))?|\.(?P<only_fraction>[0-9]+))"
    r"(?:[eE](?P<exponent>[+-]?[0-9]+))?"
)
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<part>[0-9]+))?)?"
    r"(?P<zone>Z|(?P<ahead>[+-])(?P<zone_hour>[0-9]{2})(?::?(?P<zone_minute>[0-9]{2}))?)?)?"
)
_FAR = re.compile(r"-?infinity|.* BC|[0-9]{5,}-[0-9]{2}-.*")
_JSON_SPACE = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+', re.DOTALL)
_JSON_ESCAPE = re.compile(
    r"\\u(?P<high>d[89ab][0-9a-f]{2})\\u(?P<low>d[c-f][0-9a-f]{2})|\\u(?P<one>[0-9a-f]{4})|\\.",
    re.IGNORECASE | re.DOTALL,
)
_MOST_EXPONENT = 10**9  # past any cell's digits


class Refused(Exception):
    """A value does not fit; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def integer(text: str) -> int:
    """Return the whole number of 64 bits that is written, as digits or as `2.50e1`.

    Raises Refused.
    """
    match = _NUMBER.fullmatch(text)
    if not match:
        raise Refused("out_of_range" if _infinite(text) else "not_a_number")
    fraction = match["fraction"] or match["only_fraction"] or ""
    digits = ((match["whole"] or "") + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return 0
    zeros = len(digits) - len(significant) - len(fraction) + _exponent(match["exponent"])
    if zeros < 0:
        raise Refused("not_whole")
    if len(significant) + zeros > 19:
        raise Refused("out_of_range")
    number = int(match["sign"] + significant + "0" * zeros)
    if number not in INTEGERS:
        raise Refused("out_of_range")
    return number


def _infinite(text: str) -> bool:
    return "i" in text.lower() and bool(_NO_NUMBER.fullmatch(text))


def _exponent(written: str | None) -> int:
    digits = (written or "0").lstrip("+-").lstrip("0")
    size = int(digits or 0) if len(digits) < 10 else _MOST_EXPONENT
    return -size if written and written.startswith("-") else size


def floating(text: str) -> float:
    """Return the nearest double; one too small is 0. Raises Refused."""
    if _NO_NUMBER.fullmatch(text):
        return float(text)
    if not _NUMBER.fullmatch(text):
        raise Refused("not_a_number")
    number = float(text)
    if math.isinf(number):
        raise Refused("out_of_range")
    return number


def boolean(text: str) -> bool:
    """Return what a word such as `yes` or `0` says. Raises Refused."""
    word = text.lower() if text.isascii() else text
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise Refused("not_a_boolean")


def boolean_of_number(text: str) -> bool:
    """Return True for 1, however written, and False for 0. Raises Refused."""
    try:
        number = integer(text)
    except Refused as exc:
        raise Refused("not_a_boolean") from exc
    if number not in (0, 1):
        raise Refused("not_a_boolean")
    return number == 1


def day(text: str) -> date:
    """Return the day, in UTC where a zone is written. Raises Refused."""
    return _moment(text, "not_a_date").date()


def timestamp(text: str) -> datetime:
    """Return the moment in UTC, cut to microseconds; a day is its midnight. Raises Refused."""
    return _moment(text, "not_a_timestamp")


def _moment(text: str, unreadable: str) -> datetime:
    match = _MOMENT.fullmatch(text)
    if not match:
        raise Refused("out_of_range" if _FAR.fullmatch(text) else unreadable)
    hour, minute, second, zone_hour, zone_minute = (
        int(match[name] or 0) for name in ("hour", "minute", "second", "zone_hour", "zone_minute")
    )
    if max(hour, zone_hour) > 23 or max(minute, second, zone_minute) > 59:
        raise Refused("no_such_time")
    microsecond = int((match["part"] or "")[:6].ljust(6, "0"))
    local = datetime.combine(_calendar_day(match["day"]), datetime.min.time(), UTC).replace(
        hour=hour, minute=minute, second=second, microsecond=microsecond
    )
    offset = timedelta(hours=zone_hour, minutes=zone_minute)
    try:
        return local + offset if match["ahead"] == "-" else local - offset
    except OverflowError as exc:
        raise Refused("out_of_range") from exc


def _calendar_day(written: str) -> date:
    try:
        return date(int(written[:4]), int(written[5:7]), int(written[8:]))
    except ValueError as exc:
        raise Refused("no_such_date") from exc


def floating_text(number: float) -> str:
    """Return the shortest digits that read back the same: `2`, `0.5`, `1e+15`, `1e-05`."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if 1e-4 <= abs(number) < 1e15 or number == 0:
        return repr(number).removesuffix(".0")
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    written = "".join(map(str, digits))
    point = "." if len(written) > 1 else ""
    power = int(exponent) + len(written) - 1
    return f"{'-' if sign else ''}{written[0]}{point}{written[1:]}e{power:+03d}"


def moment_text(written: str, zoned: bool) -> str:
    """Return a database's moment as `2026-01-31T03:04:05.5`, with `Z` if `zoned`.

    BC, infinite and zero moments, and those past the year 9999, are returned as they are.
    """
    try:
        moment = timestamp(written)
    except Refused:
        return written
    text = moment.replace(tzinfo=None).isoformat()
    text = text.rstrip("0") if moment.microsecond else text
    return f"{text}Z" if zoned else text


def compact_json(text: str) -> str:
    """Return JSON without white space between tokens, letters beyond ASCII as themselves."""
    written = _JSON_SPACE.sub(lambda found: found[1] or "", text)
    return _JSON_ESCAPE.sub(_letter, written) if "\\u" in written else written


def _letter(escape: re.Match[str]) -> str:
    if escape["high"]:
        pair = bytes.fromhex(escape["high"] + escape["low"])
        return pair.decode("utf-16-be")
    code = int(escape["one"] or "0", 16)
    return chr(code) if code >= 0x80 and not 0xD800 <= code < 0xE000 else escape[0]
