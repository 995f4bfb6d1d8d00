"""System checks: each setting that can be wrong is named, with an id and a hint."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as project
from django.core.checks import run_checks
from django.core.management import call_command

KEY, OTHER_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
MANAGE = Path(project.BASE_DIR, "manage.py")


def found(tag="service"):
    """Return the messages of the service's own checks, by id."""
    databases = ["default"] if tag == "database" else None
    messages = run_checks(tags=[tag], databases=databases)
    assert all(said.hint for said in messages)
    return {said.id: said.msg for said in messages if said.id.startswith("service.")}


def test_right_settings_have_nothing_to_say():
    assert found() == {}


@pytest.mark.parametrize(
    ("name", "value", "identifier", "message"),
    [
        ("ENCRYPTION_KEY", "", "service.E001", "Set ENCRYPTION_KEY to a Fernet key; make one with "
         "`python manage.py generate_key`."),
        ("ENCRYPTION_KEY", "short", "service.E001", "ENCRYPTION_KEY is not a Fernet key; make one "
         "with `python manage.py generate_key`."),
        ("ENCRYPTION_KEYS_RETIRED", [OTHER_KEY, "short"], "service.E005",
         "Key 2 of ENCRYPTION_KEYS_RETIRED is not a Fernet key."),
        ("SECRET_KEY", project.INSECURE_SECRET_KEY, "service.E002",
         "SECRET_KEY is not set, and DEBUG is off."),
        ("API_V1_PREFIX", "/admin", "service.E003",
         'API_V1_PREFIX "/admin" hides another page of the service.'),
        ("API_V1_PREFIX", "/docs/v1", "service.E003",
         'API_V1_PREFIX "/docs/v1" hides another page of the service.'),
        ("API_V1_PREFIX", "/a b", "service.E003", 'API_V1_PREFIX "/a b" is not a path.'),
        ("SETTINGS_PROBLEMS", ["X makes no sense."], "service.E004", "X makes no sense."),
        ("ALLOWED_HOSTS", [], "service.E006",
         "ALLOWED_HOSTS is empty: every request would be refused."),
        ("CORS_ALLOWED_ORIGINS", ["*"], "service.E007",
         'CORS_ORIGINS has "*", which is not an origin.'),
        ("CORS_ALLOWED_ORIGINS", ["http://a/"], "service.E007",
         'CORS_ORIGINS has "http://a/", which is not an origin.'),
        ("CORS_ALLOWED_ORIGINS", ["localhost:3000"], "service.E007",
         'CORS_ORIGINS has "localhost:3000", which is not an origin.'),
        ("MONGODB_URL", "localhost:27017", "service.E008",
         "MONGODB_URL is not a MongoDB address."),
        ("MONGODB_URL", "mongodb://etl:hunter2@@db", "service.E008",
         "MONGODB_URL is not a MongoDB address."),
        ("MONGODB_DB_NAME", "a.b", "service.E012",
         'MONGODB_DB_NAME "a.b" is not a name that MongoDB takes.'),
        ("PROBE_TIMEOUT_S", 0.0, "service.E009",
         "PROBE_TIMEOUT_S is 0; expected seconds, more than 0 and up to 60."),
        ("PREVIEW_TIMEOUT_S", 3600.0, "service.E009",
         "PREVIEW_TIMEOUT_S is 3600; expected seconds, more than 0 and up to 60."),
        ("PROBE_MAX_CONCURRENT", 0, "service.E010",
         "PROBE_MAX_CONCURRENT is 0; expected 1 or more."),
        ("DEBUG", True, "service.W001", "DEBUG is on."),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(settings, name, value, identifier, message):
    setattr(settings, name, value)

    assert found() == {identifier: message}


def test_a_retired_key_that_is_the_first_one_is_worth_a_word(settings):
    settings.ENCRYPTION_KEY, settings.ENCRYPTION_KEYS_RETIRED = KEY, [KEY]

    assert list(found()) == ["service.W002"]


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://localhost",
        "mongodb://u:p%40ss@a:1,b:2/?replicaSet=rs",
        "mongodb+srv://u:p@host.example",
    ],
)
def test_an_address_that_mongodb_takes_passes(settings, url):
    settings.MONGODB_URL = url

    assert found() == {}


# --- The store ------------------------------------------------------------------------------------


def test_a_migrated_store_has_nothing_to_say(stored):
    assert found("database") == {}


def test_an_index_that_is_missing_is_named(stored):
    index = next(
        name for name, index in stored.schemas.index_information().items() if index.get("unique")
    )
    stored.schemas.drop_index(index)
    try:
        assert found("database") == {
            "service.E022": "The collection schemas lacks indexes on: name (unique)."
        }
    finally:
        call_command("migrate", "schemas", "zero", fake=True, stdout=io.StringIO())
        call_command("migrate", stdout=io.StringIO())
    assert found("database") == {}


def checked(*arguments, **environment):
    """Run `manage.py check` in a process of its own."""
    return subprocess.run(
        [sys.executable, MANAGE, "check", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_plain_check_needs_no_store():
    assert checked(MONGODB_URL="mongodb://127.0.0.1:1").returncode == 0


def test_a_store_that_does_not_answer_is_an_error_when_it_is_asked_for():
    process = checked("--database", "default", MONGODB_URL="mongodb://etl:hunter2@127.0.0.1:1")

    assert process.returncode == 1
    assert "(service.E020) The store of MONGODB_URL does not answer as it should" in process.stderr
    assert "Traceback" not in process.stderr
    assert "hunter2" not in process.stderr


def test_every_malformed_value_is_named_at_once_and_none_crashes():
    process = checked(
        CORS_ORIGINS='["http://a"', DEBUG="ture", PROBE_TIMEOUT_S="soon", LOG_LEVEL="loud",
        PREVIEW_MAX_CONCURRENT="1.5", MONGODB_URL="nonsense", ENCRYPTION_KEY="x",
    )  # fmt: skip

    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    for name in ("CORS_ORIGINS", "DEBUG", "PROBE_TIMEOUT_S", "LOG_LEVEL", "PREVIEW_MAX_CONCURRENT"):
        assert f"(service.E004) {name} makes no sense: expected " in process.stderr
    assert "service.E001" in process.stderr
    assert "service.E008" in process.stderr
