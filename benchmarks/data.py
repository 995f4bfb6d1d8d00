"""The documents that are measured on; nothing random, so that every run meets the same."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from cryptography.fernet import Fernet
from pymongo.database import Database

Stored = dict[str, Any]
CONNECTIONS = 50
MAPPINGS = 200
SCHEDULES = 50
RULES = 20
CRONS = ("0 6 * * *", "30 2 * * 1-5", "0 0 1 * *", "15 4 * * SUN", "45 23 * * *")
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def load(database: Database[Stored], token: str) -> None:
    """Fill an empty database with connections, a schema, mappings with rules, and schedules."""
    database["connections"].insert_many(connections(CONNECTIONS, token))
    schema = schema_document()
    database["schemas"].insert_one(schema)
    used = [found["_id"] for found in database["connections"].find({}, {"_id": 1}, limit=20)]
    mappings = [mapping(number, used[number % 20], schema["_id"]) for number in range(MAPPINGS)]
    database["mappings"].insert_many(mappings)
    database["column_mappings"].insert_many(
        {"_id": ObjectId(), "mapping_id": each["_id"], **rule, "config": _config(rule), **moments()}
        for each in mappings
        for rule in rules()
    )
    database["schedules"].insert_many(
        schedule(number, mappings[number]["_id"]) for number in range(SCHEDULES)
    )


def token_of(key: str) -> str:
    return Fernet(key).encrypt(b"correct horse battery staple").decode()


def moments(age_s: float = 0) -> Stored:
    moment = NOW - timedelta(seconds=age_s, milliseconds=123)
    return {"created_at": moment, "updated_at": moment}


def connections(count: int, token: str, prefix: str = "source") -> Iterator[Stored]:
    for number in range(count):
        yield connection(number, token, prefix)


def connection(number: int, token: str, prefix: str = "source") -> Stored:
    tested = number % 3
    return {
        "_id": ObjectId(),
        **connection_body(number, prefix),
        "password": token,
        "ssl_mode": "prefer", "ssl_ca": None, "ssl_cert": None, "ssl_key": None,
        "ssh_host": None, "ssh_port": 22, "ssh_username": None, "ssh_password": None,
        "ssh_private_key": None, "ssh_host_key": None,
        **moments(number),
        "last_tested_at": NOW - timedelta(seconds=number) if tested else None,
        "last_test_status": (None, "success", "failed")[tested],
    }  # fmt: skip


def connection_body(number: int, prefix: str) -> Stored:
    kind = ("postgresql", "mysql")[number % 2]
    return {
        "name": f"{prefix} {number}",
        "db_type": kind,
        "host": f"db-{number % 1000}.example.com",
        "port": 5432 if kind == "postgresql" else 3306,
        "database": f"warehouse_{number % 7}",
        "username": "etl_reader",
        "password": "correct horse battery staple",
    }


def schema_document() -> Stored:
    columns = [{"name": f"field_{number}", "data_type": "string"} for number in range(RULES * 2)]
    document = {"_id": ObjectId(), "name": "customers", "description": None, "columns": columns}
    return document | moments()


def mapping(number: int, connection_id: ObjectId, schema_id: ObjectId) -> Stored:
    return {
        "_id": ObjectId(),
        "name": f"mapping {number}",
        "description": None,
        "source_connection_id": connection_id,
        "source_query": "SELECT id, first_name, last_name, email FROM customers",
        "target_schema_id": schema_id,
        **moments(number),
    }


def rules() -> list[Stored]:
    """Return the body of a set of rules, of all three kinds."""
    return [_rule(number) for number in range(RULES)]


def _rule(number: int) -> Stored:
    field = f"field_{number}"
    if number % 5 == 3:
        return {
            "type": "split",
            "source_columns": ["full_name"],
            "target_fields": [field, f"field_{number + RULES}"],
            "config": {"delimiter": " "},
        }
    if number % 5 == 4:
        return {
            "type": "join",
            "source_columns": ["first_name", "last_name"],
            "target_fields": [field],
            "config": {"separator": " "},
        }
    return {"type": "direct", "source_columns": [f"column_{number}"], "target_fields": [field]}


def _config(rule: Stored) -> Stored:
    return {"delimiter": None, "separator": None, **rule.get("config", {})}


def schedule(number: int, mapping_id: ObjectId) -> Stored:
    """Return a schedule; one of five has not been touched since its next run passed."""
    passed = number % 5 == 0
    return {
        "_id": ObjectId(),
        "name": f"schedule {number}",
        "mapping_id": mapping_id,
        "cron_expression": CRONS[number % len(CRONS)],
        "timezone": ("UTC", "Europe/Berlin")[number % 2],
        "enabled": number % 10 != 9,
        **moments(number),
        "last_run_at": None,
        "next_run_at": NOW + timedelta(days=-1 if passed else 3),
    }
