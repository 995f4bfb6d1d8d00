"""Every endpoint, by every role, with every kind of token: all of it from the one table."""

from datetime import timedelta
from ipaddress import ip_network
from itertools import count

import pytest
from django.conf import settings

from access import tokens
from access.callers import memory
from access.models import Token
from common.api.endpoints import as_table, endpoints, role_of_permission
from common.api.roles import ROLES, Role
from common.documents import store
from common.tests.client import NOBODY, PREFIX

OURS = [one for one in endpoints() if one.path.startswith("/")]
number = count(1)


@pytest.fixture
def guarded(api, settings):
    settings.API_AUTH = "required"
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    return api


def token(role, **fields):
    return tokens.issue(Token(name=f"of {role.word}", role=role.word, **fields))


def ask(api, endpoint, text=None):
    path = endpoint.path
    for name in ("id", "mapping_id", "column_mapping_id", "schema_id"):
        path = path.replace("{" + name + "}", str(NOBODY))
    path = path.replace("{table}", "orders")
    # Each from an address of its own: wrong ones are counted.
    place = next(number)
    headers = {"X_Forwarded_For": f"10.{place >> 16}.{place >> 8 & 255}.{place & 255}"}
    if text is not None:
        headers["Authorization"] = f"Bearer {text}"
    body = None if endpoint.method in ("GET", "DELETE") else {}
    return api.request(endpoint.method, path, body, **headers)


def test_every_endpoint_asks_for_its_role(guarded, stored):
    expired = token(Role.ADMIN)
    stored["tokens"].update_many({}, {"$set": {"expires_at": store.now() - timedelta(hours=1)}})
    revoked = token(Role.ADMIN)
    Token.from_document(stored["tokens"].find_one({"hash": tokens.digest_of(revoked)})).delete()
    right = {role: token(role) for role in ROLES.values()}
    for one in OURS:
        refused = {None: "authentication_required", "etl_wrong": "invalid_token"}
        refused |= dict.fromkeys((expired, revoked, "etl_" + "a" * 40), "invalid_token")
        for text, code in refused.items():
            answer = ask(guarded, one, text)
            if one.role is Role.EVERYONE:
                assert answer.status in (200, 400), (one, answer.body)
                continue
            assert (answer.status, answer.code) == (401, code), (one, text)
            assert answer.headers["www-authenticate"].startswith("Bearer ")
        for role, text in right.items():
            answer = ask(guarded, one, text)
            if role < one.role:
                assert (answer.status, answer.code) == (403, "forbidden"), (one, role)
                assert f'"{one.role.word}"' in answer.detail
            elif one.action not in ("destroy", "update") or not one.path.startswith(PREFIX + "/me"):
                assert answer.status not in (401, 403, 500), (one, role, answer.body)


def test_the_openapi_document_names_the_operations_and_their_roles(api):
    told = api.get("/openapi.json").json()["paths"]
    found = {
        operation["operationId"]: operation
        for path in told.values()
        for method, operation in path.items()
    }
    for one in endpoints():
        if one.is_of_the_api:
            assert f"Role: {one.role.word}." in found[one.name]["description"] or not one.role
            assert ("security" in found[one.name]) == bool(one.role), one


def test_an_address_that_is_none_is_told_to_who_is_known(guarded):
    memory.forget()
    assert guarded.get("nothing").status == 401
    found = guarded.get("nothing", Authorization=f"Bearer {token(Role.VIEWER)}")
    assert (found.status, found.code) == (404, "not_found")


def test_the_page_on_access_has_the_table():
    page = (settings.BASE_DIR / "docs" / "access.md").read_text()
    assert as_table() in page, f"In docs/access.md the table is now:\n\n{as_table()}"


def test_the_admin_asks_for_the_role_of_the_api():
    words = {"list": "view", "create": "add", "update": "change", "destroy": "delete"}
    for one in endpoints():
        if one.is_of_the_api and one.model is not None:
            meta = one.model._meta
            codename = f"{words.get(one.action, one.action)}_{meta.model_name}"
            assert role_of_permission(f"{meta.app_label}.{codename}") is one.role, one
