"""The statement wall of MySQL and MariaDB: exactly one statement, and one that only reads.

Two readings must agree: the words, split as the session's SQL modes split them, and the tree of a
real parser. The words alone decide where the parser does not know a form of the language that the
database knows.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sqlglot import Dialect, Parser, exp
from sqlglot.errors import SqlglotError

from sources.errors import StatementRefused
from sources.mysql.tokens import Modes, Scan, Token, Unreadable, scan
from sources.text import ACCEPTED, MAX_DEPTH, check_text, refusal

# How often the parser may go on by a token; two or three times for each is usual.
MIN_STEPS = 20_000
STEPS_PER_TOKEN = 8

_QUERIES = {"select", "with", "values", "table"}
_WRITES = {"insert", "update", "delete", "replace"}
# What may follow a column that is called "update" or "delete".
_AFTER_A_VALUE = {
    "and", "or", "as", "is", "in", "like", "ilike", "not", "between", "similar", "isnull",
    "notnull", "desc", "asc", "collate", "at", "end", "then",
}  # fmt: skip
# What may follow a SELECT: in no query that stands in another, and in any.
_OUTERMOST = {
    "sql_no_cache", "sql_cache", "sql_buffer_result", "sql_calc_found_rows", "high_priority",
}  # fmt: skip
_ANYWHERE = {
    "all", "distinct", "distinctrow", "straight_join", "sql_small_result", "sql_big_result",
}  # fmt: skip
_EXPLAIN_WORDS = {"verbose", "extended", "partitions", "format", "json", "tree", "traditional"}

# They change something outside the query, or run text as SQL where no guard looks.
_SIDE_EFFECTS = re.compile(
    r"""
    load_file | get_lock | release_lock | release_all_locks | sys_(exec|eval|set|get)
  | nextval | setval | (master|source)_\w+_wait | wait_for_executed_gtid_set
  | wait_until_sql_thread_after_gtids | keyring_\w+ | group_replication_\w+
  | asynchronous_connection_failover_\w+ | service_(get|release)_\w+_locks?
  | audit_(api_message_emit_udf|log_\w+) | mysql_firewall_\w+ | http_(get|post|put|delete)
    """,
    re.VERBOSE,
)

# Tree nodes that write, lock or run something, by sqlglot's names.
_WRITING_NAMES = [
    "DML", "Insert", "Update", "Delete", "Merge", "Create", "Drop", "Alter", "TruncateTable",
    "Command", "Set", "Into", "Lock", "Copy", "LoadData", "Use", "Kill", "Transaction", "Commit",
    "Rollback", "Pragma", "Analyze", "Grant", "Revoke", "Comment", "Cache", "Attach", "Detach",
    "Execute",
]  # fmt: skip
_WRITING_NODES = tuple(getattr(exp, name) for name in _WRITING_NAMES if hasattr(exp, name))

_OTHER_MODES = (Modes(ansi_quotes=True), Modes(no_backslashes=True), Modes(True, True))

# It warns of every statement that it keeps as text, and quotes the statement: not for a log.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Statement:
    """A statement that only reads; `whole` where it is no query that could stand in another.

    Its body starts behind the common table expressions, and it is without the words that only an
    outermost query may have.
    """

    text: str
    whole: bool
    body: int = 0

    def limited(self, rows: int) -> str:
        """Return the query of its first rows. MariaDB takes no WITH inside of parentheses."""
        return f"{self.text[: self.body]}({self.text[self.body :]}\n) LIMIT {rows}"

    def without_rows(self) -> str:
        """Return the query of the same columns, and of no row."""
        return self.limited(0)

    def around(self, cells: str, count: int, rest: str = "") -> str:
        """Return a query of `cells` over this one's columns, which are called c0, c1 and so on.

        A query around another keeps its order where it has a limit.
        """
        names = ", ".join(f"c{number}" for number in range(count))
        ordered = re.search(r"\border\b", self.text, re.IGNORECASE) is not None
        inner = self.limited(2**64 - 1) if ordered else f"{self.text}\n"
        return f"WITH w({names}) AS ({inner}) SELECT {cells} FROM w{rest}"  # noqa: S608

    def with_exact_floats(self, floats: list[bool], limit_rows: int) -> str:
        """Return the query of the same rows, with the FLOATs among its columns as DOUBLEs.

        The limit stands inside: a query around another does not keep its order.
        """
        names = [f"c{number}" for number in range(len(floats))]
        cells = (
            f"{name} + 0e0" if exact else name for name, exact in zip(names, floats, strict=True)
        )
        return (
            f"WITH w({', '.join(names)}) AS ({self.limited(limit_rows)})"  # noqa: S608
            f" SELECT {', '.join(cells)} FROM w"
        )


def check(sql: str) -> None:
    """Judge a statement without a session: one that only reads in some SQL mode is accepted.

    Which one the account has is known when the query runs, and read by then. Raises
    StatementRefused.
    """
    try:
        read(sql, Modes())
    except StatementRefused:
        if not any(_reads(sql, modes) for modes in _OTHER_MODES):
            raise


def _reads(sql: str, modes: Modes) -> bool:
    try:
        read(sql, modes)
    except StatementRefused:
        return False
    return True


@lru_cache(maxsize=64)  # a query is previewed again and again while it is written
def read(sql: str, modes: Modes) -> Statement:
    """Return the one statement of `sql`, as a session with `modes` reads it.

    Raises StatementRefused, which says why and, where a place is to blame, its line and column.
    """
    check_text(sql)
    try:
        scanned = scan(sql, modes)
    except Unreadable as exc:
        raise refusal(sql, f"The query was not run: {exc.message}", exc.start) from exc
    words = _Words(sql, scanned)
    words.check()
    whole = words.tokens[0].text in ("show", "explain")
    if not whole:
        _check_tree(scanned.plain)
    return Statement(words.inner(), whole, words.body())


class _Words:
    """The reading by words: sound on its own, whatever the parser makes of the statement."""

    def __init__(self, sql: str, scanned: Scan) -> None:
        self.sql = sql
        self.end = len(sql)
        self.hints = scanned.hints
        self.executed = scanned.executed
        self.tokens = scanned.tokens

    def check(self) -> None:
        self.drop_final_semicolons()
        self.check_nesting()
        self.check_opening()
        for rule in (self.check_words, self.check_writes, self.check_functions):
            rule()
        self.check_hints()

    def refuse(self, reason: str, token: Token | None = None) -> StatementRefused:
        return refusal(self.sql, reason, token.start if token else None)

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
            self.end = self.tokens.pop().start
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
                reason = "EXPLAIN is accepted of a SELECT alone; SHOW COLUMNS FROM tells of a table"
                raise self.refuse(reason, self.tokens[0])
        elif self.word(index) == "show" and index == 0:
            return
        elif self.word(index) not in _QUERIES:
            found = self.tokens[min(index, len(self.tokens) - 1)]
            if self.word(index) in ("describe", "desc"):
                reason = (
                    "DESCRIBE is not accepted; SHOW COLUMNS FROM says the same of a table, "
                    "and EXPLAIN of a query"
                )
                raise self.refuse(reason, found)
            raise self.refuse(f"{ACCEPTED}; this one begins with {self.shown(found)}", found)

    def inner(self) -> str:
        """Return the text that can stand in another query; what it lacks are blanks."""
        text = self.sql[: self.end]
        for start, end in [*self.outermost(), *self.executed]:
            if not re.search(r"\b(use|force|ignore)\b", text[start:end], re.IGNORECASE):
                text = text[:start] + " " * (end - start) + text[end:]
        return text

    def outermost(self) -> Iterator[tuple[int, int]]:
        for index in range(len(self.tokens)):
            at = index + 1
            while self.word(index) == "select" and self.word(at) in _OUTERMOST | _ANYWHERE:
                token = self.tokens[at]
                if token.text in _OUTERMOST:
                    yield token.start, token.start + len(token.text)
                at += 1

    def body(self) -> int:
        """Return where the query begins, behind its common table expressions."""
        depth = 0
        for index, token in enumerate(self.tokens if self.word(0) == "with" else ()):
            opens = self.sign(index) == "("
            begins = self.word(index) in _QUERIES or (opens and self.sign(index - 1) == ")")
            if begins and index and not depth:
                return token.start
            depth += opens - (self.sign(index) == ")")
        return 0

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
            if token.kind == "word" and not self.is_name(index):
                self.check_word(index, token)
            elif token.text == ":=" and token.kind == "sign" and not self.own_variable(index):
                raise self.refuse("The query assigns a variable of the server with :=", token)

    def own_variable(self, index: int) -> bool:
        """Tell `@name :=`, which only this session knows, from `@@name :=`."""
        before = self.sql[: self.tokens[index].start].rstrip()
        return re.search(r"(?<!@)@(\w[\w.$]*|`[^`]*`|'[^']*'|\"[^\"]*\")\Z", before) is not None

    def is_name(self, index: int) -> bool:
        """A reserved word right after a dot is a column's name, and after @ a variable's."""
        return (
            self.sign(index - 1) in (".", "@")
            and self.tokens[index - 1].start == self.tokens[index].start - 1
        )

    def check_word(self, index: int, token: Token) -> None:
        following = self.word(index + 1)
        if token.text == "into":
            raise self.refuse("The query writes its result INTO something", token)
        if token.text == "for" and following in ("update", "share") and not self.counts(index):
            raise self.refuse(
                f"The query locks rows with FOR {following.upper()}; leave that out", token
            )
        if token.text == "lock" and following == "in" and self.word(index + 2) == "share":
            raise self.refuse("The query locks rows with LOCK IN SHARE MODE; leave that out", token)
        if token.text == "next" and following == "value" and self.word(index + 2) == "for":
            raise self.refuse("The query advances a sequence with NEXT VALUE FOR", token)

    def counts(self, index: int) -> bool:
        """Tell SUBSTRING(a FROM 1 FOR share), where FOR is followed by a number's name."""
        depth = 1
        while index > 0 and depth:
            index -= 1
            depth += (self.sign(index) == ")") - (self.sign(index) == "(")
        return self.word(index - 1) in ("substring", "substr", "mid")

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
            if token.kind not in ("word", "name") or self.sign(index + 1) != "(":
                continue
            if _SIDE_EFFECTS.fullmatch(token.text) and not self.defined_here(index):
                raise self.refuse(
                    f"The query calls {token.text}(), which does more than read", token
                )

    def defined_here(self, index: int) -> bool:
        """Tell a common table expression with a list of columns from a call."""
        closing = self.closing(index + 1)
        return self.word(closing + 1) == "as" and self.sign(closing + 2) == "("

    def check_hints(self) -> None:
        if any(word in hint for hint in self.hints for word in ("set_var", "resource_group")):
            raise self.refuse("The query changes the session with an optimizer hint")


def _check_tree(plain: str) -> None:
    """Refuse what the parser sees written; what it cannot read is the words' decision."""
    try:
        trees = [tree for tree in _parse(plain) if tree is not None]
    except SqlglotError:
        return
    except RecursionError as exc:
        raise StatementRefused("The query is nested too deeply to be checked.") from exc
    for tree in trees:
        _check_nodes(tree)


def _parse(plain: str) -> list[exp.Expr | None]:
    language = Dialect.get_or_raise("mysql")
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
