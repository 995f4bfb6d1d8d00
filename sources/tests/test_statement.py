# ruff: noqa: E501 - tables of cases, one a line
"""The guard accepts exactly one statement, and one that only reads."""

import contextlib
import time

import pytest

from sources import statement
from sources.errors import StatementRefused
from sources.statement import check_statement

READS = [
    "SELECT 1",
    "select 1;",
    "SELECT 1; -- and a comment",
    "SELECT 1 /* ; drop table x */ ;;",
    "-- first a comment\nSELECT 1",
    "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 1",
    "SELECT 1 INTERSECT SELECT 1 EXCEPT SELECT 2",
    "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT * FROM n",
    "VALUES (1), (2)",
    "TABLE orders",
    "SHOW ALL",
    "EXPLAIN SELECT 1",
    "SELECT a, rank() OVER (PARTITION BY b ORDER BY c DESC) FROM t WINDOW w AS (ORDER BY a)",
    "SELECT CASE WHEN a > 1 THEN 'x' ELSE 'y' END FROM t WHERE b BETWEEN 1 AND 2 AND c NOT IN (1, 2)",
    "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id LIMIT 1) LIMIT 5",
    "SELECT replace(a, 'x', 'y'), (replace(a, 'x', 'y')), left(a, 3), coalesce(a, b) FROM t",
    "SELECT 'a; drop table x', 'it''s', 'INTO OUTFILE', 'FOR UPDATE' FROM t",
    "SELECT comment, status, name, type, value, date, action FROM t",
    "SELECT t.into, t.update FROM t",
    "SELECT * FROM a JOIN b USING (id) LEFT JOIN c ON c.id = a.id CROSS JOIN d",
    "SELECT a LIKE '%x%', ':x', '%s' FROM t",
    "SELECT count(*), count(DISTINCT a), sum(b) FROM t GROUP BY c HAVING count(*) > 1",
    "SELECT cast(a AS decimal(10, 2)), extract(year FROM b), trim(BOTH 'x' FROM c) FROM t",
    "SELECT * FROM (SELECT * FROM (SELECT 1 AS a) x) y",
    "SELECT N'x', X'00ff', 1e5, .5, 0x1F",
    "SELECT 'größe', '日本', '🦆'",
    "SELECT nextval_at, setval FROM t",
]
POSTGRES_READS = [
    "SELECT a::int, b::text[], '{1,2}'::int[], (c).d, e[1], f[1:2] FROM t",
    "SELECT a->'b', a->>'c', a#>'{d}', a @> '{\"x\": 1}', a ? 'k', a ?| array['x'], a || b FROM t",
    "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b",
    "SELECT count(*) FILTER (WHERE a > 1) FROM t GROUP BY GROUPING SETS ((a), (b), ())",
    "SELECT * FROM t, LATERAL (SELECT * FROM u WHERE u.a = t.a) x",
    "SELECT * FROM generate_series(1, 3) WITH ORDINALITY AS s(a, b)",
    "SELECT $$; DROP TABLE x$$, $tag$ into $$ $tag$",
    r"SELECT E'it\'s; DROP TABLE x', 'a\', 2",
    "SELECT 1 /* outer /* inner */ ; still a comment */",
    'SELECT "update", "delete", "select" FROM "insert"',
    "SELECT update, (update), insert FROM t WHERE (delete) = 1 AND (update IS NULL)",
    "WITH update AS (SELECT 1) SELECT * FROM update",
    "WITH x AS MATERIALIZED (SELECT 1), y AS NOT MATERIALIZED (SELECT 2) SELECT * FROM x, y",
    "SELECT substring(a FROM 1 FOR 3), overlay(a PLACING 'x' FROM 1 FOR 2), position('a' IN b) FROM t",
    "SELECT * FROM t TABLESAMPLE SYSTEM (1) REPEATABLE (2)",
    "SELECT interval '1 day', timestamp '2024-01-01', now() AT TIME ZONE 'UTC', current_date",
    "SELECT * FROM t FETCH FIRST 3 ROWS WITH TIES",
    "SELECT string_agg(a, ',' ORDER BY a), array_agg(b), percentile_cont(0.5) WITHIN GROUP (ORDER BY c) FROM t",
    "SELECT array(SELECT 1), row(1, 2), array[[1, 2], [3, 4]]",
    "SELECT a ~ '^x', a !~* 'y', a SIMILAR TO 'z', a IS DISTINCT FROM b, a ILIKE 'x' FROM t",
    "SELECT xmlelement(name foo), jsonb_build_object('a', 1), json_agg(t) FROM t",
    "SELECT lower(range), upper_inc(range), '[1,2)'::int4range FROM t",
    "SELECT pg_sleep(0), pg_size_pretty(pg_relation_size('t')), current_setting('timezone'), version()",
    "SHOW server_version",
    "SHOW TIME ZONE",
    "EXPLAIN (FORMAT JSON, VERBOSE) SELECT 1",
    "EXPLAIN VERBOSE WITH x AS (SELECT 1) SELECT * FROM x",
    "VALUES (1, 'a'), (2, 'b') ORDER BY 1 LIMIT 1",
    "SELECT U&'d\\0061t', B'101'",
    "TABLE shop.orders ORDER BY 1",
    "SELECT 1 AS value FROM information_schema.tables WHERE table_schema NOT LIKE 'pg\\_%'",
]
MYSQL_READS = [
    "SELECT `a`, `b``c`, `update` FROM `shop`.`orders`",
    'SELECT "text; drop table x", "it""s" FROM t',
    r"SELECT 'it\'s; DROP TABLE x', 'a\\'",
    "SELECT 1 # a comment; DROP TABLE x\n, 2",
    "SELECT 5--1 AS six",
    "SELECT @@version, @x, @@session.sql_mode",
    "SELECT a->'$.b', a->>'$.c', JSON_EXTRACT(a, '$[0]') FROM t",
    "SELECT GROUP_CONCAT(a ORDER BY b SEPARATOR ';') FROM t",
    "SELECT * FROM t WHERE MATCH (a) AGAINST ('x' IN BOOLEAN MODE)",
    "SELECT a DIV 2, a MOD 2, a <=> b, a XOR b, a REGEXP 'x' FROM t LIMIT 5, 10",
    "SELECT DATE_ADD(a, INTERVAL 1 DAY), DATE_FORMAT(a, '%Y-%m-%d') FROM t",
    "SELECT SQL_NO_CACHE STRAIGHT_JOIN * FROM t USE INDEX (i) FORCE INDEX FOR JOIN (j)",
    "SELECT a, SUM(b) FROM t GROUP BY a WITH ROLLUP",
    "SELECT /*+ MAX_EXECUTION_TIME(1000) */ 1",
    "SELECT IF(a, b, c), IFNULL(a, b), INSERT('abc', 1, 1, 'x'), REPLACE(a, 'b', 'c') FROM t",
    "SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a INT PATH '$')) x",
    "SHOW TABLES",
    "SHOW FULL COLUMNS FROM orders LIKE 'a%'",
    "SHOW CREATE TABLE orders",
    "EXPLAIN FORMAT=JSON SELECT 1",
    "SELECT _utf8mb4'x' COLLATE utf8mb4_bin, x'4142', b'1'",
    "SELECT SLEEP(0), VERSION(), DATABASE(), CONNECTION_ID()",
]


@pytest.mark.parametrize("sql", READS + POSTGRES_READS)
def test_postgresql_reads_are_accepted(sql):
    check_statement(sql, "postgresql")


@pytest.mark.parametrize("sql", READS + MYSQL_READS)
def test_mysql_reads_are_accepted(sql):
    check_statement(sql, "mysql")


WRITES = [
    "INSERT INTO t VALUES (1)",
    "UPDATE t SET a = 1",
    "DELETE FROM t",
    "DROP TABLE t",
    "CREATE TABLE t (a int)",
    "CREATE TABLE t AS SELECT 1",
    "ALTER TABLE t ADD a int",
    "TRUNCATE t",
    "GRANT SELECT ON t TO u",
    "SET x = 1",
    "SET TRANSACTION READ WRITE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "CALL p()",
    "DO 1",
    "PREPARE x FROM 'SELECT 1'",
    "EXECUTE x",
    "LOCK TABLES t WRITE",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE t",
    "COMMIT; INSERT INTO t VALUES (1)",
    "SET TRANSACTION READ WRITE; INSERT INTO t VALUES (1)",
    "SELECT * FROM t FOR UPDATE",
    "SELECT * FROM t FOR\n/* x */ SHARE",
    "SELECT * FROM (SELECT * FROM t FOR UPDATE) x",
    "SELECT a INTO b FROM t",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM t",
    "EXPLAIN DELETE FROM t",
    "WITH x AS (SELECT 1) DELETE FROM t",
    "WITH x AS (SELECT 1) UPDATE t SET a = 1",
    "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
    "SELECT nextval('s')",
    "SELECT setval('s', 1)",
    "",
    "   ",
    ";",
    "-- nothing but a comment",
    "hello world",
    "SELECT 'never closed",
    "SELECT 1 /* never closed",
    "SELECT 'a\0b'",
    "DESCRIBE t",
    "((((",
    "SHOW TABLES; DROP TABLE t",
    "1",
    "'text'",
    "EXPLAIN",
    "SELECT \ud800",
]
POSTGRES_WRITES = [
    "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE t SET a = 1 RETURNING *) TABLE x",
    'WITH x AS (/* c */ DELETE/**/FROM "t" RETURNING *) SELECT * FROM x',
    "WITH x AS MATERIALIZED (DELETE FROM ONLY t RETURNING *) SELECT * FROM x",
    "COPY t TO '/tmp/x'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "DO $$ BEGIN END $$",
    "EXPLAIN (ANALYZE) SELECT 1",
    "EXPLAIN (FORMAT JSON, ANALYZE true) SELECT 1",
    "EXPLAIN ANALYSE VERBOSE SELECT 1",
    "SELECT * FROM t FOR NO KEY UPDATE",
    "SELECT * FROM t FOR KEY SHARE",
    "VACUUM",
    "LISTEN x",
    "REFRESH MATERIALIZED VIEW v",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_catalog.pg_cancel_backend(1)",
    'SELECT "pg_catalog"."pg_reload_conf"()',
    "SELECT PG_READ_FILE('/etc/passwd')",
    "SELECT pg_read_binary_file ('/etc/passwd')",
    "SELECT pg_ls_dir/* x */('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT * FROM dblink('host=x', 'select 1') AS t(a int)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1)",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT query_to_xml('delete from t', true, true, '')",
    "SELECT * FROM ts_stat('select pg_reload_conf()')",
    "SELECT pg_notify('x', 'y')",
    "SELECT pg_logical_emit_message(true, 'a', 'b')",
    "SELECT pg_create_restore_point('x')",
    "SELECT pg_switch_wal()",
    "SELECT pg_stat_reset()",
    "SELECT pg_export_snapshot()",
    'SELECT U&"pg\\005Fsleep"(1)',
    "SELECT U&\"!0070g_reload_conf\" UESCAPE '!' ()",
    "SELECT E'x'\n'\\'', pg_reload_conf(), 'y'",
    "SELECT $a$ x $b$",
    "SELECT 1 WHERE a IN (SELECT pg_rotate_logfile()::int)",
    "EXPLAIN EXECUTE x",
    "EXPLAIN CREATE TABLE t AS SELECT 1",
]
MYSQL_WRITES = [
    "SELECT 1 INTO OUTFILE '/tmp/x'",
    "SELECT 1 INTO DUMPFILE '/tmp/x'",
    "SELECT 1 INTO @x",
    "SELECT /*!50000 1 INTO OUTFILE '/tmp/x' */",
    "SELECT 1 /*! INTO OUTFILE '/tmp/x' */",
    "SELECT 1 /*M! INTO OUTFILE '/tmp/x' */",
    "SELECT 1 /*!99999 hidden */",
    "SELECT 1 FROM t /*!50000 USE INDEX (i) INTO OUTFILE '/tmp/x' */",
    "SELECT @ INTO OUTFILE '/tmp/x'",
    "SELECT SUBSTRING((SELECT a FROM t FOR SHARE), 1)",
    "SELECT 1 --1 INTO OUTFILE '/tmp/x'",
    r"SELECT '\' INTO OUTFILE \'/tmp/x', '",
    r'SELECT "\\", 1 INTO OUTFILE "/tmp/x" -- "',
    "(SELECT 1) INTO OUTFILE '/tmp/x'",
    "SELECT 1 UNION SELECT 2 INTO OUTFILE '/tmp/x'",
    "SELECT * FROM t LOCK IN SHARE MODE",
    "SELECT @@sql_mode := ''",
    "SELECT LOAD_FILE('/etc/passwd')",
    "SELECT `load_file`('/etc/passwd')",
    "SELECT GET_LOCK('x', 1)",
    "SELECT RELEASE_ALL_LOCKS()",
    "SELECT sys_exec('id')",
    "SELECT NEXT VALUE FOR s",
    "ANALYZE SELECT 1",
    "ANALYZE FORMAT=JSON SELECT 1",
    "EXPLAIN FORMAT=TREE ANALYZE SELECT 1",
    "REPLACE INTO t VALUES (1)",
    "LOAD DATA INFILE 'x' INTO TABLE t",
    "HANDLER t OPEN",
    "KILL 1",
    "FLUSH TABLES",
    "USE mysql",
    "SET STATEMENT max_statement_time=1 FOR SELECT 1",
    "SELECT /*+ SET_VAR(sql_mode='ANSI_QUOTES') */ 1",
    "SELECT 1 PROCEDURE ANALYSE(); DROP TABLE t",
    "BEGIN NOT ATOMIC SELECT 1; END",
]


@pytest.mark.parametrize("sql", WRITES + POSTGRES_WRITES)
def test_postgresql_refuses_what_does_more_than_read(sql):
    with pytest.raises(StatementRefused):
        check_statement(sql, "postgresql")


@pytest.mark.parametrize("sql", WRITES + MYSQL_WRITES)
def test_mysql_refuses_what_does_more_than_read(sql):
    with pytest.raises(StatementRefused):
        check_statement(sql, "mysql")


@pytest.mark.parametrize(
    ("sql", "message", "place"),
    [
        (
            "SELECT 1;\n  SELECT 2; SELECT 3",
            "A query is one statement; found 3 (line 1, column 9).",
            (1, 9),
        ),
        (
            "DROP TABLE t",
            "A query is one SELECT, WITH … SELECT, VALUES, TABLE, SHOW or plain EXPLAIN statement; "
            "this one begins with DROP (line 1, column 1).",
            (1, 1),
        ),
        (
            "SELECT *\nFROM t\nFOR UPDATE",
            "The query locks rows with FOR UPDATE; leave that out (line 3, column 1).",
            (3, 1),
        ),
        (
            "SELECT pg_read_file('x')",
            "The query calls pg_read_file(), which does more than read (line 1, column 8).",
            (1, 8),
        ),
        (
            "SELECT 'x",
            'The query was not run: unterminated quoted string at or near "\'x" (line 1, column 8).',
            (1, 8),
        ),
        (
            "SELECT t.nextval FROM t",
            "The query calls nextval(), written as an attribute, which does more than read; "
            "if it is a column, leave out the name of its table (line 1, column 8).",
            (1, 8),
        ),
        (
            "SELECT query_to_xml('select 1; select 2', true, true, '')",
            "query_to_xml() runs a text that is refused: A query is one statement; found 2 "
            "(line 1, column 8).",
            (1, 8),
        ),
        ("", "The query is empty.", (None, None)),
    ],
)
def test_a_refusal_says_what_stopped_it_and_where(sql, message, place):
    with pytest.raises(StatementRefused) as refused:
        check_statement(sql, "postgresql")

    assert refused.value.message == message
    assert (refused.value.line, refused.value.column) == place


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "f(" * 3000 + "1" + ")" * 3000,
        "SELECT " + "(SELECT " * 2000 + "1" + ")" * 2000,
        "SELECT " + "CASE WHEN 1 THEN " * 3000 + "1" + " END" * 3000,
        "SELECT " + "NOT " * 20000 + "1",
        "SELECT " + "- " * 40000 + "1",
        "SELECT '" + "x" * 200_000 + "'",
        "(" * 50_000,
        "/*" * 40_000,
    ],
)
def test_monstrous_texts_are_refused_quickly(sql, kind):
    started = time.monotonic()
    with pytest.raises(StatementRefused):
        check_statement(sql, kind)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_long_but_flat_queries_are_accepted(kind):
    check_statement(f"SELECT * FROM t WHERE id IN ({', '.join(map(str, range(15_000)))})", kind)
    check_statement("SELECT " + " + ".join(["1"] * 300), kind)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_many_comments_in_front_cost_little(kind):
    started = time.monotonic()
    check_statement("/**/" * 20_000 + "SELECT 1", kind)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_usual_query_costs_about_a_millisecond(kind):
    sql = (
        "SELECT o.id, c.name, sum(l.qty * l.price) AS total FROM orders o JOIN customers c ON"
        " c.id = o.customer_id JOIN lines l ON l.order_id = o.id WHERE o.status IN ('new', 'paid')"
        " GROUP BY 1, 2 ORDER BY 3 DESC"
    )
    started = time.perf_counter()
    for number in range(20):
        check_statement(f"{sql} LIMIT {number}", kind)
    assert (time.perf_counter() - started) / 20 < 0.02


def test_an_unknown_kind_of_database_is_refused():
    with pytest.raises(StatementRefused, match="not a kind of database known here"):
        check_statement("SELECT 1", "oracle")


@pytest.mark.parametrize("level", ["DATE(", "CHAR("])
def test_nesting_that_a_parser_tries_in_every_way_is_given_up(level):
    """Each level doubles the parser's work: fifty would take it longer than anyone waits."""
    with pytest.raises(StatementRefused, match="too intricate to be checked"):
        check_statement("SELECT " + level * 50 + "1" + ")" * 50, "mysql")
    check_statement("SELECT " + level * 5 + "1" + ")" * 5, "mysql")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    ("opens", "closes"),
    [("(", ")"), ("abs(", ")"), ("(SELECT ", ")"), ("CASE WHEN 1 = 1 THEN ", " END")],
)
def test_a_query_may_nest_as_deep_as_the_databases_take_it(kind, opens, closes):
    check_statement("SELECT " + opens * 61 + "1" + closes * 61, kind)


def test_types_may_nest_in_postgresql():
    check_statement("SELECT " + "DATE(" * 50 + "now()" + ")" * 50, "postgresql")
    check_statement("SELECT " + "ARRAY[" * 50 + "1" + "]" * 50, "postgresql")


ATTRIBUTES = [
    "SELECT (pid).pg_terminate_backend FROM (SELECT 1 AS pid) x",
    "SELECT x.pg_terminate_backend FROM generate_series(1, 2) x",
    "SELECT ('/etc/passwd'::text).pg_read_file",
    'SELECT ("x")."lo_export" FROM t',
    'SELECT (x).U&"pg\\005Fread_file" FROM t',
    "SELECT (a).b.dblink_exec FROM t",
    'EXPLAIN (VERBOSE, U&"analyz\\0065") SELECT 1',
    "EXPLAIN (ANALYZE off) SELECT 1",
    "SELECT * FROM crosstab('select pg_reload_conf()') AS t(a int)",
    "SELECT * FROM crosstab('a' || 'b') AS t(a int)",
    "SELECT * FROM ts_stat('delete from t')",
    "SELECT ('delete from t').ts_stat",
    "SELECT query_to_xml('select lo_import(''/etc/passwd'')', true, true, '')",
    "SELECT query_to_xml(nulls => true, query => 'select 1', tableforest => true, targetns => '')",
    "SELECT query_to_xml('select 1; select 2', true, true, '')",
    "SELECT query_to_xml('selct 1', true, true, '')",
    "SELECT * FROM crosstab('select 1, 2, 3', 'sel' || 'ect 1') AS t(a int, b int)",
    "SELECT ts_rewrite('a & b', 'select pg_reload_conf()')",
    "SELECT ts_rewrite('a & b', 'sel' || 'ect pg_reload_conf()')",
    "SELECT * FROM connectby('(select pg_reload_conf()) x', 'a', 'b', '1', 0) AS t(a int)",
    "SELECT * FROM connectby('t', 'a', 'b' || x, '1', 0) AS t(a int)",
    "SELECT * FROM xpath_table('a', 'b', 't', '/x', 'pg_reload_conf()') AS t(a int)",
    "SELECT ('a').connectby",
]


@pytest.mark.parametrize("sql", ATTRIBUTES)
def test_a_function_is_known_however_it_is_called(sql):
    with pytest.raises(StatementRefused):
        check_statement(sql, "postgresql")


POSTGRES_FALSELY_REFUSED = [
    "WITH http_log AS (SELECT 1), audit_x(a) AS (SELECT 2) SELECT * FROM http_log, audit_x",
    "SELECT lo_quantity(a), crosstab_name, pg_log_me(1), http_get(2), audit_of(3) FROM t",
    "SELECT max(delete ORDER BY delete), no, key, into_, update FROM t",
    "SELECT substring(title from 1 for no) FROM t",
    "SELECT * FROM crosstab('select 1, 2, 3', 'values (1)') AS t(a int, b int)",
    "SELECT * FROM ts_stat('select v from t', 'ab')",
    "SELECT lo_get(1)",
    "SELECT crosstab_of(2024), crosstab_mine('north'), dblink_count(1), shop.set_config('x')",
    "SELECT ts_rewrite('a & b', 'a', 'c'), ts_rewrite('a', 'SELECT t, s FROM aliases')",
    "SELECT * FROM connectby('t', 'id', 'parent', 'pos desc', '1', 0, '~') AS t(id int)",
    "\ufeffSELECT 1",
    "SELECT (row(1, 2)).f1, (t).name, t.key, t.update FROM t",
    "WITH x AS (SELECT 1) (SELECT * FROM x) UNION ALL VALUES (2)",
]
MYSQL_FALSELY_REFUSED = [
    r"SELECT 'C:\temp\'",
    'SELECT "it\'s"',
    "WITH http_log AS (SELECT 1), audit_x(a) AS (SELECT 2) SELECT * FROM http_log, audit_x",
    "SELECT @n := @n + 1 AS n FROM t, (SELECT @n := 0) x",
    "SELECT /*!40001 SQL_NO_CACHE */ a FROM t",
    "SELECT a FROM t /*!50000 FORCE INDEX FOR ORDER BY (i, `j`) */ WHERE b = 1",
    "SELECT @into := 1, @update FROM t",
    "SELECT GROUP_CONCAT(merge ORDER BY merge) FROM t",
    "SELECT SUBSTRING(a FROM 1 FOR no), SUBSTR(a FROM (1) FOR share) FROM t",
    "\ufeffSELECT 1",
    "SELECT t.update, t.delete FROM t",
]


@pytest.mark.parametrize("sql", POSTGRES_FALSELY_REFUSED)
def test_postgresql_reads_that_look_like_more_are_accepted(sql):
    check_statement(sql, "postgresql")


@pytest.mark.parametrize("sql", MYSQL_FALSELY_REFUSED)
def test_mysql_reads_that_look_like_more_are_accepted(sql):
    check_statement(sql, "mysql")


@pytest.mark.parametrize(
    ("sql", "way"),
    [
        ("DESCRIBE t", "SHOW COLUMNS FROM"),
        ("DESC SELECT 1", "EXPLAIN of a query"),
        ("EXPLAIN t", "SHOW COLUMNS FROM"),
        ("SELECT * FROM t LOCK IN SHARE MODE", "leave that out"),
    ],
)
def test_a_refusal_offers_the_way_out(sql, way):
    with pytest.raises(StatementRefused, match=way):
        check_statement(sql, "mysql")


CRASHES = [
    "SELECT 1" + "+1" * 49_000,
    "SELECT 1" + " UNION ALL SELECT 1" * 5_000,
    "SELECT " + "a" + "[1]" * 33_000,
    "SELECT a" + ".b" * 45_000,
    "SELECT " + "1::int" + "::int" * 19_000,
]


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("sql", CRASHES)
def test_no_text_takes_a_process_of_the_service_with_it(sql, kind):
    started = time.monotonic()
    with contextlib.suppress(StatementRefused):
        check_statement(sql, kind)
    check_statement("SELECT 1", kind)
    assert time.monotonic() - started < 6


def test_what_the_start_of_a_process_takes_is_not_held_against_a_statement(monkeypatch):
    start = statement.host.start

    def slowly(limits):
        time.sleep(1.6)
        return start(limits)

    monkeypatch.setattr(statement, "CHECK_S", 1.5)
    monkeypatch.setattr(statement.host, "start", slowly)
    statement.checkers.close_idle()
    check_statement("SELECT 1", "postgresql")
