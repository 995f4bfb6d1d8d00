"""import_config killed at random moments: each mapping has the rules of one file, never of none."""

import io
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from common.tests.client import PASSWORD

MANAGE = Path(settings.BASE_DIR, "manage.py")
MAPPINGS = 24
RULES = 6
KILLS = 4

HEAD = """\
version: 2
connections:
  crm: {db_type: mysql, host: db, database: d, username: u, password: '${ETL_SECRET_CRM_PASSWORD}'}
schemas:
"""


def content(letter: str) -> str:
    """Return a file in which every mapping writes a schema, and reads columns, of a letter."""
    columns = ", ".join(f"{{name: {letter}{n}, data_type: string}}" for n in range(RULES))
    rules = ", ".join(
        f"{{type: direct, source_columns: [{letter}], target_fields: [{letter}{n}]}}"
        for n in range(RULES)
    )
    lines = [f"  {letter}: {{columns: [{columns}]}}", "mappings:"]
    lines += [
        f"  m{n:02}: {{source_connection: crm, target_schema: {letter}, "
        f"source_query: SELECT 1 AS {letter}, column_mappings: [{rules}]}}"
        for n in range(MAPPINGS)
    ]
    return HEAD + "\n".join(lines) + "\n"


def importing(file: Path) -> subprocess.Popen:
    environment = {**os.environ, "MONGODB_DB_NAME": connection.settings_dict["NAME"]}
    return subprocess.Popen(
        [sys.executable, MANAGE, "import_config", file],
        env=environment | {"ETL_SECRET_CRM_PASSWORD": PASSWORD},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def letters(stored) -> list[set[str]]:
    """Return for each mapping the letters of its query, its schema and its rules."""
    schemas = {found["_id"]: found["name"] for found in stored.schemas.find()}
    found = []
    for mapping in stored.mappings.find(sort=[("name", 1)]):
        rules = list(stored.column_mappings.find({"mapping_id": mapping["_id"]}))
        assert len(rules) == RULES
        written = {field[0] for rule in rules for field in rule["target_fields"]}
        read = {name for rule in rules for name in rule["source_columns"]}
        found.append(written | read | {schemas[mapping["target_schema_id"]]})
        assert mapping["source_query"][-1] in found[-1]
    return found


def test_killed_again_and_again_no_mapping_is_half_made(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("ETL_SECRET_CRM_PASSWORD", PASSWORD)
    files = {letter: tmp_path / f"{letter}.yaml" for letter in "ab"}
    for letter, file in files.items():
        file.write_text(content(letter))
    were_mixed = 0
    for kill in range(KILLS):
        before = letters(stored)
        process = importing(files["ab"[kill % 2]])
        # The mappings are written in the order of the file.
        first = stored.mappings.find_one({"name": "m00"})
        while process.poll() is None and stored.mappings.find_one({"name": "m00"}) == first:
            time.sleep(0.05)
        time.sleep(random.uniform(0, 0.6))  # noqa: S311
        process.kill()
        process.wait()
        # The server itself gives up the transaction of a client that is gone after a minute.
        stored.client.admin.command("killAllSessions", [])
        found = letters(stored)
        assert all(len(letter) == 1 for letter in found)
        assert len(found) >= len(before)
        were_mixed += len(set(map(frozenset, found))) == 2 or len(found) < MAPPINGS

    call_command("import_config", files["a"], stdout=io.StringIO())
    assert letters(stored) == [{"a"}] * MAPPINGS
    assert were_mixed, "Every run ended before it was killed."
