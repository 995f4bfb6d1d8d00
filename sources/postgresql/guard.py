"""The statement wall of PostgreSQL: its own grammar reads the statement, by libpg_query.

Exactly one statement, of a kind that reads: no write in a CTE, no lock, no INTO. Whatever is
called, by a parenthesis or as an attribute, is judged by its name here and by what the server
says of it before a query runs. The parser can crash on monstrous texts: it runs in a child alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import pgparse

from sources.errors import StatementRefused
from sources.text import ACCEPTED, MAX_DEPTH, check_text, refusal

Node = dict[str, Any]

_WRITES = {
    "InsertStmt": "INSERT",
    "UpdateStmt": "UPDATE",
    "DeleteStmt": "DELETE",
    "MergeStmt": "MERGE",
}
# A verb that begins the statement, as people write it.
_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\S\w*)", re.DOTALL)

# The grammar takes a second for ten thousand of them.
_LEADING_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*\n|/\*[^*/]*\*/)+")

# Functions of PostgreSQL that change something outside the query, or wait for others. What the
# server itself says of a function outdoes this list.
_SIDE_EFFECTS = re.compile(
    r"""
    pg_(terminate|cancel)_backend | pg_(reload_conf|promote|nextoid|notify|export_snapshot)
  | pg_rotate_logfile\w* | pg_read_(binary_)?file\w* | pg_stat_file | pg_ls_\w+ | pg_file_\w+
  | pg_(try_)?advisory_\w+ | pg_logical_\w+ | pg_replication_\w+ | pg_copy_\w+_replication_slot
  | pg_create_\w+ | pg_drop_replication_slot | pg_switch_(wal|xlog) | pg_wal_replay_\w+
  | pg_(start|stop)_backup | pg_backup_(start|stop) | pg_stat_reset\w*
  | pg_log_(backend_memory_contexts|standby_snapshot) | pg_import_system_collations
  | pg_extension_config_dump | pg_stop_making_pinned_objects | pg_sync_replication_slots
  | pg_(restore|clear)_(relation|attribute)_stats | binary_upgrade_\w+
  | brin_(de)?summarize\w* | gin_clean_pending_list
  | lo_(import|export|from_bytea|put|create|creat|unlink|open|truncate|truncate64)
  | loread | lowrite | nextval | setval | set_config | (table|schema|database)_to_xml\w*
  | plpgsql_(call|inline)_handler
    """,
    re.VERBOSE,
)
# The same of extensions, which are in a schema of the account's choice.
_SIDE_EFFECTS_OF_EXTENSIONS = re.compile(
    r"""
    dblink(_(connect(_u)?|disconnect|exec|open|fetch|close|send_query|is_busy|cancel_query
      | get_\w+|error_message|current_query|build_sql_\w+|fdw_validator))?
  | postgres_fdw_disconnect\w* | pg_prewarm | autoprewarm_\w+ | heap_force_\w+ | lo_manage
  | pg_truncate_visibility_map | pg_buffercache_evict\w* | pg_stat_statements_reset
    """,
    re.VERBOSE,
)
# They run these of their arguments as SQL: it is judged in its turn.
_CROSSTAB = slice(0, 2)
_RUN_STATEMENTS = {
    **dict.fromkeys(("crosstab", "crosstab2", "crosstab3", "crosstab4"), _CROSSTAB),
    **dict.fromkeys(
        ("query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "ts_stat"), slice(0, 1)
    ),
    "ts_rewrite": slice(1, 2),
}
# They make SQL of the names and conditions that they are given as texts.
_RUN_PIECES = {"connectby": "WITH RECURSIVE", "xpath_table": "XMLTABLE"}  # what says the same

# Volatile functions in C that are harmless: they tell a time, a chance, a size, or wait.
_HARMLESS = re.compile(
    r"""
    random(_normal)? | clock_timestamp | timeofday | pg_sleep(_for|_until)? | setseed | normal_rand
  | gen_random_(uuid|bytes) | gen_salt | pgp_(sym|pub)_encrypt(_bytea)? | uuidv[47]
  | uuid_generate_v(1|1mc|4|7) | st_generatepoints | currval | lastval | cursor_to_xml(schema)?
  | lo_get | pg_(relation|table|indexes|total_relation|database|tablespace)_size
  | pg_current_wal_(lsn|insert_lsn|flush_lsn) | pg_last_wal_(receive|replay)_lsn
  | pg_last_xact_replay_timestamp | pg_is_in_recovery | pg_is_wal_replay_paused
  | pg_(safe_snapshot_)?blocking_pids | pg_lock_status | pg_prepared_(xact|statement) | pg_cursor
  | pg_stat_get_\w+ | pg_stat_have_stats | pg_stat_statements(_info)? | pg_sequence_last_value
  | pg_notification_queue_usage | pg_xact_(commit_timestamp(_origin)?|status) | txid_status
  | pg_last_committed_xact | pg_partition_(tree|ancestors) | pg_control_\w+ | pg_jit_available
  | pg_get_(shmem_allocations|backend_memory_contexts|multixact_members|wal_\w+)
  | pg_show_all_file_settings | pg_(hba|ident)_file_\w+ | pg_current_logfile | current_query
  | pg_(database_)?collation_actual_version | pg_show_replication_origin_status | bt_metap
  | pgstat(tuple(_approx)?|index|ginindex|hashindex) | pg_relpages | pg_freespace | pgrowlocks
  | pg_visibility(_map(_summary)?)? | pg_buffercache_pages | pg_stat_clear_snapshot
  | ssl_(is_used|version|cipher|client_\w+|issuer_\w+|extension_info)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Call:
    """A name in the place of a function; `attribute` where a dot and no parenthesis calls it."""

    name: str
    schema: str | None
    start: int
    attribute: bool
    texts: tuple[str | None, ...] = ()  # its arguments, None for what is not written out
    judged: bool = False  # what it runs as SQL, if it does


@dataclass
class Statement:
    """What the grammar made of a text; `whole` where a cursor does not take it.

    `bare` is the text without a semicolon at its end, so that it can stand in another statement.
    """

    sql: str
    whole: bool
    calls: list[Call] = field(default_factory=list)
    bare: str = ""


class SyntaxTrouble(StatementRefused):
    """The text is no SQL: the grammar's words; `position` counts from 1, and is 0 where unknown."""

    words = ""
    position = 0


def check(sql: str) -> None:
    """Judge a statement without a server. Raises StatementRefused.

    What is not quite SQL is the database's to refuse, in its own words: nothing runs that has no
    tree. What has no end is refused here.
    """
    try:
        calls = read(sql).calls
    except SyntaxTrouble as exc:
        if re.search("^(unterminated|memory exhausted)|end of input$", exc.words):
            raise
        return
    for call in calls:
        own = call.schema not in (None, "pg_catalog")
        listed = not own and _SIDE_EFFECTS.fullmatch(call.name)
        if listed or _SIDE_EFFECTS_OF_EXTENSIONS.fullmatch(call.name):
            raise refused_call(sql, call)


@lru_cache(maxsize=64)  # a query is previewed again and again while it is written
def read(sql: str) -> Statement:
    """Return what the one statement of `sql` is made of. Raises StatementRefused."""
    check_text(sql)
    sql = _LEADING_COMMENTS.sub(lambda found: " " * len(found[0]), sql, count=1)
    found = _only_statement(sql)
    kind, body = next(iter(found["stmt"].items()))
    if kind == "VariableShowStmt":
        return Statement(sql, whole=True)
    whole = kind == "ExplainStmt"
    if whole:
        _check_explain(sql, body)
        kind, body = next(iter(body["query"].items()))
    if kind != "SelectStmt":
        reason = "EXPLAIN is accepted of a SELECT alone" if whole else _kind_refused(sql)
        raise refusal(sql, reason, _beginning(sql))
    calls = [each for call in _walk(sql, body) for each in _judged(sql, call)]
    return Statement(sql, whole, calls, _bare(sql, found))


def _only_statement(sql: str) -> Node:
    _check_depth(sql)
    try:
        statements = pgparse.parse(sql)
    except pgparse.PGQueryError as exc:
        raise _syntax_trouble(sql, exc) from exc
    except (RecursionError, ValueError) as exc:
        raise StatementRefused("The query is nested too deeply to be checked.") from exc
    if not statements:
        raise refusal(sql, "The query is empty")
    if len(statements) > 1:
        end = _characters(sql, statements[0]["stmt_len"])
        raise refusal(sql, f"A query is one statement; found {len(statements)}", end)
    only: Node = statements[0]
    return only


def _bare(sql: str, statement: Node) -> str:
    start, size = statement.get("stmt_location", 0), statement.get("stmt_len", 0)
    return sql[: _characters(sql, start + size)] if size else sql


def _check_depth(sql: str) -> None:
    """Refuse what the parser would need a stack for that it does not have."""
    depth = 0
    for found in re.finditer(r"[(\[]|[)\]]", sql):
        depth += 1 if found[0] in "([" else -1
        if depth > MAX_DEPTH:
            reason = f"The query is nested more than {MAX_DEPTH} levels deep"
            raise refusal(sql, reason, found.start())


def _syntax_trouble(sql: str, exc: pgparse.PGQueryError) -> StatementRefused:
    position = max(0, exc.position)
    if not _WORD.match(sql) or not re.match(
        r"(?i)\(|(select|with|values|table|show|explain)\b", sql[_beginning(sql) :]
    ):
        return refusal(sql, _kind_refused(sql), _beginning(sql))
    start = position - 1 if position else None
    found = refusal(sql, f"The query was not run: {exc.message}", start)
    trouble = SyntaxTrouble(found.message, line=found.line, column=found.column)
    trouble.words, trouble.position = exc.message, position
    return trouble


def _kind_refused(sql: str) -> str:
    word = _WORD.match(sql)
    return f"{ACCEPTED}; this one begins with {word[1][:40].upper() if word else 'nothing'}"


def _beginning(sql: str) -> int:
    word = _WORD.match(sql)
    return word.start(1) if word else 0


def _characters(sql: str, byte: int) -> int:
    """Return the place in characters of one in bytes of UTF-8, as the grammar counts."""
    return len(sql.encode()[:byte].decode("utf-8", "ignore"))


def _check_explain(sql: str, body: Node) -> None:
    for option in body.get("options", []):
        if option["DefElem"]["defname"].lower() in ("analyze", "analyse"):
            raise refusal(
                sql,
                "EXPLAIN ANALYZE runs the statement; plain EXPLAIN is accepted",
                _characters(sql, option["DefElem"].get("location", 0)),
            )


def _walk(sql: str, top: Node) -> Iterator[Call]:
    """Yield every name in the place of a function; raise for what does more than read."""
    waiting: list[Any] = [top]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            for kind, body in node.items():
                _check_node(sql, kind, body)
                if kind in _CALLS and isinstance(body, dict):
                    yield from _CALLS[kind](sql, body)


def _check_node(sql: str, kind: str, body: Any) -> None:
    if kind in _WRITES:
        at = body.get("relation", {}).get("location")
        start = None if at is None else _characters(sql, at)
        raise refusal(sql, f"The query writes: it contains {_WRITES[kind]}", start)
    if kind == "intoClause":
        at = body.get("rel", {}).get("location", 0)
        raise refusal(sql, "The query writes its result INTO something", _characters(sql, at))
    if kind == "lockingClause":
        strength = body[0]["LockingClause"]["strength"].removeprefix("LCS_FOR")
        words = {"NOKEYUPDATE": "NO KEY UPDATE", "KEYSHARE": "KEY SHARE"}.get(strength, strength)
        found = list(re.finditer(r"(?i)\bFOR\s+(NO|KEY|UPDATE|SHARE)\b", sql))
        start = found[-1].start() if found else None
        raise refusal(sql, f"The query locks rows with FOR {words}; leave that out", start)


def _function_call(sql: str, body: Node) -> Iterator[Call]:
    names = _names(body.get("funcname", []))
    if names:
        start = _characters(sql, body.get("location", 0))
        if sql[start : start + 3].lower() == 'u&"':
            raise refusal(sql, "The query calls a function by an escaped name", start)
        texts = tuple(_text(argument) for argument in body.get("args", []))
        yield Call(names[-1], names[0] if len(names) > 1 else None, start, False, texts)


def _column(sql: str, body: Node) -> Iterator[Call]:
    """`t.f` is f(t) where t has no column f."""
    names = _names(body.get("fields", []))
    if len(names) > 1:
        yield Call(names[-1], None, _characters(sql, body.get("location", 0)), attribute=True)


def _indirection(sql: str, body: Node) -> Iterator[Call]:
    for name in _names(body.get("indirection", [])):
        yield Call(name, None, _place(sql, name), attribute=True)


def _place(sql: str, name: str) -> int:
    return max(0, sql.lower().find(name.lower()))


_CALLS: dict[str, Callable[[str, Node], Iterator[Call]]] = {
    "FuncCall": _function_call,
    "ColumnRef": _column,
    "A_Indirection": _indirection,
}


def _names(nodes: list[Node]) -> list[str]:
    return [node["String"].get("sval", "") for node in nodes if "String" in node]


def _text(node: Node) -> str | None:
    """Return the content of a text that is written out, perhaps with a cast around it.

    It is empty of another constant.
    """
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    if "A_Const" not in node:
        return None
    content: str = node["A_Const"].get("sval", {}).get("sval", "")
    return content


def _judged(sql: str, call: Call) -> list[Call]:
    """Return a call, and the calls in the statements that it runs."""
    if call.attribute and (call.name in _RUN_STATEMENTS or call.name in _RUN_PIECES):
        raise refused_call(sql, call)
    if call.name in _RUN_PIECES:
        _check_pieces(sql, call)
    elif call.name in _RUN_STATEMENTS:
        runs = call.texts[_RUN_STATEMENTS[call.name]]
        if call.name != "ts_rewrite" or len(call.texts) == 2:
            return [replace(call, judged=True), *_inner(sql, call, runs)]
    elif call.name.startswith("crosstab"):  # somebody's own, perhaps by the extension's C
        with suppress(StatementRefused):
            inner = list(_inner(sql, call, call.texts[_CROSSTAB]))
            return [replace(call, judged=True), *inner]
        return [call]
    else:
        return [call]
    return [replace(call, judged=True)]


def _inner(sql: str, call: Call, texts: tuple[str | None, ...]) -> Iterator[Call]:
    if not texts or None in texts:
        raise refusal(
            sql,
            f"The query calls {call.name}() with a statement that is not written out; "
            "give it as one text in quotes",
            call.start,
        )
    for text in filter(None, texts):
        try:
            calls = read(text).calls
        except StatementRefused as exc:
            words = exc.message.partition(" (line ")[0].rstrip(".")  # it counts in that text
            reason = f"{call.name}() runs a text that is refused: {words}"
            raise refusal(sql, reason, call.start) from exc
        yield from (replace(each, start=call.start) for each in calls)


def _check_pieces(sql: str, call: Call) -> None:
    """Refuse what could call a function: it takes a parenthesis."""
    if None in call.texts or re.search(r"[(;]", "".join(map(str, call.texts))):
        raise refusal(
            sql,
            f"The query calls {call.name}() with more than names in quotes; "
            f"{_RUN_PIECES[call.name]} says the same",
            call.start,
        )


def refused_call(sql: str, call: Call) -> StatementRefused:
    """Return the verdict on a function that does more than read."""
    how = way = ""
    if call.attribute:
        how = ", written as an attribute"
        way = "; if it is a column, leave out the name of its table"
    return refusal(
        sql, f"The query calls {call.name}(){how}, which does more than read{way}", call.start
    )


# What the server is asked of the names that are called.
VERDICTS = """
SELECT p.proname, n.nspname, p.pronargs - p.pronargdefaults <= 1 AND p.pronargs >= 1,
  p.provolatile = 'v' AND l.lanname IN ('c', 'internal') OR NOT l.lanpltrusted
    AND l.lanname NOT IN ('c', 'internal'),
  l.lanname IN ('c', 'internal')
    AND p.prosrc ~ '^(crosstab|connectby|xpath_table|ts_stat|query_to_xml|tsquery_rewrite_query)'
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.proname IN ({names})
"""


@dataclass
class Verdicts:
    """What this server says of the functions that came up so far, by name."""

    known: dict[str, list[tuple[str, bool, bool, bool]]] = field(default_factory=dict)

    def check(self, statement: Statement, ask: Callable[[str], list[list[str | None]]]) -> None:
        """Raise StatementRefused for a call that does more than read."""
        unknown = sorted({call.name for call in statement.calls} - self.known.keys())
        if unknown:
            self._learn(unknown, ask)
        for call in statement.calls:
            if any(self._bad(call, *row) for row in self.known[call.name]):
                raise refused_call(statement.sql, call)

    def _learn(self, names: list[str], ask: Callable[[str], list[list[str | None]]]) -> None:
        self.known |= {name: [] for name in names}
        # A name with a quote or a backslash in it is of nobody's function here.
        literals = ", ".join(
            "E'{}'".format(n.replace("\\", "\\\\").replace("'", "''")) for n in names
        )
        for name, schema, *told in ask(VERDICTS.format(names=literals)):
            as_attribute, bad, runs = (word == "t" for word in told)
            self.known[str(name)].append((str(schema), as_attribute, bad, runs))

    @staticmethod
    def _bad(call: Call, schema: str, as_attribute: bool, bad: bool, runs: bool) -> bool:
        if call.attribute and not as_attribute:
            return False
        if call.schema is not None and call.schema != schema:
            return False
        if schema == "pg_catalog" and _SIDE_EFFECTS.fullmatch(call.name):
            return True
        return (bad or runs) and not call.judged and not _HARMLESS.fullmatch(call.name)
