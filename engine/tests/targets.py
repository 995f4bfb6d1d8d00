"""The targets of the tests: a lake in a folder, throwaway databases on the launcher's servers."""

import os
import secrets
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2
import pyarrow as pa
import pymysql
import pytest
from deltalake import DeltaTable

from engine.cast import ARROW_TYPES
from engine.load.delta import DeltaLoader
from engine.load.mysql import MysqlLoader
from engine.load.postgresql import PostgresLoader

from .plans import a_plan, direct

FIELDS = {"id": "integer", "name": "string"}
UPSERT = {"write_mode": "upsert", "key_fields": ("id",)}
FIRST = "t1"


class Database:
    """An empty database; `run` speaks to it as another program would."""

    def __init__(self, variable):
        url = os.environ.get(variable) or pytest.fail(f"{variable} is not set", pytrace=False)
        address = urlsplit(url)
        self.login = {
            "host": address.hostname,
            "port": address.port,
            "user": unquote(address.username or ""),
            "password": unquote(address.password or ""),
        }
        self.existing = address.path.strip("/")
        self.name = f"etl_load_{secrets.token_hex(4)}"

    @contextmanager
    def made(self):
        self.run(f"CREATE DATABASE {self.name}", database=self.existing)
        try:
            yield self
        finally:
            self.run(self.drop.format(self.name), database=self.existing)

    def run(self, *statements, database=None):
        """Run statements; return the rows of the last."""
        session = self.connect(database)
        try:
            self.autocommit(session)
            cursor = session.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            session.close()

    def rows(self, *columns, table="people"):
        names = ", ".join(map(self.quote, columns or ("id", "name")))
        return sorted(self.run(f"SELECT {names} FROM {self.quote(table)}"), key=repr)

    def is_empty(self):
        return not self.run(self.all_tables)

    def clear(self):
        for row in self.run(self.all_tables):
            self.run(f"DROP {row[1]} {self.quote(row[0])}")


class Postgres(Database):
    kind = "postgresql"
    as_text = "v::text"
    drop = "DROP DATABASE {} WITH (FORCE)"
    all_tables = """
        SELECT relname, CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
        ORDER BY relkind DESC
    """

    def __init__(self):
        super().__init__("TEST_POSTGRES_URL")

    def connect(self, database=None):
        return psycopg2.connect(
            **self.login, dbname=database or self.name, options="-c timezone=UTC"
        )

    def autocommit(self, session):
        session.autocommit = True

    def loader(self, plan, **given):
        return PostgresLoader(plan, self.connect, **given)

    def quote(self, name):
        return '"' + name.replace('"', '""') + '"'


class Mysql(Database):
    kind = "mysql"
    as_text = "CAST(v AS CHAR)"
    drop = "DROP DATABASE {}"
    all_tables = """
        SELECT table_name, IF(table_type = 'VIEW', 'VIEW', 'TABLE') FROM information_schema.tables
        WHERE table_schema = DATABASE() ORDER BY table_type DESC
    """

    def __init__(self):
        super().__init__("TEST_MYSQL_URL")

    def connect(self, database=None):
        return pymysql.connect(**self.login, database=database or self.name)

    def autocommit(self, session):
        session.autocommit(True)

    def loader(self, plan):
        return MysqlLoader(plan, self.connect)

    def quote(self, name):
        return "`" + name.replace("`", "``") + "`"


class Lake:
    """A folder of Delta tables."""

    kind = "delta"

    def __init__(self, folder):
        self.folder = str(folder)

    def loader(self, plan):
        return DeltaLoader(plan, self.folder)

    def table(self, name="people"):
        return DeltaTable(f"{self.folder}/{name}")

    def rows(self, *columns, table="people"):
        found = self.table(table).to_pyarrow_table().to_pylist()
        names = columns or ("id", "name")
        return sorted((tuple(row[name] for name in names) for row in found), key=repr)

    def is_empty(self):
        return not Path(self.folder).exists() or not list(Path(self.folder).iterdir())


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


def begun(target, plan):
    loader = target.loader(plan)
    assert loader.check() == []
    loader.begin()
    return loader


def run(target, *rows, token=FIRST, cursor=None, order=None, empty_source=False, **given):
    plan = plan_of(**given)
    loader = begun(target, plan)
    loader.stage(rows_of(plan, *rows), order)
    try:
        return loader.commit(token, loader.staged(), cursor, empty_source=empty_source)
    finally:
        loader.close()


def race(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def refusals(target, plan, *rows):
    loader = begun(target, plan)
    found = loader.refuses(rows_of(plan, *rows))
    loader.close()
    return [(each.position, each.field, each.code) for each in found]


def messages(target, fields=FIELDS, **given):
    loader = target.loader(plan_of(fields, **given))
    found = loader.check()
    loader.close()
    assert {problem.code for problem in found} <= {"target_incompatible"}
    return [problem.message for problem in found]
