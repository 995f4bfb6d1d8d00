"""Split SQL into words exactly as MySQL's own scanner does.

The guard trusts no parser with quoting: where the two disagree about the end of a string or a
comment, a statement hides in it. How quotes are read depends on the session's SQL modes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

# What an executed comment may hold: it says how a query is run, and not what it is.
_HINTS = re.compile(
    r"""
    (?:\s|sql_(?:no_)?cache|straight_join|sql_(?:big|small|buffer)_result|sql_calc_found_rows
      |high_priority)*
  | \s*(?:use|force|ignore)\s+(?:index|key)(?:\s+for\s+(?:join|order\s+by|group\s+by))?
    \s*\([\w\s,`]*\)\s*
    """,
    re.VERBOSE | re.IGNORECASE,
)

MARK = "'x'"  # stands for a string whose content says nothing about the statement


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is word, name (a quoted identifier), string, number or sign; `text` is lower-cased.

    A name's text is without its quotes. `start` counts characters from 0.
    """

    kind: str
    text: str
    start: int


class Unreadable(Exception):
    """The text cannot be split; `start` is where the trouble begins."""

    def __init__(self, message: str, start: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start


@dataclass(frozen=True)
class Scan:
    """The tokens, and the text with comments blanked and strings reduced to the harmless.

    `executed` are the places of comments that are executed, as start and end.
    """

    tokens: list[Token]
    plain: str
    hints: tuple[str, ...] = ()
    executed: tuple[tuple[int, int], ...] = ()


_WORD = r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*"
_NUMBER = r"0[xX][0-9a-fA-F]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"


@dataclass(frozen=True)
class Modes:
    """The SQL modes that move the end of a text or turn one into a name."""

    ansi_quotes: bool = False
    no_backslashes: bool = False

    @classmethod
    def named(cls, modes: str) -> Modes:
        """Return what `@@sql_mode` says; combinations such as ANSI list their parts there."""
        names = set(modes.upper().split(","))
        return cls("ANSI_QUOTES" in names, "NO_BACKSLASH_ESCAPES" in names)


@cache
def _pattern(modes: Modes) -> re.Pattern[str]:
    escape = "" if modes.no_backslashes else r"|\\."
    inside = "" if modes.no_backslashes else r"\\"
    quoted = rf"(?:[^'{inside}]|''{escape})*"
    double = rf"(?:[^\"{inside}]|\"\"{escape})*"
    as_double = (
        r"(?P<aname>\"(?:[^\"]|\"\")*(?P<anend>\"?))"
        if modes.ansi_quotes
        else rf"(?P<dstring>(?:_[A-Za-z0-9]+\s*)?\"{double}(?P<dend>\"?))"
    )
    return re.compile(
        rf"""
        (?P<space>[ \t\n\r\f\v]+)
      | (?P<line>\#[^\n]*|--(?=[\x00-\x20\x7f]|\Z)[^\n]*)
      | (?P<block>/\*)
      | (?P<estring>(?:[xXbBnN]|_[A-Za-z0-9]+\s*)?'{quoted}(?P<eend>'?))
      | {as_double}
      | (?P<name>`(?:[^`]|``)*(?P<nend>`?))
      | (?P<word>{_WORD})
      | (?P<number>{_NUMBER})
      | (?P<sign>:=|->>|->|.)
        """,
        re.VERBOSE | re.DOTALL,
    )


_ENDS = {"estring": "eend", "dstring": "dend", "name": "nend", "aname": "anend"}
_HARMLESS = re.compile(r"[\w .:,$/+-]{0,64}")


def scan(sql: str, modes: Modes) -> Scan:
    """Split `sql` as a session with `modes` would.

    Raises Unreadable for an open string or comment, and for comments that are executed.
    """
    tokens: list[Token] = []
    plain: list[str] = []
    hints: list[str] = []
    executed: list[tuple[int, int]] = []
    for token, text in _pieces(sql, modes, hints, executed):
        plain.append(text)
        if token is not None:
            tokens.append(token)
    return Scan(tokens, "".join(plain), tuple(hints), tuple(executed))


def _pieces(
    sql: str, modes: Modes, hints: list[str], executed: list[tuple[int, int]]
) -> Iterator[tuple[Token | None, str]]:
    match = _pattern(modes).match
    at = 0
    while at < len(sql):
        found = match(sql, at)
        assert found is not None  # noqa: S101 - the last branch takes any character
        group = str(found.lastgroup if found.lastgroup not in _ENDS.values() else _outer(found))
        end, text = found.end(), found.group()
        if group == "word":
            yield Token("word", text.lower(), at), text
        elif group in ("sign", "number"):
            yield Token(group, text, at), text
        elif group == "space":
            yield None, text
        elif group == "line":
            yield None, " "
        elif group == "block":
            end = _comment_end(sql, at)
            if sql.startswith("/*+", at):
                hints.append(sql[at:end].lower())
            elif sql.startswith(("/*!", "/*M!"), at):
                executed.append((at, end))
            yield None, " "
        else:
            yield _quoted(group, found, at), _plain(group, text)
        at = end


def _outer(found: re.Match[str]) -> str:
    return next(name for name in _ENDS if found.group(name) is not None)


def _quoted(group: str, found: re.Match[str], at: int) -> Token:
    if not found.group(_ENDS[group]):
        what = "quoted name" if group.endswith("name") else "text in quotes"
        raise Unreadable(f"a {what} is never closed", at)
    text = found.group()
    if group.endswith("name"):
        quote = text[-1]
        return Token("name", text[1:-1].replace(quote * 2, quote).lower(), at)
    return Token("string", text.lower(), at)


def _plain(group: str, text: str) -> str:
    if group == "name":
        return text
    if group == "aname":
        return "`" + text[1:-1].replace('""', '"').replace("`", "``") + "`"
    inner = text[1:-1]
    return f"'{inner}'" if _HARMLESS.fullmatch(inner) else MARK


def _comment_end(sql: str, at: int) -> int:
    executed = re.compile(r"/\*M?!(\d*)(?P<content>[^*]*)\*/").match(sql, at)
    if executed and _HINTS.fullmatch(executed["content"]):
        return executed.end()
    if re.compile(r"/\*M?!").match(sql, at):
        raise Unreadable(
            "the database would run what is in a comment that opens with /*! or /*M!; "
            "leave the comment out, or write its content as part of the query",
            at,
        )
    end = sql.find("*/", at + 2)
    if end < 0:
        raise Unreadable("a comment is never closed", at)
    return end + 2
