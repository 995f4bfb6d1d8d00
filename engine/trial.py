"""Whether a table can be made, written, read and removed in a target; nothing stays of it."""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake
import psycopg2
import pyarrow as pa
import pymysql
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector, PyFileSystem

from children import networks
from engine.load import proxy
from engine.load.delta_table import COLOURS
from engine.load.opening import log_in, store_options
from engine.problems import Problem
from engine.target import TargetParams
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import SourceError, SourceTimeout, SourceUnreachable
from sources.serving import DRIVERS

NAME = "_etl_test_"
# A test is over soon: a store that refuses the connection is not asked again for minutes.
_QUICK = {"max_retries": "1", "retry_timeout": "5s", "connect_timeout": "4s"}

# Words of an object store, the code of a test, and what to do.
_WORDS = [
    (("nosuchbucket", "bucket does not exist", "containernotfound", "specified bucket"),
     "bucket_not_found", "Make the bucket, or correct the uri."),
    (("invalidaccesskeyid", "signaturedoesnotmatch", "invalidtoken", "expiredtoken",
      "unauthenticated", "401 unauthorized", "authenticationfailed"),
     "authentication_failed", "Check the target's credentials."),
    (("accessdenied", "forbidden", "permission denied", "not authorized", "read-only file"),
     "permission_denied", "Let these credentials write there."),
    (("dns error", "failed to lookup", "name or service not known"),
     "host_not_found", "Check the endpoint's name."),
    (("connection refused", "tcp connect error", "network is unreachable"),
     "connection_refused", "Check the endpoint, and that the store runs there."),
    (("timed out", "timeout", "deadline has elapsed"),
     "timeout", "Check the endpoint, and that no firewall drops the connection."),
    (("certificate", "tls", "ssl", "corrupt message"),
     "tls_failed", "Check the endpoint's certificate."),
    (("not a directory", "file exists", "notadirectory"),
     "not_a_folder", "Give the path of a folder, or of none yet."),
]  # fmt: skip
_REFUSED = ("42501", "25006")
_MYSQL_REFUSED = (1044, 1142, 1227, 1290, 1836)


def test_target(target: TargetParams, timeout_s: float) -> dict[str, Any]:
    """Return the fields of `messages.TargetFacts`. Raises SourceError."""
    if target.kind == "delta":
        return _test_folder(target)
    assert target.database is not None  # noqa: S101 - a target of this kind has one
    return _test_database(target, target.database, timeout_s)


# --- folders ---


def _test_folder(target: TargetParams) -> dict[str, Any]:
    uri = f"{(target.uri or '').rstrip('/')}/{NAME}{secrets.token_hex(6)}"
    local = _local(uri)
    made = [each for each in local.parents if not each.exists()] if local else []
    try:
        options = store_options(target)
        if local is None:
            options = _QUICK | options
        _write_and_read(uri, options)
        left = _remove(uri, options, local)
    except (DeltaError, OSError, pa.ArrowException) as exc:
        _clear(local, made)
        raise _refused(target, exc) from None  # its text may hold a secret
    except Problem as exc:
        raise SourceUnreachable(exc.message, error_code=_code(exc), hint=exc.hint) from exc
    _clear(None, made)
    return {
        "product": "Delta Lake",
        "version": deltalake.__version__,
        "tls": None if local else not _in_clear(target),
        "message": "A table was made, written, read and removed.",
        "left": left,
    }


def _code(exc: Problem) -> str:
    if isinstance(exc.__cause__, networks.NotAllowed):
        return "host_not_allowed"
    return "host_not_found" if exc.code == "target_unreachable" else "authentication_failed"


def _in_clear(target: TargetParams) -> bool:
    return any(value.startswith("http://") for value in target.options.values())


def _local(uri: str) -> Path | None:
    if "://" in uri and not uri.startswith("file://"):
        return None
    return Path(unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri)


def _write_and_read(uri: str, options: dict[str, str]) -> None:
    local = _local(uri)
    if local is not None:
        local.parent.mkdir(parents=True, exist_ok=True)
    rows = pa.table({"id": pa.array([1], pa.int64())})
    deltalake.write_deltalake(uri, rows, storage_options=options)
    if DeltaTable(uri, storage_options=options).to_pyarrow_table().num_rows != 1:
        raise OSError("what was written could not be read")


def _remove(uri: str, options: dict[str, str], local: Path | None) -> list[str]:
    """Remove the table; return what is left of it."""
    if local is not None:
        shutil.rmtree(local, ignore_errors=True)
        return [uri] if local.exists() else []
    files = PyFileSystem(DeltaStorageHandler(uri, options))
    left = []
    for found in files.get_file_info(FileSelector("", recursive=True)):
        if found.is_file:
            try:
                files.delete_file(found.path)
            except OSError:
                left.append(f"{uri}/{found.path}")
    return left


def _clear(local: Path | None, made: list[Path]) -> None:
    if local is not None:
        shutil.rmtree(local, ignore_errors=True)
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


def _refused(target: TargetParams, exc: Exception) -> SourceError:
    if unreached := proxy.trouble():
        hint = next((hint for _, code, hint in _WORDS if code == unreached.error_code), "")
        said = f"{target.uri}: {unreached.message}"
        return SourceUnreachable(said, error_code=unreached.error_code, hint=hint)
    words = " ".join(COLOURS.sub("", str(exc)).split())
    for secret in target.secrets:
        words = words.replace(secret, "***")
    lower = words.lower().replace("retry_timeout", "")  # which it always names
    code, hint = next(
        (found for known, *found in _WORDS if any(each in lower for each in known)),
        ("unknown", "See the store's log."),
    )
    if isinstance(exc, NotADirectoryError | FileExistsError):
        code, hint = "not_a_folder", "Give the path of a folder, or of none yet."
    kind = SourceTimeout if code == "timeout" else SourceUnreachable
    return kind(f"{target.uri}: {words[:500]}", error_code=code, hint=hint)


# --- databases ---


def _test_database(target: TargetParams, params: SourceParams, timeout_s: float) -> dict[str, Any]:
    clock = Clock(timeout_s)
    session = DRIVERS[params.kind].open(params, clock)
    facts = session.facts(clock.remaining_s())
    session.close()
    with ExitStack() as stack:
        conn = log_in(params, clock, stack)
        clock.stage = "query"
        try:
            left = _postgresql(conn, target) if params.kind == "postgresql" else _mysql(conn)
        except (psycopg2.Error, pymysql.Error) as exc:
            raise _database_refused(params, exc) from exc
    return {
        "product": facts.product,
        "version": facts.version,
        "tls": facts.tls,
        "message": "A table was made, written, read and removed.",
        "warnings": [each for each in facts.warnings if "may write" not in each],
        "left": left,
    }


def _postgresql(conn: Any, target: TargetParams) -> list[str]:
    """All in one transaction, of which nothing stays whatever ends it."""
    schema = target.db_schema or "public"
    with conn.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", [schema])
        if not cursor.fetchall():
            raise SourceUnreachable(
                f'There is no schema "{schema}" in {target.address}.',
                error_code="unknown_schema",
                hint="Make the schema, or give the target another one.",
                stage="database",
            )
        quoted = schema.replace('"', '""').replace("%", "%%")
        name = f'"{quoted}".{NAME}{secrets.token_hex(6)}'
        cursor.execute(f"CREATE TABLE {name} (id bigint)")
        cursor.execute(f"INSERT INTO {name} VALUES (1)")  # noqa: S608 - a name of ours
        cursor.execute(f"SELECT id FROM {name}")  # noqa: S608
        cursor.execute(f"DROP TABLE {name}")
    conn.commit()
    return []


def _mysql(conn: Any) -> list[str]:
    name = f"{NAME}{secrets.token_hex(6)}"
    with conn.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (id bigint) ENGINE = InnoDB")
        try:
            cursor.execute(f"INSERT INTO {name} VALUES (1)")  # noqa: S608 - a name of ours
            conn.commit()
            cursor.execute(f"SELECT id FROM {name}")  # noqa: S608
            cursor.fetchall()
        finally:
            left = _dropped(cursor, name)
    return left


def _dropped(cursor: Any, name: str) -> list[str]:
    try:
        cursor.execute(f"DROP TABLE {name}")
    except pymysql.Error:
        return [name]
    return []


def _database_refused(params: SourceParams, exc: Exception) -> SourceError:
    number = exc.args[0] if exc.args else None
    state = getattr(exc, "pgcode", None) or ""
    words = " ".join(str(exc.args[-1] if exc.args else exc).split())
    denied = state in _REFUSED or number in _MYSQL_REFUSED
    return SourceUnreachable(
        f"{params.address} refused to make, write, read or remove a table: {words[:500]}",
        error_code="permission_denied" if denied else "unknown",
        hint="Let the account make tables and write them.",
        stage="query",
    )
