"""Some hundred changes at random, by every door: what the audit tells is what is there."""

import random

import pytest
from django.core.management import call_command

from audit import verification
from audit.sealing import seal_all
from common.tests.client import body, direct, join

CHANGES = 500
KINDS = ("connections", "schemas", "mappings", "schedules")
MOMENTS = ("id", "_id", "created_at", "updated_at")
KEPT = (
    "verification",
    "last_tested_at",
    "last_test_status",
    "last_test_message",
    "last_test_error_code",
    "last_run_at",
    "next_run_at",
)


class Doors:
    def __init__(self, api, operator, folder, seed):
        self.api, self.operator, self.folder = api, operator, folder
        self.random = random.Random(seed)  # noqa: S311
        self.number = 0

    def some(self, kind):
        found = self.api.get(kind).json()
        return self.random.choice(found) if found else self.create(kind)

    def create(self, kind=None):
        kind = kind or self.random.choice(KINDS)
        self.api.post(kind, body(self.api, kind))
        return self.api.get(kind).json()[0]

    def patch(self):
        kind = self.random.choice(KINDS)
        self.number += 1
        change = {
            "connections": {"database": f"db {self.number % 3}", "password": "n3w"},
            "schemas": {"description": self.random.choice([None, "a", "b"])},
            "mappings": {"source_query": f"SELECT {self.number % 3}"},
            "schedules": {"enabled": self.random.choice([True, False])},
        }[kind]
        self.api.patch(f"{kind}/{self.some(kind)['id']}", change)

    def refused(self):
        self.api.patch(f"schemas/{self.some('schemas')['id']}", {"columns": []})
        self.api.post("connections", {"name": "no more"})
        self.api.delete(f"mappings/{self.some('mappings')['id']}", If_Match='"stale"')

    def delete(self):
        kind = self.random.choice(KINDS)
        self.api.delete(f"{kind}/{self.some(kind)['id']}")

    def rules(self):
        path = f"mappings/{self.some('mappings')['id']}/column-mappings"
        rules = [direct(), join("a", "b", target="name")]
        match self.random.randrange(5):
            case 0:
                self.api.put(path, rules[: self.random.randrange(3)])
            case 1:
                self.api.delete(path)
            case 2:
                self.api.post(path, direct("x", "email"))
            case 3:
                self.api.post(path, rules)
            case _:
                for rule in self.api.get(path).json()[:1]:
                    self.api.patch(f"{path}/{rule['id']}", {"source_columns": ["q"]})

    def admin(self):
        schema = self.some("schemas")
        self.number += 1
        self.operator.save("schemas_schema_change", schema["id"], description=f"{self.number % 4}")
        chosen = [self.some("schedules")["id"] for _ in range(2)]
        action = self.random.choice(["enable", "disable"])
        self.operator.act("schedules_schedule_changelist", action, chosen)

    def file(self):
        file = self.folder / "config.yaml"
        call_command("export_config", output=file)
        text = file.read_text().replace("description: a", "description: c")
        file.write_text(text.replace("SELECT 1", "SELECT 5"))
        call_command("import_config", str(file))

    def go(self):
        doors = (self.create, self.patch, self.refused, self.delete, self.rules, self.admin)
        for number in range(CHANGES):
            self.file() if number % 100 == 99 else self.random.choice(doors)()


def told(api):
    """Return every record as the audit's entries make it, by kind and id."""
    records, rules, number = {}, {}, 0
    entries = api.get("audit?ordering=at&limit=1000").json()
    assert len(entries) < 1000
    for entry in sorted(entries, key=lambda one: one["seq"]):
        number += 1
        assert entry["seq"] == number
        key = entry["kind"], entry["record_id"]
        changes = dict(entry["changes"])
        if entry["kind"] == "column_mappings":
            follow_rules(rules, entry)
            continue
        if entry["action"] == "delete":
            gone = changes.pop("rules", [[], None])[0]
            assert [rules.pop(one["id"])["id"] for one in gone] == [one["id"] for one in gone]
            ended = records.pop(key)
            assert ended == {f: c[0] for f, c in changes.items() if c != "changed"}
            continue
        record = records.setdefault(key, {})
        for field, change in changes.items():
            if change != "changed":
                assert record.get(field) == change[0]
                record[field] = change[1]
        records[key] = {field: value for field, value in record.items() if value is not None}
    return records, rules


def follow_rules(rules, entry):
    changes = entry["changes"]
    if "rules" not in changes:
        rule = rules.setdefault(entry["record_id"], {"id": entry["record_id"]})
        if entry["action"] == "delete":
            del rules[entry["record_id"]]
        rule |= {field: change[1] for field, change in changes.items()}
        return
    before, after = changes["rules"]
    for rule in before:
        del rules[rule["id"]]
    rules.update({rule["id"]: rule for rule in after})


def bare(record):
    left_out = (*MOMENTS, *KEPT)
    return {f: v for f, v in record.items() if f not in left_out and v is not None}


@pytest.mark.parametrize("seed", [1])
def test_what_the_audit_tells_is_what_is_there(api, operator, tmp_path, seed):
    Doors(api, operator, tmp_path, seed).go()
    seal_all()
    assert verification.verify(lambda count: None).problems == []
    records, rules = told(api)
    there = {(kind, one["id"]): bare(one) for kind in KINDS for one in api.get(kind).json()}
    assert records == there
    found = [
        rule
        for mapping in api.get("mappings").json()
        for rule in api.get(f"mappings/{mapping['id']}/column-mappings").json()
    ]
    assert {key: bare(rule) for key, rule in rules.items()} == {
        rule["id"]: bare(rule) for rule in found
    }
