"""The admin as a whole: its front page, lists that stay cheap, pages while the store is down."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import count

import pytest
from bson import ObjectId
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pymongo.errors import ExecutionTimeout, ServerSelectionTimeoutError

from common.documents import store
from common.tests.client import REFERENCES, direct, document, made
from common.tests.operator import commands_sent, someone
from dashboard import queries

LISTS = {
    "connections": "connections_connection_changelist",
    "schemas": "schemas_schema_changelist",
    "mappings": "mappings_mapping_changelist",
    "column_mappings": "mappings_columnmapping_changelist",
    "schedules": "schedules_schedule_changelist",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_a_hundred_costs_as_many_commands_as_one_of_two(operator, stored, kind):
    around = {name: document(stored, of)["_id"] for name, of in REFERENCES.get(kind, {}).items()}
    fields = count()

    def cost(records):
        for _ in range(records):
            more = {"target_fields": [f"{next(fields)}"]} if kind == "column_mappings" else {}
            document(stored, kind, **around, **more)
        with commands_sent() as commands:
            response = operator.get(LISTS[kind])
        return commands, len(response.context["cl"].result_list)

    few, shown = cost(2)
    assert shown == 2
    many, shown = cost(98)
    assert shown == 100
    assert few == many
    assert len(many) < 15


@pytest.mark.parametrize("kind", LISTS)
def test_a_change_page_does_not_list_what_could_be_chosen(operator, stored, kind):
    record = document(stored, kind)
    for _ in range(5):
        document(stored, kind, name="somebody else")
        stored[kind].update_one({"name": "somebody else"}, {"$unset": {"name": 1}})
    page = operator.html(LISTS[kind].replace("changelist", "change"), record["_id"])
    assert "somebody else" not in page


def test_pages_are_cut_by_the_store(operator, stored, monkeypatch):
    monkeypatch.setattr("connections.admin.ConnectionAdmin.list_per_page", 10)
    for _ in range(13):
        document(stored, "connections")
    pages = [operator.get(LISTS["connections"], p=page).context["cl"] for page in ("1", "2")]
    assert [len(page.result_list) for page in pages] == [10, 3]
    names = {connection.name for page in pages for connection in page.result_list}
    assert len(names) == 13


def test_a_list_that_takes_too_long_says_so_and_what_to_do(operator, monkeypatch):
    def slow(*args, **kwargs):
        raise ExecutionTimeout("slow", 50)

    monkeypatch.setattr("common.documents.query.Query.documents", slow)
    response = operator.get(LISTS["connections"])
    assert response.status_code == 503
    assert "Search for the beginning of a name" in response.content.decode()


@pytest.mark.parametrize(
    ("kind", "query", "count"),
    [
        ("connections", {"q": "The Shop"}, 1),
        ("connections", {"q": "t.e"}, 0),
        ("connections", {"last_test": "failed"}, 1),
        ("connections", {"last_test": "never"}, 1),
        ("connections", {"o": "1"}, 2),
        ("schedules", {"enabled__exact": "0"}, 0),
        ("column_mappings", {"q": "id"}, 1),
    ],
)
def test_lists_are_searched_filtered_and_ordered(operator, stored, kind, query, count):
    document(stored, "connections", name="the shop", last_test_status="failed")
    source = document(stored, "connections", name="archive")
    mapping = document(stored, "mappings", source_connection_id=source["_id"])
    document(stored, "schedules", mapping_id=mapping["_id"])
    document(stored, "column_mappings", mapping_id=mapping["_id"])
    response = operator.get(LISTS[kind], **query)
    assert len(response.context["cl"].result_list) == count


SECRETS = ("password", "ssl_key", "ssh_password", "ssh_private_key")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("lookup", ["", "__regex", "__startswith", "__gte", "__isnull"])
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("connections", ""),
        ("mappings", "source_connection__"),
        ("column_mappings", "mapping__source_connection__"),
        ("schedules", "mapping__source_connection__"),
        ("schemas", "mappings__source_connection__"),
    ],
)
def test_no_list_is_filtered_by_a_secret(operator, kind, path, secret, lookup):
    asked = {f"{path}{secret}{lookup}": "gAAAA"}
    assert operator.get(LISTS[kind], **asked).status_code == 400


def test_no_account_is_found_by_its_password(operator):
    for page, parameter in [
        ("auth_user_changelist", "password__startswith"),
        ("auth_group_changelist", "user__password__startswith"),
    ]:
        assert operator.get(page, **{parameter: "pbkdf2"}).status_code == 400


@pytest.mark.parametrize(
    "parameter", ["host", "name__startswith", "source_connection__name", "db_type__regex", "pk__in"]
)
def test_a_list_is_filtered_by_its_declared_filters_alone(operator, parameter):
    for kind in ("connections", "mappings"):
        assert operator.get(LISTS[kind], **{parameter: "x"}).status_code == 400


def test_a_search_that_takes_too_long_finds_names_by_their_beginning(operator, stored, monkeypatch):
    document(stored, "connections", name="shop")
    document(stored, "connections", name="the shop")

    def slow(query):
        if query.is_search():
            raise ExecutionTimeout("slow", 50)
        return [row["_id"] for row in query.documents("_id")]

    monkeypatch.setattr("common.documents.query.Query.identifiers", slow)
    page = operator.html(LISTS["connections"], q="shop")
    assert "whose name begins with" in page
    assert "the shop" not in page


def test_a_record_of_a_foreign_id_is_listed_and_left_alone(operator, stored):
    document(stored, "schemas", _id="foreign", name="theirs")
    assert "theirs" in operator.html(LISTS["schemas"])
    said = operator.act(LISTS["schemas"], "delete_selected", ["foreign"], post="yes")
    assert said == ["“foreign” is not a valid Object Id."]
    assert stored.schemas.count_documents({}) == 1


def test_a_mapping_chooses_its_connection_by_name(operator, stored):
    document(stored, "connections", name="the shop")
    document(stored, "connections", name="archive", host="shop.example.com")
    chosen = {"app_label": "mappings", "model_name": "mapping", "field_name": "source_connection"}
    answer = operator.client.get(reverse("admin:autocomplete"), {**chosen, "term": "shop"}).json()
    assert [one["text"] for one in answer["results"]] == ["the shop"]


def test_the_connections_of_a_list_lead_to_their_mappings(operator, api):
    source = made(api, "connections")
    made(api, "mappings", name="orders", source_connection_id=source["id"])
    made(api, "mappings", name="other")
    page = operator.html(LISTS["mappings"], source_connection__id__exact=source["id"])
    assert "orders" in page
    assert ">other<" not in page


def references(mapping):
    names = ("source_connection_id", "target_schema_id")
    return {name: ObjectId(mapping[name]) for name in names}


# --- The front page ------------------------------------------------------------------------------


def test_the_front_page_answers_at_a_glance(operator, api, stored):
    now = store.now()
    mapping = made(api, "mappings", name="ruled")
    api.create(f"mappings/{mapping['id']}/column-mappings", direct())
    document(stored, "mappings", name="bare", **references(mapping))
    failed = {"last_test_status": "failed", "last_tested_at": now - timedelta(minutes=5)}
    document(stored, "connections", name="broken", **failed)
    document(stored, "connections", last_test_status="success")
    soon = {"next_run_at": now + timedelta(minutes=30), "mapping_id": ObjectId(mapping["id"])}
    document(stored, "schedules", name="soon", **soon)
    later = {"next_run_at": now + timedelta(hours=2), "mapping_id": ObjectId(mapping["id"])}
    document(stored, "schedules", name="later", **later)
    context = operator.get("index").context
    assert context["connections"] == {"success": 1, "failed": 1, "never": 1, "total": 3}
    assert [one.name for one in context["failed"]] == ["broken"]
    assert [one.name for one in context["unmapped"].mappings] == ["bare"]
    assert [one.schedule.name for one in context["due"]["first"]] == ["soon"]
    assert context["due"]["count"] == 1


def test_the_front_page_says_where_to_start_until_there_is_a_connection_of_ones_own(operator, api):
    call_command("seed_demo", source_url="postgresql://a:b@127.0.0.1:9/shop", stdout=StringIO())
    page = operator.html("index")
    assert "Start here" in page
    assert "Demo shop customers" in page
    assert "Mend" not in page  # Nobody has said yet that one is broken.
    made(api, "connections")
    assert "Start here" not in operator.html("index")


def test_the_runs_of_the_last_day_are_a_picture_by_the_hour(operator, api, stored):
    now = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
    mapping = made(api, "mappings")["id"]
    for hours, status in [(0, "succeeded"), (0, "failed"), (23, "succeeded"), (24, "failed")]:
        run = api.post(f"mappings/{mapping}/runs").json()["id"]
        at = {"queued_at": now - timedelta(hours=hours), "status": status}
        stored.runs.update_one({"_id": ObjectId(run)}, {"$set": at})
    day = queries.last_day(now)
    assert (day.total, day.most, day.count) == (3, 2, {"succeeded": 2, "failed": 1})
    assert [hour.at.hour for hour in day.hours] == [*range(11, 24), *range(11)]
    first, last = day.hours[0], day.hours[-1]
    assert first.said == "11:00 UTC: 1 succeeded"
    assert [(bar.status, bar.top, bar.height) for bar in last.bars] == [
        ("succeeded", 50, 50),
        ("failed", 0, 50),
    ]

    assert "Nothing ran." in operator.html("index")
    stored.runs.update_many({}, {"$set": {"queued_at": store.now()}})
    page = operator.html("index")
    assert 'aria-label="Runs of the last 24 hours by hour, at most 4 in one' in page
    assert "2 succeeded" in page


@pytest.mark.parametrize("limit", [5000, 0])
def test_mappings_without_rules_are_found_among_all_or_the_newest(stored, monkeypatch, limit):
    monkeypatch.setattr(queries, "MAX_COMPARED", limit)
    document(stored, "mappings", name="bare")
    mapping = document(stored, "mappings", name="ruled")
    document(stored, "column_mappings", mapping_id=mapping["_id"])
    found = queries.mappings_without_rules()
    assert [one.name for one in found.mappings] == ["bare"]
    assert (found.count, found.compared, found.is_all) == (1, 2, limit > 0)


def test_a_run_that_has_passed_is_reckoned_anew(stored):
    past = {"next_run_at": store.now() - timedelta(days=2)}
    document(stored, "schedules", name="often", cron_expression="*/5 * * * *", **past)
    document(stored, "schedules", name="yearly", cron_expression="@yearly", **past)
    (due,) = queries.due_soon()["first"]
    assert due.schedule.name == "often"
    assert due.at > store.now().replace(tzinfo=None)


def test_the_front_page_waits_for_no_slow_answer(operator, monkeypatch):
    def slow():
        raise ExecutionTimeout("slow", 50)

    monkeypatch.setattr("dashboard.queries.mappings_without_rules", slow)
    page = operator.html("index")
    assert "took too long" in page
    assert "Due in the next hour" in page


def test_the_front_page_shows_what_a_person_may_see(stored):
    for role in ("viewer", "admin"):
        page = someone(role).html("index")
        assert "Due in the next hour" in page
        assert ("/admin/auth/user/" in page) == (role == "admin")


# --- Refusals ------------------------------------------------------------------------------------


def test_a_store_that_is_down_is_a_page(operator, monkeypatch):
    def down(*args, **kwargs):
        raise ServerSelectionTimeoutError("mongodb://user:secret@db: refused")

    monkeypatch.setattr("common.documents.query.Query.documents", down)
    response = operator.get(LISTS["connections"])
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.headers["Content-Type"].startswith("text/html")
    page = response.content.decode()
    assert "does not answer" in page
    assert "secret" not in page


def test_an_address_that_is_not_there_is_a_page(operator):
    response = operator.client.get("/admin/nowhere/")
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_what_is_forbidden_is_a_page(stored):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    forbidden = client.get(reverse(f"admin:{LISTS['connections']}"))
    assert (forbidden.status_code, "That is not allowed." in forbidden.content.decode()) == (
        403,
        True,
    )
    expired = client.post(reverse("admin:connections_connection_add"))
    assert (expired.status_code, "signed out" in expired.content.decode()) == (403, True)


def test_a_login_leads_nowhere_else(stored):
    User.objects.create_superuser("admin", password="to-log-in")
    login = {"username": "admin", "password": "to-log-in", "next": "https://evil.example.com/"}
    response = Client().post(reverse("admin:login"), login)
    assert (response.status_code, response.url) == (302, "/admin/")


def test_who_may_only_look_has_nothing_to_press_and_sees_no_secret(stored):
    client = someone("viewer").client
    for kind in ("connections", "mappings", "schedules"):
        page = reverse(
            f"admin:{LISTS[kind].replace('changelist', 'change')}",
            args=[document(stored, kind)["_id"]],
        )
        html = client.get(page).content.decode()
        assert "data-fragment" not in html
        assert "gAAAA" not in html
        assert "Secret(" not in html
