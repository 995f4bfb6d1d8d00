# ruff: noqa: E501 - tables of cases, one a line
"""A preview reads, and only reads; it ends in time and leaves nothing running behind it."""

import contextlib
import os
import resource
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from children.places import Places
from sources import asking
from sources.clock import Clock
from sources.errors import (
    AnswerTooLarge,
    QueryFailed,
    SourceError,
    SourceTimeout,
    SourceUnreachable,
    StatementRefused,
    TooManyPreviews,
)
from sources.preview import describe, describe_table, list_tables, propose_schema, run_preview
from sources.probe import probe
from sources.serving import DRIVERS

SLEEP = {"postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}
RUNNING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{}%'"
    " AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%{}%'"
    " AND id <> CONNECTION_ID()",
}


@pytest.fixture(scope="module", autouse=True)
def tables(postgres, mysql):
    postgres.run(
        "CREATE TABLE many AS SELECT i AS id, 'name ' || i AS name FROM generate_series(1, 40000) i"
    )
    mysql.run("CREATE TABLE many (id int PRIMARY KEY, name varchar(20))")
    mysql.run("SET max_recursive_iterations = 100000")
    mysql.run(
        "INSERT INTO many WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)"
        " SELECT i, CONCAT('name ', i) FROM n"
    )
    for each in (postgres, mysql):
        each.run("CREATE TABLE kept (id int)")
        each.run("INSERT INTO kept VALUES (1)")


def open_session(params):
    """A session in this process, to see what it does without the guard in front."""
    return DRIVERS[params.kind].open(params, Clock(5))


def kept(server) -> int:
    return int(server.run("SELECT count(*) FROM kept")[0][0])


def gone(server, mark: str, within_s: float = 2.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if server.run(RUNNING[server.kind].format(mark))[0][0] == 0:
            return True
        time.sleep(0.05)
    return False


def test_it_shows_names_types_and_rows_in_order(server):
    shown = run_preview(server.reader, "SELECT id, name FROM many ORDER BY id", 2)

    assert shown.columns == ["id", "name"]
    assert shown.column_types == ["integer", "string"]
    assert shown.rows == [[1, "name 1"], [2, "name 2"]]
    assert (shown.row_count, shown.truncated) == (2, True)
    assert shown.elapsed_ms > 0


@pytest.mark.parametrize(
    "ending", ["", ";", " ;; ", " -- comment", "\n-- comment\n;", " /* comment */ ;"]
)
def test_a_statement_may_end_in_semicolons_and_comments(server, ending):
    assert run_preview(server.reader, f"SELECT 1{ending}").rows == [[1]]


def test_what_looks_like_a_parameter_is_text(server):
    assert run_preview(server.reader, "SELECT ':x', '%s', '100%', '{y}', '$1'").rows == [
        [":x", "%s", "100%", "{y}", "$1"]
    ]


def test_columns_may_have_the_same_name(server):
    assert run_preview(server.reader, "SELECT 1 AS a, 2 AS a").rows == [[1, 2]]


@pytest.mark.parametrize(
    ("sql", "limit", "count", "truncated"),
    [
        ("SELECT id FROM many", 100, 100, True),
        ("SELECT id FROM many LIMIT 100", 100, 100, False),
        ("SELECT id FROM many LIMIT 101", 100, 100, True),
        ("SELECT id FROM many LIMIT 30000", 100, 100, True),
        ("SELECT id FROM many LIMIT 99", 100, 99, False),
        ("SELECT id FROM many WHERE id < 0", 100, 0, False),
        ("SELECT id FROM many", 1, 1, True),
        ("SELECT id FROM many", 1000, 1000, True),
        ("SELECT * FROM (SELECT id FROM many ORDER BY id LIMIT 500) x", 100, 100, True),
        ("SELECT * FROM (SELECT id FROM many ORDER BY id LIMIT 5) x LIMIT 50", 100, 5, False),
        ("(SELECT 1) UNION ALL (SELECT 2) UNION ALL (SELECT 3)", 2, 2, True),
        ("WITH x AS (SELECT id FROM many) SELECT * FROM x", 7, 7, True),
        ("VALUES (1), (2), (3)", 3, 3, False),
        ("TABLE many", 2, 2, True),
    ],
)
def test_the_limit_holds_and_truncated_is_exact(server, sql, limit, count, truncated):
    if sql.startswith("TABLE") and is_mariadb(server):  # which has no such statement, and says so
        with pytest.raises(QueryFailed, match="syntax"):
            run_preview(server.reader, sql, limit)
        return
    shown = run_preview(server.reader, sql, limit)

    assert (shown.row_count, shown.truncated) == (count, truncated)
    assert len(shown.rows) == count


def is_mariadb(server) -> bool:
    return "mariadb" in str(server.run("SELECT version()")[0][0]).lower()


def test_rows_without_columns_are_rows(postgres):
    shown = run_preview(postgres.reader, "SELECT FROM generate_series(1, 3)", 2)

    assert (shown.columns, shown.rows, shown.truncated) == ([], [[], []], True)


def test_show_and_explain_are_shown(server):
    assert run_preview(server.reader, "EXPLAIN SELECT * FROM many").row_count >= 1
    show = "SHOW server_version" if server.kind == "postgresql" else "SHOW TABLES"
    assert run_preview(server.reader, show).row_count >= 1
    assert run_preview(
        server.reader, "SHOW ALL" if server.kind == "postgresql" else "SHOW VARIABLES", 3
    ).truncated


def test_a_cross_join_of_a_thousand_million_rows_answers_at_once(server):
    sql = "SELECT a.id, b.id, c.name FROM many a CROSS JOIN many b CROSS JOIN many c"
    run_preview(server.reader, sql)
    started = time.monotonic()
    shown = run_preview(server.reader, sql)

    assert time.monotonic() - started < 0.2
    assert shown.truncated


def test_the_database_s_own_words_come_back(server):
    with pytest.raises(QueryFailed) as failed:
        run_preview(server.reader, "SELECT nope FROM many")

    assert "nope" in failed.value.message
    assert failed.value.database_code in ("42703", "1054")
    assert run_preview(server.reader, "SELECT 1").rows == [[1]]


# -- walls


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT; INSERT INTO kept VALUES (2)",
        "SET TRANSACTION READ WRITE; INSERT INTO kept VALUES (2)",
        "INSERT INTO kept VALUES (2)",
        "WITH x AS (SELECT 2) DELETE FROM kept",
        "DELETE FROM kept",
        "SELECT 1; DROP TABLE kept",
    ],
)
def test_writes_are_refused_and_have_no_effect(server, sql):
    with pytest.raises(StatementRefused):
        run_preview(server.params, sql)

    assert kept(server) == 1


BEHIND_THE_WORDS = {
    "postgresql": [
        "SELECT add_one()",
        "SELECT add_one() FROM generate_series(1, 2)",
        "SELECT (row_of).add_one FROM (SELECT 1 AS row_of) x",
    ],
    "mysql": ["SELECT add_one()"],
}


def test_a_function_of_the_account_s_own_runs_in_a_session_that_cannot_write(server):
    if server.kind == "postgresql":
        server.run(
            "CREATE OR REPLACE FUNCTION add_one(int DEFAULT 1) RETURNS int LANGUAGE sql AS"
            " 'INSERT INTO kept VALUES (2) RETURNING 1'"
        )
    else:
        server.run("DROP FUNCTION IF EXISTS add_one")
        server.run(
            "CREATE FUNCTION add_one() RETURNS int MODIFIES SQL DATA"
            " BEGIN INSERT INTO kept VALUES (2); RETURN 1; END"
        )
    for sql in BEHIND_THE_WORDS[server.kind]:
        with pytest.raises(QueryFailed, match="The session is read-only: "):
            run_preview(server.params, sql)
    assert kept(server) == 1


POSTGRES_BY_THE_SERVER_S_WORD = [
    "SELECT my_own_reload()",
    "SELECT (x).my_own_reload FROM (SELECT 1 AS x) y",
    "SELECT x.my_own_reload FROM generate_series(1, 1) x",
    'SELECT "my_own_reload"(1)',
    "SELECT pg_catalog.pg_advisory_lock(77)",
    "SELECT (77).pg_advisory_lock",
    "SELECT query_to_xml('SELECT my_own_reload()', true, true, '')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(my_own_reload()::text)')",
    "SELECT * FROM my_own_stat('SELECT to_tsvector(pg_reload_conf()::text)')",
]


@pytest.mark.parametrize("sql", POSTGRES_BY_THE_SERVER_S_WORD)
def test_a_function_is_judged_by_what_the_server_says_of_it(postgres, sql):
    """A name on no list: volatile, in C; or one that runs what it is given as SQL."""
    postgres.run(
        "CREATE OR REPLACE FUNCTION my_own_reload(int DEFAULT 1) RETURNS bool VOLATILE"
        " LANGUAGE internal AS 'pg_reload_conf'"
    )
    postgres.run(
        "CREATE OR REPLACE FUNCTION my_own_stat(text, OUT word text, OUT ndoc int, OUT nentry int)"
        " RETURNS SETOF record STABLE LANGUAGE internal AS 'ts_stat1'"
    )
    with pytest.raises(StatementRefused, match="does more than read"):
        run_preview(postgres.params, sql)
    assert postgres.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_a_function_of_one_s_own_may_have_a_name_of_the_list(postgres):
    postgres.run("CREATE OR REPLACE FUNCTION pg_ls_mine() RETURNS int LANGUAGE sql AS 'SELECT 42'")

    assert run_preview(postgres.params, "SELECT pg_ls_mine()").rows == [[42]]


def test_a_function_that_is_volatile_for_its_chance_alone_is_called(postgres):
    postgres.run("CREATE EXTENSION IF NOT EXISTS pgcrypto")

    shown = run_preview(postgres.reader, "SELECT pgp_sym_decrypt(pgp_sym_encrypt('a', 'b'), 'b')")
    assert shown.rows == [["a"]]


def test_a_mode_that_moves_the_end_of_a_text_is_read_as_the_account_does(mysql):
    name = mysql.reader.username
    mysql.run("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
    asking.pool.close_idle()
    try:
        shown = run_preview(mysql.reader, "SELECT \"id\", 'C:\\temp', 'a\\' FROM kept")
        assert shown.rows == [[1, "C:\\temp", "a\\"]]
        with pytest.raises(StatementRefused):
            run_preview(mysql.reader, "SELECT 'a\\' INTO OUTFILE '/tmp/x'")
    finally:
        mysql.run("SET GLOBAL sql_mode = DEFAULT")
        asking.pool.close_idle()
    assert name


def test_what_a_query_does_to_its_session_is_gone_in_the_next(mysql, postgres):
    run_preview(mysql.reader, "SELECT @a := 5")
    assert run_preview(mysql.reader, "SELECT @a").rows == [[None]]

    run_preview(postgres.reader, "SELECT setseed(0.5)")
    with pytest.raises(StatementRefused):
        run_preview(postgres.reader, "SELECT set_config('search_path', 'evil', false)")


def test_show_grants_does_not_show_the_hash_of_the_password(mysql):
    for sql in ("SHOW GRANTS", "SHOW CREATE USER"):
        shown = str(run_preview(mysql.reader, sql).rows)

        assert "GRANT" in shown or "CREATE USER" in shown
        assert "'*" not in shown


def test_an_account_s_own_smaller_limit_of_time_stays(postgres, mysql):
    postgres.run(f"ALTER ROLE {postgres.reader.username} SET statement_timeout = '300ms'")
    mysql.run("SET GLOBAL max_statement_time = 0.3")
    asking.pool.close_idle()
    try:
        for server in (postgres, mysql):
            started = time.monotonic()
            with pytest.raises(SourceTimeout, match="The database ended the query"):
                run_preview(server.reader, SLEEP[server.kind].format(4))
            assert time.monotonic() - started < 1.5
    finally:
        postgres.run(f"ALTER ROLE {postgres.reader.username} RESET statement_timeout")
        mysql.run("SET GLOBAL max_statement_time = DEFAULT")
        asking.pool.close_idle()


# -- time


def test_what_takes_too_long_is_cancelled_in_the_database(server):
    sql = SLEEP[server.kind].format(30) + " /* too long */"
    started = time.monotonic()
    with pytest.raises(SourceTimeout) as late:
        run_preview(server.reader, sql, timeout_s=0.5)

    assert time.monotonic() - started < 0.8
    assert late.value.message == "The query did not end within 0.5 s and was cancelled."
    assert gone(server, "too long")


def test_the_deadline_is_one_for_all_rows(server):
    """Each row alone comes quickly enough; all of them do not."""
    sql = {
        "postgresql": "SELECT id, pg_sleep(0.05) FROM many /* row by row */",
        "mysql": "SELECT id, SLEEP(0.05) FROM many /* row by row */",
    }[server.kind]
    started = time.monotonic()
    with pytest.raises(SourceTimeout):
        run_preview(server.reader, sql, limit_rows=1000, timeout_s=0.6)

    assert time.monotonic() - started < 1
    assert gone(server, "row by row")


def test_no_row_beyond_those_wanted_is_waited_for(server):
    """MySQL sends 16 KiB at a time."""
    sql = {
        "postgresql": "SELECT repeat('x', 2000), pg_sleep(0.06) FROM many LIMIT 1000",
        "mysql": "SELECT repeat('x', 2000), SLEEP(0.06) FROM many LIMIT 1000",
    }[server.kind]
    assert run_preview(server.reader, sql, limit_rows=3, timeout_s=1.5).row_count == 3


def test_rows_that_are_not_wanted_stop_coming(server):
    """A limit of its own keeps the server from knowing that a hundred rows are enough."""
    sql = "SELECT a.id, b.id FROM many a CROSS JOIN many b LIMIT 1000000000 /* endless */"
    assert run_preview(server.reader, sql).truncated
    assert gone(server, "endless")


def test_the_server_stops_the_query_of_a_process_that_is_gone(server):
    """Killed, so that nothing can ask for a cancel."""

    def ask() -> None:
        with contextlib.suppress(SourceError):
            run_preview(
                server.reader, SLEEP[server.kind].format(30) + " /* left alone */", timeout_s=2
            )

    asking.pool.close_idle()
    asked = threading.Thread(target=ask)
    asked.start()
    time.sleep(1)
    for child in children_of_this_process():
        os.kill(child, signal.SIGKILL)
    asked.join()
    assert gone(server, "left alone", within_s=4)


def children_of_this_process() -> list[int]:
    zygote = asking.host._process.pid
    return [int(pid) for pid in Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()]


def test_a_silent_source_is_a_timeout_and_a_dead_one_unreachable(server, listen):
    with listen(lambda sock: time.sleep(3)) as port, pytest.raises(SourceTimeout):
        run_preview(replace(server.reader, port=port), "SELECT 1", timeout_s=0.5)
    with pytest.raises(SourceUnreachable):
        run_preview(replace(server.reader, port=1), "SELECT 1")
    with pytest.raises(SourceUnreachable) as refused:
        run_preview(replace(server.reader, password="wrong"), "SELECT 1")
    assert refused.value.error_code == "authentication_failed"


def test_queries_are_bounded_and_the_next_one_is_turned_away(server, monkeypatch):
    monkeypatch.setattr(asking, "queries", Places("queries", 1))
    running = threading.Thread(
        target=lambda: run_preview(server.reader, SLEEP[server.kind].format(0.5))
    )
    running.start()
    time.sleep(0.2)
    with pytest.raises(TooManyPreviews):
        run_preview(server.reader, "SELECT 1")
    running.join()
    assert run_preview(server.reader, "SELECT 1").rows == [[1]]


# -- size


def test_a_long_cell_is_cut_and_marked(server):
    shown = run_preview(server.reader, "SELECT repeat('ä', 40000), repeat('y', 65536), 'short'")

    assert shown.rows[0][0] == "ä" * 32768 + "…[cut: 80000 bytes]"
    assert shown.rows[0][1] == "y" * 65536
    assert shown.rows[0][2] == "short"


def test_an_answer_past_4_mib_has_fewer_rows(server):
    shown = run_preview(server.reader, "SELECT repeat('z', 60000) FROM many", 1000)

    assert shown.truncated
    assert 60 <= shown.row_count < 70
    assert run_preview(server.reader, "SELECT 1").rows == [[1]]


def test_many_cells_of_a_megabyte_are_cut_and_counted(server):
    shown = run_preview(server.reader, "SELECT repeat('z', 1000000) FROM many LIMIT 100", 100)

    assert shown.truncated
    assert shown.row_count >= 20
    assert shown.rows[0][0].endswith("…[cut: 1000000 bytes]")


def test_a_row_that_alone_is_too_large_is_refused(server):
    columns = ", ".join(["repeat('z', 65000)"] * 70)
    with pytest.raises(AnswerTooLarge):
        run_preview(server.reader, f"SELECT {columns}")


def test_a_giant_cell_does_not_fill_the_memory(postgres):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((AnswerTooLarge, SourceTimeout)):
        run_preview(postgres.reader, "SELECT repeat('x', 60000000)", timeout_s=8)

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 120 * 1024


def test_a_giant_packet_of_mysql_is_refused_before_it_is_read(mysql):
    mysql.run("SET GLOBAL max_allowed_packet = 1073741824")
    try:
        with pytest.raises(AnswerTooLarge):
            run_preview(mysql.reader, "SELECT repeat('x', 60000000) /* giant */", timeout_s=8)
    finally:
        mysql.run("SET GLOBAL max_allowed_packet = DEFAULT")
    assert gone(mysql, "giant")


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def endless_rows(sock: socket.socket) -> None:
    """Lets anyone in and answers every query with rows that never end."""
    sock.recv(8)
    sock.sendall(b"N")
    sock.recv(4096)
    sock.sendall(message(b"R", bytes(4)) + message(b"Z", b"I"))
    sock.recv(4096)
    column = b"x\0" + bytes(6) + (25).to_bytes(4, "big") + b"\xff\xff" + b"\xff" * 4 + bytes(2)
    row = message(b"D", b"\0\x01" + (1000).to_bytes(4, "big") + b"x" * 1000)
    sock.sendall(message(b"T", b"\0\x01" + column))
    while True:
        sock.sendall(row * 100)


def test_a_server_that_never_stops_sending_is_left(postgres, listen):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with listen(endless_rows) as port:
        params = replace(postgres.reader, host="127.0.0.1", port=port)
        with pytest.raises((AnswerTooLarge, QueryFailed, SourceUnreachable, SourceTimeout)):
            list_tables(params)
        assert not probe(params).success

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


# -- what there is


def test_tables_are_listed_with_kind_and_size(server):
    server.run("CREATE OR REPLACE VIEW seen AS SELECT id FROM many")
    if server.kind == "postgresql":
        server.run(f"GRANT SELECT ON seen TO {server.reader.username}")
        server.run("ANALYZE many")
    tables = {table.name: table for table in list_tables(server.reader)}

    assert tables["many"].kind == "table"
    assert tables["many"].schema == (
        "public" if server.kind == "postgresql" else server.params.database
    )
    assert 30_000 < tables["many"].estimated_rows < 50_000
    assert (tables["seen"].kind, tables["seen"].estimated_rows) == ("view", None)


def test_a_table_is_described(postgres, mysql):
    postgres.run(
        "CREATE TABLE shop.described (id bigint PRIMARY KEY, email varchar(80) UNIQUE NOT NULL,"
        " price numeric(10,2), at timestamptz, data jsonb, tags text[])"
    )
    postgres.run(f"GRANT SELECT ON shop.described TO {postgres.reader.username}")
    mysql.run(
        "CREATE TABLE described (id bigint unsigned PRIMARY KEY, email varchar(80) UNIQUE NOT NULL,"
        " price decimal(10,2), at datetime, data json, active boolean)"
    )
    described = [
        (column.name, column.database_type, column.nullable, column.key, column.data_type)
        for column in describe_table(postgres.reader, "shop.described")
    ]
    assert described == [
        ("id", "bigint", False, "primary", "integer"),
        ("email", "character varying(80)", False, "unique", "string"),
        ("price", "numeric(10,2)", True, None, "float"),
        ("at", "timestamp with time zone", True, None, "timestamp"),
        ("data", "jsonb", True, None, None),
        ("tags", "text[]", True, None, None),
    ]
    described = [
        (column.name, column.nullable, column.key, column.data_type)
        for column in describe_table(mysql.reader, "described")
    ]
    assert described == [
        ("id", False, "primary", "integer"),
        ("email", False, "unique", "string"),
        ("price", True, None, "float"),
        ("at", True, None, "timestamp"),
        ("data", True, None, None),
        ("active", True, None, "boolean"),
    ]


@pytest.mark.parametrize(
    "name", ["no_such_table", "no.such.table", "'; DROP TABLE kept; --", "ä`\"'\\"]
)
def test_a_table_that_is_not_there_has_no_columns(server, name):
    assert describe_table(server.reader, name) == []
    assert kept(server) == 1


def test_a_schema_is_proposed_from_a_query_without_its_rows(server):
    started = time.monotonic()
    proposed = propose_schema(
        server.reader,
        'SELECT id, name, id AS ID, 1.5 AS price, name AS "name" FROM many'.replace('"', ""),
    )

    assert proposed == [
        {"name": "id", "data_type": "integer"},
        {"name": "name", "data_type": "string"},
        {"name": "id_2" if server.kind == "postgresql" else "ID_2", "data_type": "integer"},
        {"name": "price", "data_type": "float"},
        {"name": "name_2", "data_type": "string"},
    ]
    assert time.monotonic() - started < 1


def test_a_proposal_does_not_run_the_query_for_its_rows(server):
    started = time.monotonic()
    proposed = propose_schema(server.reader, SLEEP[server.kind].format(20), timeout_s=2)

    assert len(proposed) == 1
    assert time.monotonic() - started < 1


def test_a_statement_is_described_in_the_types_of_the_database(server):
    columns = describe(
        server.reader,
        "SELECT id, name, CAST(1.5 AS decimal(10,2)) AS price FROM many ORDER BY id -- all",
    )
    expected = {
        "postgresql": ["integer", "text", "numeric(10,2)"],
        "mysql": ["int", "varchar", "decimal"],
    }[server.kind]

    assert [(column.name, column.data_type) for column in columns] == [
        ("id", "integer"), ("name", "string"), ("price", "float"),
    ]  # fmt: skip
    assert [column.database_type for column in columns] == expected


def test_what_the_account_may_read_a_part_of_is_shown_in_part(postgres):
    reader = postgres.reader.username
    postgres.run("CREATE TABLE partly (id int, name text, secret text)")
    postgres.run("CREATE TABLE hidden (id int); CREATE TABLE without_columns ()")
    postgres.run(f"REVOKE SELECT ON partly, hidden FROM {reader}")
    postgres.run(f"GRANT SELECT (id, name) ON partly TO {reader}")

    names = [table.name for table in list_tables(postgres.reader)]
    assert "partly" in names
    assert "hidden" not in names
    assert "without_columns" not in names
    assert [column.name for column in describe_table(postgres.reader, "partly")] == ["id", "name"]
    assert describe_table(postgres.reader, "hidden") == []


def test_a_table_is_found_in_a_schema_with_a_dot_in_its_name(postgres):
    postgres.run('CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."c.d" (id int)')

    assert describe_table(postgres.params, "a.b.c.d")[0].name == "id"


def test_a_view_that_is_broken_is_not_listed(mysql):
    mysql.run("CREATE TABLE gone_soon (id int)")
    mysql.run("CREATE VIEW broken AS SELECT id FROM gone_soon")
    mysql.run("DROP TABLE gone_soon")

    assert "broken" not in [table.name for table in list_tables(mysql.reader)]


def test_five_thousand_columns_are_shown(mysql):
    shown = run_preview(mysql.reader, "SELECT " + ", ".join(map(str, range(4000))))

    assert len(shown.columns) == 4000


def test_a_child_knows_no_key(server, monkeypatch):
    """What the service's environment holds is in no file of /proc that a child could read."""
    run_preview(server.reader, "SELECT 1")
    for pid in [asking.host._process.pid, *children_of_this_process()]:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"ENCRYPTION_KEY" not in environment
        assert b"SECRET_KEY" not in environment
        assert b"MONGODB" not in environment
