"""The guard in front of the sources: exactly one statement, and one that only reads.

The first of a preview's three walls; it needs no database, so that it also judges a query that is
being saved. Two readings must agree: the words, split as the database splits them, and the tree
of a real parser. The words alone decide where the parser does not know a form of the language
that the database knows.
"""

from __future__ import annotations

import logging
import re
from functools import cache, lru_cache
from typing import Any

from sqlglot import Dialect, Parser, exp
from sqlglot.errors import SqlglotError

from .drivers import DRIVERS
from .drivers.errors import StatementRefused
from .sql_tokens import Scan, Token, Unreadable, scan

MAX_CHARACTERS = 100_000
MAX_DEPTH = 60
MAX_REMEMBERED = 5_000
# How often the parser may go on by a token; two or three times for each is usual.
MIN_STEPS = 20_000
STEPS_PER_TOKEN = 8

ACCEPTED = "A query is one SELECT, WITH … SELECT, VALUES, TABLE, SHOW or plain EXPLAIN statement"

_QUERIES = {"select", "with", "values", "table"}
_WRITES = {"insert", "update", "delete", "merge", "replace"}
# What may follow a column that is called "update" or "delete".
_AFTER_A_VALUE = {
    "and",
    "or",
    "as",
    "is",
    "in",
    "like",
    "ilike",
    "not",
    "between",
    "similar",
    "isnull",
    "notnull",
    "desc",
    "asc",
    "collate",
    "at",
    "end",
    "then",
}
_EXPLAIN_WORDS = {"verbose", "extended", "partitions", "format", "json", "tree", "traditional"}

_SURROGATE = re.compile("[\ud800-\udfff]")
_SIDE_EFFECTS = {
    kind: re.compile(driver.side_effects, re.VERBOSE) for kind, driver in DRIVERS.items()
}

# Tree nodes that write, lock or run something, by sqlglot's names.
_WRITING_NODES = tuple(
    getattr(exp, name)
    for name in [
        "DML",
        "Insert",
        "Update",
        "Delete",
        "Merge",
        "Create",
        "Drop",
        "Alter",
        "TruncateTable",
        "Command",
        "Set",
        "Into",
        "Lock",
        "Copy",
        "LoadData",
        "Use",
        "Kill",
        "Transaction",
        "Commit",
        "Rollback",
        "Pragma",
        "Analyze",
        "Grant",
        "Revoke",
        "Comment",
        "Cache",
        "Attach",
        "Detach",
        "Execute",
    ]
    if hasattr(exp, name)
)

# It warns of every statement that it keeps as text, and quotes the statement: not for a log.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


def check_statement(sql: str, kind: str) -> None:
    """Return when `sql` is one statement that only reads in a database of `kind`.

    Raises StatementRefused, which says why and, where a place is to blame, its line and column.
    """
    if kind not in DRIVERS:
        raise StatementRefused(f'"{kind}" is not a kind of database known here.')
    _check_text(sql)
    (_judged if len(sql) <= MAX_REMEMBERED else _judge)(sql, kind)


def _judge(sql: str, kind: str) -> None:
    dialect = DRIVERS[kind].sql_dialect
    try:
        scanned = scan(sql, dialect)
    except Unreadable as exc:
        raise _refusal(sql, f"The query was not run: {exc.message}", exc.start) from exc
    _Words(sql, dialect, _SIDE_EFFECTS[kind], scanned).check()
    if scanned.tokens[0].text not in ("show", "explain"):
        _check_tree(scanned.plain, dialect)


_judged = lru_cache(maxsize=512)(_judge)  # a query is previewed again and again while it is written


def _check_text(sql: str) -> None:
    if len(sql) > MAX_CHARACTERS:
        raise StatementRefused(
            f"The query has {len(sql):,} characters; at most {MAX_CHARACTERS:,} are accepted."
        )
    if "\0" in sql:
        raise _refusal(sql, "The query contains a NUL character", sql.index("\0"))
    if _SURROGATE.search(sql):
        raise StatementRefused("The query is not valid Unicode: it contains half a surrogate pair.")


def _refusal(sql: str, reason: str, start: int | None = None) -> StatementRefused:
    if start is None:
        return StatementRefused(f"{reason}.")
    line = sql.count("\n", 0, start) + 1
    column = start - (sql.rfind("\n", 0, start) + 1) + 1
    return StatementRefused(f"{reason} (line {line}, column {column}).", line=line, column=column)


class _Words:
    """The reading by words: sound on its own, whatever the parser makes of the statement."""

    def __init__(
        self, sql: str, dialect: str, side_effects: re.Pattern[str], scanned: Scan
    ) -> None:
        self.sql = sql
        self.dialect = dialect
        self.side_effects = side_effects
        self.hints = scanned.hints
        self.tokens = scanned.tokens

    def check(self) -> None:
        self.drop_final_semicolons()
        self.check_nesting()
        self.check_opening()
        for rule in (self.check_words, self.check_writes, self.check_functions, self.check_strings):
            rule()
        self.check_hints()

    def refuse(self, reason: str, token: Token | None = None) -> StatementRefused:
        return _refusal(self.sql, reason, token.start if token else None)

    def word(self, index: int) -> str:
        """Return the unquoted word at `index`, or an empty text."""
        if 0 <= index < len(self.tokens) and self.tokens[index].kind == "word":
            return self.tokens[index].text
        return ""

    def sign(self, index: int) -> str:
        if 0 <= index < len(self.tokens) and self.tokens[index].kind == "sign":
            return self.tokens[index].text
        return ""

    def drop_final_semicolons(self) -> None:
        while self.tokens and self.sign(len(self.tokens) - 1) == ";":
            self.tokens.pop()
        if not self.tokens:
            raise self.refuse("The query is empty")
        ends = [token for token in self.tokens if token.kind == "sign" and token.text == ";"]
        if ends:
            raise self.refuse(f"A query is one statement; found {len(ends) + 1}", ends[0])

    def check_nesting(self) -> None:
        depth = 0
        for token in self.tokens:
            if token.kind == "sign":
                depth += (token.text in "([") - (token.text in ")]")
            if depth > MAX_DEPTH:
                raise self.refuse(f"The query is nested more than {MAX_DEPTH} levels deep", token)

    def check_opening(self) -> None:
        index = self.first_word()
        if self.word(index) == "explain":
            index = self.after_explain(index + 1)
            if self.word(index) not in _QUERIES:
                raise self.refuse("EXPLAIN is accepted of a SELECT alone", self.tokens[0])
        elif self.word(index) == "show" and index == 0:
            return
        elif self.word(index) not in _QUERIES:
            found = self.tokens[min(index, len(self.tokens) - 1)]
            raise self.refuse(f"{ACCEPTED}; this one begins with {self.shown(found)}", found)

    def first_word(self, index: int = 0) -> int:
        while self.sign(index) == "(":
            index += 1
        return index

    def after_explain(self, index: int) -> int:
        start = index
        if self.sign(index) == "(" and self.word(index + 1) not in _QUERIES | {""}:
            index = self.closing(index) + 1
        while self.word(index) in _EXPLAIN_WORDS or self.sign(index) == "=":
            index += 1
        index += self.tokens[index].kind == "string" if index < len(self.tokens) else 0
        options = self.tokens[start : index + 1]
        if any(token.text in ("analyze", "analyse") for token in options):
            raise self.refuse(
                "EXPLAIN ANALYZE runs the statement; plain EXPLAIN is accepted", options[0]
            )
        return self.first_word(index)

    def closing(self, index: int) -> int:
        depth = 0
        for at in range(index, len(self.tokens)):
            depth += (self.sign(at) == "(") - (self.sign(at) == ")")
            if depth == 0:
                return at
        return len(self.tokens)

    def shown(self, token: Token) -> str:
        return token.text[:40].upper() if token.kind == "word" else f"{token.text[:40]!r}"

    def check_words(self) -> None:
        for index, token in enumerate(self.tokens):
            if token.kind == "word" and not self.after_dot(index):
                self.check_word(index, token)
            elif token.text == ":=" and token.kind == "sign" and self.dialect == "mysql":
                raise self.refuse("The query assigns a variable with :=", token)

    def after_dot(self, index: int) -> bool:
        """A reserved word right after a dot is a column's name."""
        return (
            self.sign(index - 1) == "."
            and self.tokens[index - 1].start == self.tokens[index].start - 1
        )

    def check_word(self, index: int, token: Token) -> None:
        following = self.word(index + 1)
        if token.text == "into":
            raise self.refuse("The query writes its result INTO something", token)
        if token.text == "for" and following in ("update", "share", "no", "key"):
            raise self.refuse(f"The query locks rows with FOR {following.upper()}", token)
        if token.text == "lock" and following == "in" and self.word(index + 2) == "share":
            raise self.refuse("The query locks rows with LOCK IN SHARE MODE", token)
        if token.text == "next" and following == "value" and self.word(index + 2) == "for":
            raise self.refuse("The query advances a sequence with NEXT VALUE FOR", token)

    def check_writes(self) -> None:
        """A write is a verb right after a parenthesis that is followed by what it writes to."""
        for index in range(1, len(self.tokens) - 1):
            verb = self.word(index)
            if verb in _WRITES and self.sign(index - 1) in ("(", ")") and self.names(index + 1):
                if self.sign(index - 1) == ")" and self.word(0) != "with":
                    continue
                raise self.refuse(
                    f"The query writes: it contains {verb.upper()}", self.tokens[index]
                )

    def names(self, index: int) -> bool:
        token = self.tokens[index]
        return token.kind == "name" or (token.kind == "word" and token.text not in _AFTER_A_VALUE)

    def check_functions(self) -> None:
        for index, token in enumerate(self.tokens):
            called = self.sign(index + 1) == "(" or self.word(index + 1) == "uescape"
            if token.kind not in ("word", "name") or not called:
                continue
            if token.escaped:
                raise self.refuse("The query calls a function by an escaped name", token)
            if self.side_effects.fullmatch(token.text):
                raise self.refuse(
                    f"The query calls {token.text}(), which does more than read", token
                )

    def check_strings(self) -> None:
        """PostgreSQL goes on escaping in the text that continues an E'…' on the next line."""
        if self.dialect != "postgres":
            return
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.kind == "string" == token.kind and before.escaped:
                raise self.refuse("Write a text that begins with E'…' in one piece", token)

    def check_hints(self) -> None:
        if any(word in hint for hint in self.hints for word in ("set_var", "resource_group")):
            raise self.refuse("The query changes the session with an optimizer hint")


def _check_tree(plain: str, dialect: str) -> None:
    """Refuse what the parser sees written; what it cannot read is the words' decision."""
    try:
        trees = [tree for tree in _parse(plain, dialect) if tree is not None]
    except SqlglotError:
        return
    except RecursionError as exc:
        raise StatementRefused("The query is nested too deeply to be checked.") from exc
    for tree in trees:
        _check_nodes(tree)


def _parse(plain: str, dialect: str) -> list[exp.Expr | None]:
    language = Dialect.get_or_raise(dialect)
    tokens = language.tokenize(plain)
    parser = _patient(language.parser_class)(dialect=language)
    parser.steps_left = MIN_STEPS + STEPS_PER_TOKEN * len(tokens)
    return list(parser.parse(tokens, plain))


@cache
def _patient(parser: type[Parser]) -> type[Any]:
    """Return a parser that gives up: nested types are tried in two ways at each level, and so
    thirty levels in a thousand million ways.
    """

    def advance(self: Any, times: int = 1) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise StatementRefused("The query is too intricate to be checked.")
        parser._advance(self, times)

    return type("Patient", (parser,), {"_advance": advance})


def _check_nodes(tree: exp.Expr) -> None:
    for node in tree.walk():
        if isinstance(node, _WRITING_NODES):
            raise StatementRefused(f"{ACCEPTED}; this one contains {_title(node)}.")


def _title(node: exp.Expr) -> str:
    if isinstance(node, exp.Command):
        return str(node.this).upper()
    return node.key.upper()
