# ruff: noqa: E501 - tables of cases, one a line
"""A preview reads, and only reads; it ends in time and leaves nothing running behind it."""

import resource
import socket
import threading
import time
from dataclasses import replace

import pytest

from connections import preview
from connections.drivers import open_session
from connections.drivers.errors import (
    AnswerTooLarge,
    QueryFailed,
    RequestAborted,
    SourceTimeout,
    SourceUnreachable,
    StatementRefused,
    TooManyPreviews,
)
from connections.drivers.mysql_session import readable_modes
from connections.drivers.watch import Watch
from connections.preview import describe_table, list_tables, propose_schema, run_preview
from connections.probe import probe
from connections.slots import Slots

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


POSTGRES_BEHIND_THE_GUARD = [
    "COMMIT; INSERT INTO kept VALUES (2)",
    "SELECT 1; INSERT INTO kept VALUES (2)",
    "SET TRANSACTION READ WRITE",
    "INSERT INTO kept VALUES (2)",
    "WITH x AS (INSERT INTO kept VALUES (2) RETURNING *) SELECT * FROM x",
    "SELECT id INTO kept2 FROM kept",
    "SELECT * FROM kept FOR UPDATE",
    "SELECT add_one()",
    "SELECT set_config('transaction_read_only', 'off', true), add_one()",
    "SELECT nextval('counter')",
    "COPY kept TO '/tmp/kept'",
    "EXPLAIN ANALYZE INSERT INTO kept VALUES (2)",
]


@pytest.mark.parametrize("sql", POSTGRES_BEHIND_THE_GUARD)
def test_postgresql_s_session_cannot_write_even_without_the_guard(postgres, sql):
    postgres.run(
        "CREATE OR REPLACE FUNCTION add_one() RETURNS int LANGUAGE sql AS"
        " 'INSERT INTO kept VALUES (2) RETURNING 1'"
    )
    postgres.run("CREATE SEQUENCE IF NOT EXISTS counter")
    session = open_session(postgres.params, Watch.seconds(5))
    try:
        with pytest.raises(QueryFailed):
            session.read(sql, 10)
    finally:
        session.close()

    assert kept(postgres) == 1
    assert postgres.run("SELECT is_called FROM counter") == [(False,)]


MYSQL_BEHIND_THE_GUARD = [
    "SELECT 1; INSERT INTO kept VALUES (2)",
    "INSERT INTO kept VALUES (2)",
    "DELETE FROM kept",
    "SELECT add_one()",
    "SELECT NEXT VALUE FOR counter",
]


@pytest.mark.parametrize("sql", MYSQL_BEHIND_THE_GUARD)
def test_mysql_s_session_cannot_write_even_without_the_guard(mysql, sql):
    mysql.run("DROP FUNCTION IF EXISTS add_one")
    mysql.run(
        "CREATE FUNCTION add_one() RETURNS int MODIFIES SQL DATA"
        " BEGIN INSERT INTO kept VALUES (2); RETURN 1; END"
    )
    mysql.run("CREATE SEQUENCE IF NOT EXISTS counter")
    session = open_session(mysql.params, Watch.seconds(5))
    try:
        with pytest.raises(QueryFailed) as refused:
            session.read(sql, 10)
    finally:
        session.close()

    assert kept(mysql) == 1
    assert ";" in sql or refused.value.message.startswith("The session is read-only: ")


def test_a_mode_that_moves_the_end_of_a_text_does_not_reach_the_session(mysql):
    """With NO_BACKSLASH_ESCAPES the guard would see one text where the server sees three words."""
    session = open_session(mysql.params, Watch.seconds(5))
    session.modes = readable_modes("ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ORACLE,NO_ZERO_DATE")
    try:
        result = session.read("SELECT @@sql_mode, \"text\", 'a\\'b'", 1)
    finally:
        session.close()

    assert result.rows == [["NO_ZERO_DATE", "text", "a'b"]]


def test_what_a_query_does_to_its_session_is_gone_in_the_next(postgres, mysql):
    behind = open_session(postgres.params, Watch.seconds(5))
    behind.read("SELECT set_config('search_path', 'evil', false), pg_advisory_lock(77)", 1)
    assert behind.reset()
    assert behind.read("SELECT current_setting('search_path')", 1).rows != [["evil"]]
    assert behind.reset()
    assert behind.read("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", 1).rows == [[0]]
    behind.close()

    behind = open_session(mysql.params, Watch.seconds(5))
    behind.read("SELECT @a := 5, GET_LOCK('etl', 1)", 1)
    assert behind.reset()
    assert behind.read("SELECT @a, IS_USED_LOCK('etl')", 1).rows == [[None, None]]
    behind.close()


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


def test_a_client_that_hangs_up_stops_its_query(server):
    hung_up = threading.Event()
    threading.Timer(0.2, hung_up.set).start()
    started = time.monotonic()
    with pytest.raises(RequestAborted):
        run_preview(
            server.reader,
            SLEEP[server.kind].format(30) + " /* hung up */",
            cancelled=hung_up.is_set,
        )

    assert time.monotonic() - started < 0.6
    assert gone(server, "hung up")


def test_rows_that_are_not_wanted_stop_coming(server):
    """A limit of its own keeps the server from knowing that a hundred rows are enough."""
    sql = "SELECT a.id, b.id FROM many a CROSS JOIN many b LIMIT 1000000000 /* endless */"
    assert run_preview(server.reader, sql).truncated
    assert gone(server, "endless")


def test_the_server_would_stop_the_query_by_itself(server):
    session = open_session(server.reader, Watch.seconds(5))
    session.watch = Watch.seconds(0.3)
    try:
        with pytest.raises(SourceTimeout):
            session.read(SLEEP[server.kind].format(30) + " /* left alone */", 1)
        assert gone(server, "left alone")
    finally:
        session.abort()


def test_a_silent_source_is_a_timeout_and_a_dead_one_unreachable(server, listen):
    with listen(lambda sock: time.sleep(3)) as port, pytest.raises(SourceTimeout):
        run_preview(replace(server.reader, port=port), "SELECT 1", timeout_s=0.5)
    with pytest.raises(SourceUnreachable):
        run_preview(replace(server.reader, port=1), "SELECT 1")
    with pytest.raises(SourceUnreachable) as refused:
        run_preview(replace(server.reader, password="wrong"), "SELECT 1")
    assert refused.value.error_code == "authentication_failed"


def test_queries_are_bounded_and_the_next_one_is_turned_away(server, monkeypatch):
    monkeypatch.setattr(preview, "slots", Slots(1, TooManyPreviews, "queries", number=7))
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
        with pytest.raises((AnswerTooLarge, QueryFailed, SourceUnreachable)):
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
