"""PostgreSQL behind a real PgBouncer, in each of its modes."""

from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest

from sources.asking import pool
from sources.preview import describe, list_tables, run_preview
from sources.probe import probe

from .servers import find_program, free_port, give, open_to_all, running, unprivileged


@pytest.fixture(scope="module", params=["session", "transaction", "statement"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def bouncer(postgres, tmp_path_factory, mode):
    folder = tmp_path_factory.mktemp("bouncer")
    open_to_all(folder)
    source, port = postgres.reader, free_port()
    password = source.password.replace('"', '""')
    (folder / "users").write_text(f'"{source.username}" "{password}"\n')
    (folder / "config").write_text(
        f"[databases]\n* = host={source.host} port={source.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder / 'users'}\npool_mode = {mode}\n"
        "server_reset_query = DISCARD ALL\n"
    )
    user = unprivileged("postgres")
    give(folder, user)
    with running([find_program("pgbouncer"), str(folder / "config")], port, folder / "log", user):
        yield replace(source, host="127.0.0.1", port=port)
        pool.close_idle()


def test_previews_are_shown_again_and_again(bouncer, mode):
    result = probe(bouncer)
    if mode == "statement":
        # What a preview needs cannot be had there, and the test of the connection says so.
        assert not result.success
        assert "transaction" in result.message
        return
    assert result.success, result
    for number in range(5):
        assert run_preview(bouncer, f"SELECT {number}").rows == [[number]]
    assert describe(bouncer, "SELECT 1 AS a")[0].database_type == "integer"
    assert list_tables(bouncer) is not None


def test_a_client_of_another_program_logs_in_as_well(bouncer):
    """What the test above proves is ours: PgBouncer itself is set up as people do."""
    with closing(psycopg2.connect(
        host=bouncer.host, port=bouncer.port, dbname=bouncer.database, user=bouncer.username,
        password=bouncer.password,
    )) as connection:  # fmt: skip
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
