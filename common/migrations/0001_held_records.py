"""The documents that stand for records while a transaction holds them; see `documents/writes.py`."""

from typing import Any

from django.db import migrations

EXPIRE_AFTER_S = 3600


def expire(apps: Any, schema_editor: Any) -> None:
    held = schema_editor.connection.get_collection("held_records")
    held.create_index("at", name="held_records_expire", expireAfterSeconds=EXPIRE_AFTER_S)


class Migration(migrations.Migration):
    initial = True
    dependencies: list[Any] = []
    operations = [migrations.RunPython(expire, migrations.RunPython.noop)]
