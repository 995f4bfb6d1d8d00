"""Split SQL into words exactly as the database's own scanner does.

The guard trusts no parser with quoting: where the two disagree about the end of a string or a
comment, a statement hides in it. PostgreSQL is read with standard_conforming_strings, MySQL and
MariaDB without ANSI_QUOTES and NO_BACKSLASH_ESCAPES: the preview's session sets both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MARK = "'x'"  # stands for a string whose content says nothing about the statement


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is word, name (a quoted identifier), string, number or sign; `text` is lower-cased.

    A name's text is without its quotes. `start` counts characters from 0. `escaped` marks strings
    in which a backslash escapes, and names written with Unicode escapes.
    """

    kind: str
    text: str
    start: int
    escaped: bool = False


class Unreadable(Exception):
    """The text cannot be split; `start` is where the trouble begins."""

    def __init__(self, message: str, start: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start


@dataclass(frozen=True)
class Scan:
    """The tokens, and the text with comments blanked and strings reduced to the harmless."""

    tokens: list[Token]
    plain: str
    hints: tuple[str, ...] = ()


_WORD = r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*"
_NUMBER = r"0[xX][0-9a-fA-F]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"

_POSTGRESQL = re.compile(
    rf"""
    (?P<space>[ \t\n\r\f\v]+)
  | (?P<line>--[^\n\r]*)
  | (?P<block>/\*)
  | (?P<estring>[eE]'(?:[^'\\]|''|\\.)*(?P<eend>'?))
  | (?P<uname>[uU]&"(?:[^"]|"")*(?P<unend>"?))
  | (?P<string>(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?P<send>'?))
  | (?P<name>"(?:[^"]|"")*(?P<nend>"?))
  | (?P<dollar>\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$)
  | (?P<word>{_WORD})
  | (?P<number>{_NUMBER}|\$\d+)
  | (?P<sign>:=|::|->>|->|.)
    """,
    re.VERBOSE | re.DOTALL,
)

_MYSQL = re.compile(
    rf"""
    (?P<space>[ \t\n\r\f\v]+)
  | (?P<line>\#[^\n]*|--(?=[\x00-\x20\x7f]|\Z)[^\n]*)
  | (?P<block>/\*)
  | (?P<estring>(?:[xXbBnN]|_[A-Za-z0-9]+\s*)?'(?:[^'\\]|''|\\.)*(?P<eend>'?))
  | (?P<dstring>(?:_[A-Za-z0-9]+\s*)?"(?:[^"\\]|""|\\.)*(?P<dend>"?))
  | (?P<name>`(?:[^`]|``)*(?P<nend>`?))
  | (?P<word>{_WORD})
  | (?P<number>{_NUMBER})
  | (?P<sign>:=|->>|->|.)
    """,
    re.VERBOSE | re.DOTALL,
)

_ENDS = {"estring": "eend", "dstring": "dend", "string": "send", "name": "nend", "uname": "unend"}
_HARMLESS = re.compile(r"[\w .:,$/+-]{0,64}")


def scan(sql: str, dialect: str) -> Scan:
    """Split `sql` as a database of `dialect` ("postgres" or "mysql") would.

    Raises Unreadable for an open string or comment, and for MySQL's executable comments.
    """
    tokens: list[Token] = []
    plain: list[str] = []
    hints: list[str] = []
    for token, text in _pieces(sql, dialect, hints):
        plain.append(text)
        if token is not None:
            tokens.append(token)
    return Scan(tokens, "".join(plain), tuple(hints))


def first_word(sql: str, dialect: str) -> str:
    """Return the first word after comments, lower-cased; empty where there is none."""
    token = next((token for token, _ in _pieces(sql, dialect, []) if token is not None), None)
    return token.text if token is not None and token.kind == "word" else ""


def _pieces(sql: str, dialect: str, hints: list[str]) -> Iterator[tuple[Token | None, str]]:
    match = (_POSTGRESQL if dialect == "postgres" else _MYSQL).match
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
            end = _comment_end(sql, at, dialect)
            if sql.startswith("/*+", at):
                hints.append(sql[at:end].lower())
            yield None, " "
        elif group == "dollar":
            end = _dollar_end(sql, at, text)
            yield Token("string", "", at), MARK
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
        inner = text[text.index(quote) + 1 : -1].replace(quote * 2, quote)
        return Token("name", inner.lower(), at, escaped=group == "uname")
    return Token("string", text.lower(), at, escaped=group == "estring")


def _plain(group: str, text: str) -> str:
    if group.endswith("name"):
        return text
    inner = text[1:-1]
    return f"'{inner}'" if _HARMLESS.fullmatch(inner) else MARK


def _comment_end(sql: str, at: int, dialect: str) -> int:
    if dialect != "postgres":
        return _flat_comment_end(sql, at)
    depth = 0
    for found in re.compile(r"/\*|\*/").finditer(sql, at):
        depth += 1 if found.group() == "/*" else -1
        if depth == 0:
            return found.end()
    raise Unreadable("a comment is never closed", at)


def _flat_comment_end(sql: str, at: int) -> int:
    if re.compile(r"/\*M?!").match(sql, at):
        raise Unreadable(
            "the database would run what is in a comment that opens with /*! or /*M!", at
        )
    end = sql.find("*/", at + 2)
    if end < 0:
        raise Unreadable("a comment is never closed", at)
    return end + 2


def _dollar_end(sql: str, at: int, tag: str) -> int:
    end = sql.find(tag, at + len(tag))
    if end < 0:
        raise Unreadable(f"the text after {tag} is never closed", at)
    return end + len(tag)
