"""System checks: each setting that can be wrong is named, with an id and a hint."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bson import ObjectId
from cryptography.fernet import Fernet
from django.conf import settings as project
from django.core.checks import run_checks
from django.core.management import call_command
from django.urls import include, path
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from common.api.roles import Role
from common.tests.client import column_mapping_document, document
from devtools.mongodb import mongodb
from devtools.processes import free_port

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


NFD, NFC = "cafe\u0301", "café"


def test_names_that_break_todays_rules_are_told(stored):
    hidden, long = ObjectId(f"{1:024}"), ObjectId(f"{2:024}")
    stored.mappings.insert_many(
        [
            {"_id": hidden, "name": "a\u202e\x1b[2J"},
            {"_id": long, "name": "x" * 101},
            {"name": "é 数据"},
            {"name": "plain"},
            {"name": None},
            {"name": 5},
            {},
        ]
    )
    assert found("database") == {
        "service.W021": "mappings: names that would be refused today: "
        rf'"a\u202e\u001b[2J" ({hidden}): A name has only characters that can be seen: take out '
        f'U+202E at position 2; "{"x" * 101}" ({long}): Ensure this field has no more than 100 '
        "characters."
    }


def test_two_names_that_are_one_are_told(stored):
    ids = [ObjectId(f"{number:024}") for number in range(4)]
    for identifier, name in zip(ids, [NFD, NFC, " plain", "plain"], strict=True):
        stored.schemas.insert_one({"_id": identifier, "name": name})

    assert found("database")["service.W022"] == (
        f'schemas: different names that look alike: "{NFD}" ({ids[0]}) and "{NFC}" ({ids[1]}); '
        f'" plain" ({ids[2]}) and "plain" ({ids[3]}).'
    )


def test_no_more_than_a_few_are_listed(stored):
    stored.schedules.insert_many({"name": f" {number}"} for number in range(14))

    assert found("database")["service.W021"].endswith("; and 4 more.")


def test_a_mapping_with_too_many_rules_is_told(stored, monkeypatch):
    monkeypatch.setattr("mappings.checks.MAX_RULES", 2)
    mapping = document(stored, "mappings", name="large\x07")
    stored.column_mappings.insert_many(
        column_mapping_document(mapping_id=mapping["_id"], target_fields=[str(number)])
        for number in range(3)
    )
    said = {one.id: one.msg for one in run_checks(tags=["database"], databases=["default"])}

    assert said["mappings.W001"] == (
        rf'Mappings have at most 2 column mappings today: "large\u0007" ({mapping["_id"]}) has 3.'
    )


def test_a_store_without_transactions_is_worth_a_word(tmp_path):
    with mongodb(tmp_path, free_port(), standalone=True) as server:
        process = checked("--database", "default", MONGODB_URL=server.url)

    assert "(service.W020) The store is a stand-alone MongoDB" in process.stderr
    assert "a crash in the middle of a set of records leaves fewer" in process.stderr


# --- Access ---------------------------------------------------------------------------------------


class Open(APIView):
    access = {"get": Role.VIEWER}

    def get(self, request):
        """Nobody calls it."""

    def post(self, request):
        """It says nothing of this one."""


def closed(request):
    """It says nothing at all."""


class Listing(ViewSet):
    access = {"list": Role.VIEWER}

    def list(self, request):
        """Nobody calls it."""

    def clear(self, request):
        """It says nothing of this one."""


urlpatterns = [
    path(
        project.API_V1_PREFIX.strip("/") + "/",
        include(
            [
                path("open", Open.as_view()),
                path("more/", include([path("closed", closed)])),
                path("listing", Listing.as_view({"get": "list", "delete": "clear"})),
                path("well", Listing.as_view({"get": "list"})),
            ]
        ),
    ),
    path("elsewhere", closed),
]


def test_a_view_that_does_not_say_who_may_call_it_is_an_error(settings):
    settings.ROOT_URLCONF = __name__

    said = [(one.msg, one.obj) for one in run_checks(tags=["service"]) if one.is_serious()]
    prefix = settings.API_V1_PREFIX
    assert said == [
        ("Open does not say who may post.", f"{prefix}/open"),
        ("closed does not say who may get.", f"{prefix}/more/closed"),
        ("Listing does not say who may clear.", f"{prefix}/listing"),
    ]


# --- A process of its own -------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("ENCRYPTION_KEY", "A" * 43 + "=", "service.W003"),
        ("SECRET_KEY", "short", "service.W004"),
        ("SECRET_KEY", "a" * 60, "service.W004"),
        ("ALLOWED_HOSTS", ["*"], "service.W005"),
        ("SECRET_ENV_PREFIX", "", "service.E014"),
        ("METRICS_LISTEN", "nowhere", "service.E032"),
    ],
)
def test_what_is_weak_is_found(settings, name, value, found):
    setattr(settings, name, value)
    assert found in [message.id for message in run_checks(tags=["service"])]
