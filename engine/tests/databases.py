"""Throwaway databases on the servers that the launcher names, as loaders reach them."""

import os
import secrets
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import psycopg2
import pymysql
import pytest

from engine.load.mysql import MysqlLoader
from engine.load.postgresql import PostgresLoader


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

    def clear(self):
        for row in self.run(self.all_tables):
            self.run(f"DROP {row[1]} {self.quote(row[0])}")


class Postgres(Database):
    kind = "postgresql"
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
