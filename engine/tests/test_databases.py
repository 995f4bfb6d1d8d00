"""Runs into PostgreSQL and MariaDB: what is visible, and when."""

import threading
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from engine.cast import ARROW_TYPES
from engine.load.contract import Cursor
from engine.load.postgresql import PostgresLoader
from engine.part import commit, run_part
from engine.plan import CursorWindow
from engine.problems import Problem

from .databases import Mysql, Postgres
from .plans import a_batch, a_plan, direct

FIELDS = {"id": "integer", "name": "string"}
UPSERT = {"write_mode": "upsert", "key_fields": ("id",)}
FIRST = "t1"


@pytest.fixture(scope="session")
def databases():
    with Postgres().made() as postgres, Mysql().made() as mysql:
        yield {"postgresql": postgres, "mysql": mysql}


@pytest.fixture(params=["postgresql", "mysql"])
def database(databases, request):
    found = databases[request.param]
    found.clear()
    return found


@pytest.fixture
def postgres(databases):
    databases["postgresql"].clear()
    return databases["postgresql"]


@pytest.fixture
def mysql(databases):
    databases["mysql"].clear()
    return databases["mysql"]


def plan_of(fields=FIELDS, **given):
    rules = [direct(name, name, f"r{at}") for at, name in enumerate(fields)]
    return a_plan(rules, fields, **given)


def rows_of(plan, *rows):
    schema = pa.schema([(field.name, ARROW_TYPES[field.data_type]) for field in plan.columns])
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    return pa.record_batch(
        [pa.array(cells, kind) for cells, kind in zip(columns, schema.types, strict=True)],
        schema=schema,
    )


def begun(database, plan):
    loader = database.loader(plan)
    assert loader.check() == []
    loader.begin()
    return loader


def run(database, *rows, token=FIRST, cursor=None, order=None, empty_source=False, **given):
    plan = plan_of(**given)
    loader = begun(database, plan)
    loader.stage(rows_of(plan, *rows), order)
    try:
        return loader.commit(token, loader.staged(), cursor, empty_source=empty_source)
    finally:
        loader.close()


def test_a_run_makes_the_table_with_its_rows_and_three_columns_of_ours(database):
    done = run(database, (1, "a"), (2, None))
    own = ("_mapping_id", "_run_id", "_loaded_at")
    (first, second) = database.rows("id", "name", *own)
    assert first[:4] == (1, "a", "m" * 24, "a" * 24)
    assert first[4].replace(tzinfo=None).isoformat() == "2026-01-31T03:04:05"
    assert second[:2] == (2, None)
    assert (done.version, done.rows_written, done.duplicates) == (None, 2, 0)


TYPES = {
    "s": "string", "i": "integer", "f": "float", "b": "boolean", "d": "date", "t": "timestamp",
}  # fmt: skip


def test_every_type_arrives_as_it_was_sent(database):
    moment = datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    text = "größe 🦆 'quote' \"double\" \\back\\ %s %% \n\r\t , end "
    rows = [
        (text, 2**63 - 1, 0.1, True, date(9999, 12, 31), moment),
        ("", -(2**63), 1.7976931348623157e308, False, date(1, 1, 1), moment),
        (None,) * 6,
        ("\\.", 0, 5e-324, None, date(2024, 2, 29), datetime(9999, 12, 31, tzinfo=UTC)),
        ("NULL", 0, -0.0, None, None, datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ]
    run(database, *rows, fields=TYPES)
    found = [
        tuple(v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in row)
        for row in database.rows(*TYPES)
    ]
    assert sorted(found, key=repr) == sorted(rows, key=repr)


def test_the_columns_have_the_types_that_are_promised(postgres, mysql):
    for database in (postgres, mysql):
        run(database, (None,) * 6, fields=TYPES)
    assert postgres.run(
        "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', '"
        " ORDER BY attnum)"
        " FROM pg_attribute WHERE attrelid = 'people'::regclass AND attnum > 0"
    ) == [
        (
            "s text, i bigint, f double precision, b boolean, d date, t timestamp with time zone, "
            "_mapping_id text, _run_id text, _loaded_at timestamp with time zone",
        )
    ]
    assert mysql.run(
        "SELECT column_name, data_type, character_set_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = 'people' ORDER BY ordinal_position"
        " LIMIT 6"
    ) == [
        ("s", "longtext", "utf8mb4"), ("i", "bigint", None), ("f", "double", None),
        ("b", "tinyint", None), ("d", "date", None), ("t", "datetime", None),
    ]  # fmt: skip


def test_not_a_number_and_infinity_arrive_in_postgresql(postgres):
    rows = [(float("inf"),), (float("-inf"),), (float("nan"),)]
    run(postgres, *rows, fields={"f": "float"})
    assert sorted(map(repr, postgres.rows("f"))) == ["(-inf,)", "(inf,)", "(nan,)"]


def test_staged_rows_are_seen_by_nobody_until_the_commit(database):
    run(database, (1, "a"), token="t1")
    plan = plan_of()
    loader = begun(database, plan)
    loader.stage(rows_of(plan, (2, "b")))
    staged = loader.staged()
    assert database.rows() == [(1, "a")]
    loader.commit("t2", staged, None)
    loader.close()
    assert database.rows() == [(1, "a"), (2, "b")]


def test_an_aborted_run_leaves_no_trace(database):
    plan = plan_of()
    loader = begun(database, plan)
    loader.stage(rows_of(plan, (1, "a")))
    loader.abort(loader.staged())
    assert database.run(database.all_tables) == []


def test_a_commit_that_is_repeated_finds_itself_done(database):
    plan = plan_of()
    loader = begun(database, plan)
    loader.stage(rows_of(plan, (1, "a")))
    staged = loader.staged()
    first = loader.commit("t1", staged, None)
    assert loader.commit("t1", staged, None) == first
    assert database.loader(plan).committed("t1")
    assert not database.loader(plan).committed("t2")
    loader.close()
    assert database.rows() == [(1, "a")]


def test_nothing_is_committed_before_there_is_a_table(database):
    loader = database.loader(plan_of())
    assert (loader.committed("t1"), loader.cursor(), loader.has_rows()) == (False, None, False)
    assert database.run(database.all_tables) == []


def test_an_attempt_that_another_one_overtook_commits_nothing(database):
    plan = plan_of()
    late = begun(database, plan)
    late.stage(rows_of(plan, (1, "late")))
    run(database, (1, "a"), token="t2")
    with pytest.raises(Problem) as caught:
        late.commit("t1", late.staged(), None)
    late.close()
    assert caught.value.code == "worker_lost"
    assert database.rows() == [(1, "a")]


def test_an_attempt_that_was_fenced_off_commits_nothing(database):
    plan = plan_of()
    late = begun(database, plan)
    late.stage(rows_of(plan, (1, "late")))
    database.loader(plan).fence()
    with pytest.raises(Problem, match="Another attempt of this mapping wrote"):
        late.commit("t1", late.staged(), None)
    late.close()
    run(database, (1, "a"), token="t2")
    assert database.rows() == [(1, "a")]


def race(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_two_attempts_at_the_same_moment_one_commits(database):
    plan = plan_of()
    loaders = [begun(database, plan) for _ in range(2)]
    for at, loader in enumerate(loaders):
        loader.stage(rows_of(plan, (at, "raced")))
    ends = []

    def attempt(loader, token):
        try:
            ends.append(loader.commit(token, loader.staged(), None).rows_written)
        except Problem as problem:
            ends.append(problem.code)
        loader.close()

    race([lambda at=at: attempt(loaders[at], f"t{at}") for at in range(2)])
    assert sorted(ends, key=str) == [1, "worker_lost"]
    assert len(database.rows()) == 1


@pytest.mark.parametrize("given", [{}, UPSERT, {"write_mode": "replace"}])
def test_mappings_that_write_one_table_at_once_all_succeed(database, given):
    def write(at):
        for turn in range(3):
            run(database, (turn, f"{at}"), token=f"{turn}", mapping_id=f"{at}" * 24, **given)

    race([lambda at=at: write(at) for at in range(4)])
    turns = [2] if given.get("write_mode") == "replace" else range(3)
    assert database.rows() == [(turn, f"{at}") for turn in turns for at in range(4)]


def test_replace_changes_only_the_rows_of_its_mapping(database):
    run(database, (1, "other"), token="t1", mapping_id="b" * 24)
    run(database, (1, "a"), (2, "b"), token="t2", write_mode="replace")
    run(database, (3, "c"), token="t3", write_mode="replace")
    assert database.rows() == [(1, "other"), (3, "c")]


def test_replace_by_an_empty_source_keeps_the_rows_unless_it_is_a_full_refresh(database):
    run(database, (1, "a"), token="t1", write_mode="replace")
    run(database, token="t2", write_mode="replace", empty_source=True)
    assert database.rows() == [(1, "a")]
    run(database, token="t3", write_mode="replace", empty_source=True, full_refresh=True)
    assert database.rows() == []


def test_replace_removes_the_rows_where_all_new_ones_were_refused(database):
    run(database, (1, "a"), token="t1", write_mode="replace")
    run(database, token="t2", write_mode="replace")
    assert database.rows() == []


def test_upsert_overwrites_by_key_and_adds_the_rest(database):
    run(database, (1, "other"), token="t0", mapping_id="b" * 24)
    run(database, (1, "a"), (2, "b"), token="t1", **UPSERT)
    done = run(database, (2, "B"), (3, "c"), token="t2", **UPSERT)
    assert database.rows() == [(1, "a"), (1, "other"), (2, "B"), (3, "c")]
    assert (done.rows_written, done.duplicates) == (2, 0)


def test_a_key_that_comes_twice_in_a_run_has_the_row_that_came_last(database):
    done = run(database, (1, "a"), (2, "b"), (1, "A"), (1, "last"), **UPSERT)
    assert database.rows() == [(1, "last"), (2, "b")]
    assert (done.rows_written, done.duplicates) == (2, 2)


MOMENTS = [datetime(2026, 1, 31, 3, 4, 5, part, tzinfo=UTC) for part in (1, 2)]


@pytest.mark.parametrize(
    ("data_type", "least", "most"),
    [
        (pa.int64(), 7, 9),
        (pa.float64(), 0.25, 0.5),
        (pa.timestamp("us", "UTC"), *MOMENTS),
        (pa.string(), "B", "a"),
        (pa.decimal256(76, 38), "-0.5", "18446744073709551615"),
    ],
)
def test_a_key_that_comes_twice_has_the_row_with_the_greatest_cursor(
    database, data_type, least, most
):
    order = pa.array([least, most, None, least, most]).cast(data_type)
    rows = [(1, "5"), (1, "9"), (1, "null"), (1, "7"), (1, "9, later")]
    done = run(database, *rows, order=order, **UPSERT)
    assert (database.rows(), done.duplicates) == ([(1, "9, later")], 4)


def test_keys_are_equal_letter_by_letter_and_field_by_field(database):
    given = {"fields": {"a": "string", "b": "string", "n": "integer"}, "write_mode": "upsert",
             "key_fields": ("a", "b")}  # fmt: skip
    rows = [("x", "y", 1), ("X", "y", 2), ("x ", "y", 3), ("xy", "", 4), ("", "xy", 5),
            ("1:x", "y", 6), ("é", "y", 7), ("e\u0301", "y", 8), ("e", "y", 9)]  # fmt: skip
    done = run(database, *rows, token="t1", **given)
    assert done.duplicates == 0
    run(database, ("x", "y", 10), ("xy", "", 40), ("e", "y", 90), token="t2", **given)
    numbers = sorted(n for (n,) in database.rows("n"))
    assert numbers == [2, 3, 5, 6, 7, 8, 10, 40, 90]


@pytest.mark.parametrize(
    ("data_type", "old", "new"),
    [
        ("float", -0.0, 0.0),
        ("float", 0.1, 0.1),
        ("boolean", True, True),
        ("date", date(2026, 1, 31), date(2026, 1, 31)),
        ("timestamp", MOMENTS[0], MOMENTS[0]),
        ("string", "", ""),
        ("string", "ß" * 255, "ß" * 255),
    ],
)
def test_keys_of_every_type_meet(database, data_type, old, new):
    given = {"fields": {"id": data_type, "name": "string"}, **UPSERT}
    run(database, (old, "old"), token="t1", **given)
    run(database, (new, "new"), token="t2", **given)
    assert database.rows("name") == [("new",)]


def test_long_text_keys_are_fine_in_postgresql(postgres):
    given = {"fields": {"id": "string", "name": "string"}, **UPSERT}
    run(postgres, ("x" * 100_000, "old"), token="t1", **given)
    run(postgres, ("x" * 100_000, "new"), token="t2", **given)
    assert postgres.rows("name") == [("new",)]


def refusals(database, plan, *rows):
    loader = begun(database, plan)
    found = loader.refuses(rows_of(plan, *rows))
    loader.close()
    return [(each.position, each.field, each.code) for each in found]


def test_null_in_a_key_is_refused(database):
    found = refusals(database, plan_of(**UPSERT), (1, "a"), (None, "b"))
    assert found == [(1, "id", "null_key")]


def test_what_postgresql_cannot_hold_is_refused(postgres):
    found = refusals(postgres, plan_of(), (1, "a"), (2, "a\x00b"), (3, None))
    assert found == [(1, "name", "null_character")]


def test_what_mysql_cannot_hold_is_refused(mysql):
    plan = plan_of(
        {"k": "string", "f": "float", "s": "string"}, write_mode="upsert", key_fields=("k",)
    )
    large = "x" * (16 * 1024 * 1024)
    found = refusals(
        mysql, plan, ("a", float("nan"), "\x00"), ("ß" * 256, 1.0, "ß" * 256),
        ("b", float("-inf"), None), ("c", None, large),
    )  # fmt: skip
    assert sorted(found) == [
        (0, "f", "not_finite"), (1, "k", "key_too_long"), (2, "f", "not_finite"),
        (3, "s", "value_too_large"),
    ]  # fmt: skip


def test_refused_values_reject_their_rows_and_the_rest_is_written(database):
    plan = a_plan(
        [direct("a", "f", "r1"), direct("b", "s", "r2")], {"f": "float", "s": "string"},
        max_rejected=1,
    )  # fmt: skip
    batch, source = a_batch(a=["NaN", "1", "2"], b=["x", "a\x00b", "y"])
    loader = begun(database, plan)
    part = run_part(plan, source, [batch], loader)
    commit(plan, loader, [part], "t1")
    loader.close()
    (entry,) = [each.as_dict() for each in part.rejected]
    if database.kind == "mysql":
        assert database.rows("s") == [("a\x00b",), ("y",)]
        assert entry == {
            "row": 1, "rule_id": "r1", "source_columns": ["a"], "target_field": "f",
            "value": "NaN", "code": "not_finite",
            "message": '"NaN" is a number that MySQL cannot hold.',
        }  # fmt: skip
    else:
        assert len(database.rows("s")) == 2
        assert entry["message"] == '"a\x00b" contains U+0000, which PostgreSQL cannot hold.'


def test_the_cursor_lies_with_the_rows(database):
    cursor = Cursor("id", "2", ("d1", "d2", "d2"))
    plan = plan_of(cursor=CursorWindow("id"))
    loader = begun(database, plan)
    loader.stage(rows_of(plan, (2, "b")))
    loader.commit("t1", loader.staged(), cursor)
    loader.close()
    assert database.loader(plan).cursor() == cursor
    again = begun(database, plan)
    again.commit("t2", again.staged(), Cursor("id", "3"))
    again.close()
    assert database.loader(plan).cursor() == Cursor("id", "3")
    other = database.loader(plan_of(mapping_id="b" * 24))
    assert (other.cursor(), other.has_rows()) == (None, False)


def test_a_run_without_a_cursor_ends_the_one_there_was(database):
    run(database, (1, "a"), token="t1", cursor=Cursor("id", "1"))
    run(database, (2, "b"), token="t2")
    loader = database.loader(plan_of())
    assert (loader.cursor(), loader.has_rows()) == (None, True)
    loader.close()


def test_a_column_that_the_schema_gained_is_added_at_the_end(database):
    run(database, (1, "a"), token="t1")
    run(database, (2, 0.5, "b"), token="t2",
        fields={"id": "integer", "f": "float", "name": "string"})  # fmt: skip
    assert database.rows("id", "f") == [(1, None), (2, 0.5)]


def test_a_column_that_the_schema_lost_stays_and_is_null(database):
    run(database, (1, "a"), token="t1")
    run(database, (2,), token="t2", fields={"id": "integer"})
    assert database.rows() == [(1, "a"), (2, None)]


def test_names_are_used_letter_by_letter(database):
    fields = {"Größe %s 'a'": "integer", 'select"`x': "string", "a;b --": "float", "%": "boolean"}
    given = {"fields": fields, "table": "_Weird", "write_mode": "upsert",
             "key_fields": ("Größe %s 'a'", 'select"`x')}  # fmt: skip
    run(database, (1, "a", 0.5, True), token="t1", **given)
    run(database, (1, "a", 0.75, None), token="t2", **given)
    assert database.rows(*fields, table="_Weird") == [(1, "a", 0.75, None)]


def messages(database, fields=FIELDS, **given):
    loader = database.loader(plan_of(fields, **given))
    found = loader.check()
    loader.close()
    assert {problem.code for problem in found} <= {"target_incompatible"}
    return [problem.message for problem in found]


def test_a_table_that_does_not_fit_is_told_of(database):
    run(database, (1, "a"))
    text = {"postgresql": "text", "mysql": "longtext"}[database.kind]
    assert messages(database, {"id": "string", "name": "string"}) == [
        f'The column "id" of "people" is bigint; the schema makes it {text}.'
    ]
    assert messages(database, {"ID": "integer", "name": "string"}) == [
        'The column "id" of "people" differs only in case from the schema\'s field "ID".'
    ]
    assert messages(database, {"_run_id": "string"}) == [
        'The schema\'s field "_run_id" is called like a column of the service.'
    ]


def test_a_table_that_is_not_ours_is_never_altered(database):
    database.run("CREATE TABLE people (id bigint)")
    assert messages(database) == [
        '"people" was not made by this service: it lacks _mapping_id, _run_id, _loaded_at.'
    ]


def test_a_view_is_not_written(database):
    run(database, (1, "a"))
    database.run("CREATE VIEW others AS SELECT * FROM people")
    assert messages(database, table="others") == ['"others" is a view, not a table.']


def test_a_column_of_the_tables_own_that_may_not_be_null_is_told_of(database):
    run(database, (1, "a"))
    database.run(
        "DELETE FROM people",
        "ALTER TABLE people ADD COLUMN given bigint NOT NULL DEFAULT 5",
        "ALTER TABLE people ADD COLUMN must bigint NOT NULL",
    )
    assert messages(database) == [
        'The column "must" of "people" may not be null, has no default, and is not in the schema.'
    ]


def test_names_that_postgresql_would_cut_are_told_of(postgres):
    assert messages(postgres, {"ü" * 32: "string", "xmin": "string"}) == [
        f'The name "{"ü" * 32}" has more than 63 bytes; PostgreSQL would cut it.',
        '"xmin" is the name of a system column of PostgreSQL.',
    ]
    loader = PostgresLoader(plan_of(), postgres.connect, schema="nowhere")
    assert [problem.message for problem in loader.check()] == [
        'There is no schema "nowhere"; it is never made here.'
    ]


def test_names_that_mysql_would_change_are_told_of(mysql):
    for name in ("x" * 65, "a🦆", "a "):
        assert messages(mysql, {name: "string"}) == [
            f'The name "{name}" has more than 64 characters, one beyond U+FFFF or a blank at the '
            "end; MySQL would change it."
        ]


def test_tables_of_mysql_that_do_not_keep_their_word_are_told_of(mysql):
    own = "_mapping_id longtext, _run_id longtext, _loaded_at datetime(6)"
    mysql.run(f"CREATE TABLE people (id bigint, {own}) ENGINE=MyISAM CHARSET=utf8mb4")
    assert messages(mysql) == [
        '"people" has the engine MyISAM, which cannot undo what a run that fails has written.'
    ]
    mysql.run("DROP TABLE people")
    mysql.run(f"CREATE TABLE people (id bigint unsigned, {own}) CHARSET=latin1")
    assert messages(mysql, {"id": "integer"}) == [
        'The column "id" of "people" is bigint unsigned; the schema makes it bigint.',
        *(
            f'The column "{name}" of "people" is longtext in latin1; the schema makes it longtext.'
            for name in ("_mapping_id", "_run_id")
        ),
    ]


def test_a_key_of_another_mapping_bounds_the_texts_of_mysql(mysql):
    run(mysql, ("k", 1), token="t1", fields={"name": "string", "id": "integer"},
        write_mode="upsert", key_fields=("name",), mapping_id="b" * 24)  # fmt: skip
    assert refusals(mysql, plan_of(), (1, "x" * 256)) == [(0, "name", "key_too_long")]
    run(mysql, (1, "x" * 255))
    assert len(mysql.rows()) == 2


def test_many_rows_come_whole(database):
    plan = plan_of()
    loader = begun(database, plan)
    for start in range(0, 12_000, 4_000):
        loader.stage(rows_of(plan, *[(n, f"text {n}") for n in range(start, start + 4_000)]))
    loader.commit("t1", loader.staged(), None)
    loader.close()
    assert database.run("SELECT count(*), sum(id), min(name) FROM people") == [
        (12_000, 71_994_000, "text 0")
    ]


def test_a_server_that_cannot_be_reached_is_told_of(database):
    loader = database.loader(plan_of())
    database_port, database.login["port"] = database.login["port"], 1
    try:
        with pytest.raises(Problem) as caught:
            loader.check()
    finally:
        database.login["port"] = database_port
    assert (caught.value.code, caught.value.stage) == ("target_unreachable", "plan")


def test_a_session_that_is_ended_by_the_server_writes_nothing(database):
    plan = plan_of()
    loader = begun(database, plan)
    loader.stage(rows_of(plan, (1, "a")))
    staged = loader.staged()
    end_other_sessions(database)
    with pytest.raises(Problem) as caught:
        loader.commit("t1", staged, None)
    assert caught.value.code == "target_unreachable"
    assert not database.loader(plan).committed("t1")
    assert ("people", "TABLE") not in database.run(database.all_tables)


def end_other_sessions(database):
    if database.kind == "postgresql":
        database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return
    for (number,) in database.run(
        "SELECT id FROM information_schema.processlist"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ):
        database.run(f"KILL {number}")


def test_what_the_account_may_not_do_is_the_targets_refusal(postgres):
    postgres.run("DROP ROLE IF EXISTS etl_reader", "CREATE ROLE etl_reader")

    def connect():
        session = postgres.connect()
        session.cursor().execute("SET ROLE etl_reader")
        session.commit()
        return session

    plan = plan_of()
    loader = PostgresLoader(plan, connect)
    loader.begin()
    loader.stage(rows_of(plan, (1, "a")))
    with pytest.raises(Problem) as caught:
        loader.commit("t1", loader.staged(), None)
    loader.close()
    assert (caught.value.code, caught.value.stage) == ("target_refused", "commit")
    assert "permission denied for schema public" in caught.value.message
