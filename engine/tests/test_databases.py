"""What only the loaders of databases do: types, names, relations, sessions."""

import pytest

from engine.load.contract import Cursor
from engine.load.postgresql import PostgresLoader
from engine.part import commit, run_part
from engine.plan import CursorWindow
from engine.problems import Problem

from .plans import a_batch, a_plan, direct
from .targets import UPSERT, begun, messages, plan_of, refusals, rows_of, run

TYPES = {
    "s": "string", "i": "integer", "f": "float", "b": "boolean", "d": "date", "t": "timestamp",
}  # fmt: skip


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


def test_long_text_keys_are_fine_in_postgresql(postgres):
    given = {"fields": {"id": "string", "name": "string"}, **UPSERT}
    run(postgres, ("x" * 100_000, "old"), token="t1", **given)
    run(postgres, ("x" * 100_000, "new"), token="t2", **given)
    assert postgres.rows("name") == [("new",)]


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


def test_names_are_used_letter_by_letter(database):
    fields = {"Größe %s 'a'": "integer", 'select"`x': "string", "a;b --": "float", "%": "boolean"}
    given = {"fields": fields, "table": "_Weird", "write_mode": "upsert",
             "key_fields": ("Größe %s 'a'", 'select"`x')}  # fmt: skip
    run(database, (1, "a", 0.5, True), token="t1", **given)
    run(database, (1, "a", 0.75, None), token="t2", **given)
    assert database.rows(*fields, table="_Weird") == [(1, "a", 0.75, None)]


def test_a_table_that_is_not_ours_is_never_altered(database):
    database.run("CREATE TABLE people (id bigint)")
    assert messages(database) == [
        '"people" was not made by this service: it lacks _mapping_id, _run_id, _loaded_at.'
    ]


def test_a_table_that_was_removed_takes_every_mappings_cursor_along(database):
    mappings = {"mapping_id": "m" * 24}, {"mapping_id": "n" * 24}
    for each in mappings:
        run(database, (1, "a"), cursor=Cursor("id", "1"), **each)
    database.run("DROP TABLE people")
    first, second = (
        database.loader(plan_of(cursor=CursorWindow("id"), **each)) for each in mappings
    )
    assert first.cursor() is None
    run(database, (1, "a"), token="t2", cursor=Cursor("id", "1"), **mappings[0])
    assert (first.cursor(), second.cursor()) == (Cursor("id", "1"), None)
    first.close()
    second.close()


def test_a_view_is_not_written(database):
    run(database, (1, "a"))
    database.run("CREATE VIEW others AS SELECT * FROM people")
    assert messages(database, table="others") == ['"others" is a view, not a table.']


@pytest.mark.parametrize("made", ["DOMAIN people AS int", "TYPE people AS ENUM ('a')"])
def test_a_type_of_the_tables_name_is_told_of(postgres, made):
    postgres.run(f"CREATE {made}", "CREATE TYPE friends AS (a int)")
    assert messages(postgres) == ['"people" is a type, not a table.']
    run(postgres, (1, "a"), table="_friends")
    postgres.run(f"DROP {made.split()[0]} people", "DROP TYPE friends")


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


def test_a_column_that_the_database_computes_is_told_of(database):
    made = {"postgresql": "GENERATED ALWAYS AS (id + 1) STORED", "mysql": "AS (id + 1) STORED"}
    fields = {"id": "integer", "more": "integer"}
    run(database, (1, 2), fields=fields)
    database.run("ALTER TABLE people DROP COLUMN more",
                 f"ALTER TABLE people ADD COLUMN more bigint {made[database.kind]}")  # fmt: skip
    assert messages(database, {"id": "integer"}) == []
    assert messages(database, fields) == [
        'The column "more" of "people" is generated by the database, which takes no value for it.'
    ]


def test_a_column_of_postgresql_that_counts_by_itself_is_told_of(postgres):
    run(postgres, (1, "a"))
    counted = "bigint GENERATED ALWAYS AS IDENTITY"
    postgres.run("ALTER TABLE people DROP COLUMN id", f"ALTER TABLE people ADD COLUMN id {counted}")
    assert messages(postgres) == [
        'The column "id" of "people" is generated by the database, which takes no value for it.'
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


def test_more_columns_than_a_table_has_room_for_say_what_to_do(database):
    fields = dict.fromkeys((f"c{number}" for number in range(1700)), "integer")
    with pytest.raises(Problem) as caught:
        run(database, tuple(range(1700)), fields=fields)
    assert (caught.value.code, caught.value.stage) == ("target_refused", "load")
    assert "fewer columns" in caught.value.hint


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
