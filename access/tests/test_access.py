"""Tokens, sessions, users, and the limit of wrong attempts, as clients meet them."""

import io
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import Client

from access import attempts, tokens
from access.memberships import role_of, set_role
from access.models import Token
from common import context
from common.api.roles import ROLES, Role
from common.documents import store
from common.tests.client import Api, _answer, made
from common.times import iso_utc

PASSWORD = "a-long-p4ssword"


@pytest.fixture
def guarded(api, settings):
    settings.API_AUTH = "required"
    return api


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def ownerless(role=Role.ADMIN, **fields):
    return tokens.issue(Token(name="one", role=role.word, **fields))


def user(name, role=None):
    made = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    if role:
        set_role(made.pk, role)
    return made


def browser() -> tuple[Api, Client]:
    client = Client(enforce_csrf_checks=True)

    def send(method, path, headers, body):
        kind = headers.get("Content-Type", "")
        return _answer(client.generic(method, path, body, content_type=kind, headers=headers))

    return Api(send), client


def logged_in(name):
    page, _ = browser()
    answer = page.post("session", {"username": name, "password": PASSWORD})
    assert answer.status == 200, answer.body
    return Api(page.send, {"X-CSRFToken": answer.json()["csrf_token"]})


# --- Tokens ---------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_only_its_hash_is_stored(guarded, stored):
    admin = bearer(ownerless())
    answer = guarded.post("tokens", {"name": "ci", "role": "editor"}, **admin)
    told = answer.json()
    assert answer.status == 201
    assert told["token"].startswith(told["prefix"])
    assert told["token"] not in str(list(stored["tokens"].find()))
    (listed,) = [one for one in guarded.get("tokens", **admin).json() if one["name"] == "ci"]
    assert "token" not in listed
    assert "hash" not in listed
    me = guarded.get("me", **bearer(told["token"])).json()
    assert (me["username"], me["role"]) == ("token:ci", "editor")
    assert "mappings_create" in me["may"]
    assert "connections_create" not in me["may"]


def test_a_token_is_ended_at_once_and_its_use_is_noted(guarded, stored):
    admin = bearer(ownerless())
    made = guarded.post("tokens", {"name": "ci", "role": "viewer"}, **admin).json()
    assert guarded.get("me", **bearer(made["token"])).status == 200
    assert stored["tokens"].find_one({"name": "ci"})["last_used_at"]
    assert guarded.delete(f"tokens/{made['id']}", **admin).status == 204
    assert guarded.get("me", **bearer(made["token"])).code == "invalid_token"


def test_a_token_gives_no_more_than_it_has(guarded):
    end = store.now() + timedelta(days=2)
    editor = bearer(ownerless(Role.EDITOR, expires_at=end))
    higher = guarded.post("tokens", {"name": "a", "role": "operator"}, **editor)
    assert (higher.status, higher.code) == (403, "forbidden")
    later = {"name": "a", "role": "viewer", "expires_at": iso_utc(end + timedelta(days=1))}
    assert guarded.post("tokens", later, **editor).status == 403
    same = guarded.post("tokens", {"name": "a", "role": "editor"}, **editor)
    assert same.json()["expires_at"] == iso_utc(end)


def test_a_session_makes_tokens_of_up_to_a_year(guarded):
    user("ada", Role.EDITOR)
    ada = logged_in("ada")
    for days, status in ((364, 201), (366, 400), (-1, 400)):
        end = iso_utc(store.now() + timedelta(days=days))
        answer = ada.post("tokens", {"name": "a", "role": "viewer", "expires_at": end})
        assert answer.status == status, answer.body
    usual = ada.create("tokens", {"name": "b", "role": "viewer"})
    assert usual["expires_at"][:10] == iso_utc(store.now() + timedelta(days=90))[:10]


def test_tokens_of_others_are_seen_and_ended_by_admins_alone(guarded):
    user("ada", Role.EDITOR)
    user("bob", Role.EDITOR)
    admin = bearer(ownerless())
    theirs = logged_in("ada").create("tokens", {"name": "a", "role": "viewer"})
    bob = logged_in("bob")
    assert bob.get("tokens").json() == []
    assert bob.delete(f"tokens/{theirs['id']}").status == 404
    assert bob.get("tokens?owner=ada").status == 403
    assert [one["name"] for one in guarded.get("tokens?owner=ada", **admin).json()] == ["a"]
    assert [one["name"] for one in guarded.get("tokens?owner=", **admin).json()] == ["one"]
    assert guarded.delete(f"tokens/{theirs['id']}", **admin).status == 204


def test_a_token_has_its_owners_role_now_and_ends_with_them(guarded):
    ada = user("ada", Role.EDITOR)
    text = ownerless(Role.EDITOR, owner_id=ada.pk)
    assert guarded.get("me", **bearer(text)).json()["role"] == "editor"
    admin = bearer(ownerless())
    path = f"users/{ada.pk}"
    guarded.patch(path, {"role": "viewer"}, **admin)
    assert guarded.get("me", **bearer(text)).json()["role"] == "viewer"
    guarded.patch(path, {"active": False}, **admin)
    assert guarded.get("me", **bearer(text)).code == "invalid_token"


def test_create_token_prints_the_token_alone(guarded):
    out = io.StringIO()
    call_command("create_token", "ci", "--role", "analyst", "--expires-in", "60", stdout=out)
    text = out.getvalue().strip()
    assert tokens.WELL_FORMED.fullmatch(text)
    assert guarded.get("me", **bearer(text)).json()["username"] == "token:ci"
    with pytest.raises(CommandError, match='There is no user "nobody"'):
        call_command("create_token", "ci", "--role", "analyst", "--user", "nobody")


def test_the_check_of_a_warm_token_is_a_small_part_of_a_read(guarded):
    text = ownerless(Role.VIEWER)
    path = f"schemas/{made(Api(guarded.send, bearer(ownerless())), 'schemas')['id']}"

    def cost(work, times):
        began = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - began) / times

    read = cost(lambda: guarded.get(path, **bearer(text)), 100)
    check = cost(lambda: tokens.caller_of(text), 1000)
    assert check < 0.15 * read


# --- Sessions -------------------------------------------------------------------------------------


def test_a_session_needs_its_csrf_token_to_write(guarded):
    user("ada", Role.EDITOR)
    page, _ = browser()
    answer = page.post("session", {"username": "ada", "password": PASSWORD})
    told = answer.json()
    assert (told["username"], told["role"]) == ("ada", "editor")
    assert page.get("me").json()["username"] == "ada"
    refused = page.post("schemas", {})
    assert (refused.status, refused.code) == (403, "csrf_failed")
    assert page.put("nothing", {}).status == 404
    assert page.put("schemas", {}).status == 405
    assert page.post("schemas", {}, X_CSRFToken=told["csrf_token"]).status == 400
    assert page.delete("session", X_CSRFToken=told["csrf_token"]).status == 204
    assert page.get("me").code == "authentication_required"


def test_a_header_decides_alone(guarded):
    user("ada", Role.ADMIN)
    ada = logged_in("ada")
    assert ada.get("me", **bearer("etl_wrong")).code == "invalid_token"
    assert ada.get("me", **bearer(ownerless(Role.VIEWER))).json()["role"] == "viewer"


def test_a_wrong_password_is_a_401(guarded):
    user("ada", Role.EDITOR)
    answer = guarded.post("session", {"username": "ada", "password": "wrong"})
    assert (answer.status, answer.code) == (401, "invalid_credentials")


def test_a_password_is_changed_by_a_session_alone(guarded):
    user("ada", Role.VIEWER)
    ada = logged_in("ada")
    body = {"old": PASSWORD, "new": "another-p4ssword"}
    assert ada.put("me/password", {**body, "old": "wrong"}).codes == {"old": "invalid"}
    assert ada.put("me/password", body).status == 204
    assert ada.get("me").status == 200
    assert guarded.put("me/password", body, **bearer(ownerless())).status == 403
    login = {"username": "ada", "password": "another-p4ssword"}
    assert guarded.post("session", login).status == 200


def test_staff_without_a_role_are_refused_everywhere(guarded):
    nobody = user("nobody")
    page, client = browser()
    client.force_login(nobody)
    for path in ("me", "connections", "tokens"):
        assert (page.get(path).status, page.get(path).code) == (403, "forbidden")
    assert page.get("/admin/").status == 403
    assert page.post("session", {"username": "nobody", "password": PASSWORD}).status == 403


# --- Users ----------------------------------------------------------------------------------------


def test_users_are_records(api, stored):
    made = api.post("users", {"username": "ada", "role": "editor", "password": PASSWORD})
    assert made.status == 201, made.body
    told = made.json()
    assert (told["username"], told["role"], told["active"]) == ("ada", "editor", True)
    assert "password" not in told
    path = f"users/{told['id']}"
    read = api.get(path)
    assert (read.json(), read.etag) == (told, made.etag)
    assert [one["role"] for one in api.get("users").json()] == ["editor"]
    changed = api.patch(path, {"role": "viewer"}, If_Match=read.etag)
    assert (changed.status, changed.json()["role"]) == (200, "viewer")
    assert changed.etag != read.etag
    assert api.patch(path, {"role": "admin"}, If_Match=read.etag).status == 412
    assert api.put(path, changed.json()).status == 200
    assert role_of(User.objects.get(username="ada")) is Role.VIEWER
    again = api.post("users", {"username": "ada", "role": "editor", "password": PASSWORD})
    assert (again.status, again.code) == (409, "duplicate_name")
    assert api.post("users", {"username": "b", "role": "x", "password": "short"}).codes == {
        "role": "invalid_choice",
        "password": "invalid",
    }
    assert api.delete(path).status == 204
    assert stored["auth_user_groups"].count_documents({}) == 0


def test_the_last_admin_cannot_be_ended(api):
    first = user("first", Role.ADMIN)
    path = f"users/{first.pk}"
    for refused in (
        api.delete(path),
        api.patch(path, {"role": "editor"}),
        api.patch(path, {"active": False}),
    ):
        assert (refused.status, refused.code) == (409, "last_admin")
    user("second", Role.ADMIN)
    assert api.patch(path, {"role": "editor"}).status == 200


# --- Attempts -------------------------------------------------------------------------------------


def test_the_eleventh_wrong_attempt_in_a_minute_is_a_429(guarded, stored):
    user("ada", Role.EDITOR)
    for _ in range(5):
        assert guarded.get("me", **bearer("etl_wrong")).status == 401
        assert guarded.post("session", {"username": "ada", "password": "no"}).status == 401
    for _ in range(2):
        refused = guarded.get("me", **bearer("etl_wrong"))
        assert (refused.status, refused.code) == (429, "too_many_attempts")
        assert 0 < int(refused.headers["retry-after"]) <= 60
    right = {"username": "ada", "password": PASSWORD}
    assert guarded.post("session", right).status == 429
    assert guarded.get("me").status == 401
    assert guarded.get("me", **bearer(ownerless())).status == 200
    assert Client().post("/admin/login/", right).status_code == 429
    stored["attempts"].update_many({}, {"$set": {"since": store.now() - timedelta(seconds=61)}})
    assert guarded.post("session", right).status == 200


def test_of_many_wrong_attempts_at_once_ten_are_looked_at(stored):
    def attempt(_):
        with context.use(context.Context(address="192.0.2.7")):
            try:
                attempts.note()
            except attempts.TooManyAttempts:
                return 429
            return 401

    with ThreadPoolExecutor(16) as pool:
        found = Counter(pool.map(attempt, range(40)))
    assert found == {401: 10, 429: 30}


def test_a_wrong_old_password_at_the_admin_is_an_attempt(stored):
    person = user("ada", Role.VIEWER)
    client = Client()
    client.force_login(person)
    fields = {"old_password": "no", "new_password1": "a-new-w0rd", "new_password2": "a-new-w0rd"}
    statuses = [client.post("/admin/password_change/", fields).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]


# --- Open -----------------------------------------------------------------------------------------


def test_where_it_is_open_everybody_is_an_admin_and_a_header_is_checked(api):
    assert api.get("me").json()["role"] == "admin"
    assert api.get("me", **bearer("etl_wrong")).code == "invalid_token"
    assert api.get("me", **bearer(ownerless(Role.VIEWER))).json()["role"] == "viewer"


def test_where_it_is_open_a_foreign_page_writes_nothing(api):
    foreign = api.post("schemas", {}, Origin="http://evil.example")
    assert (foreign.status, foreign.code) == (403, "csrf_failed")
    assert api.get("schemas", Origin="http://evil.example").status == 200
    for origin in ("http://testserver", "http://localhost:5173"):
        assert api.post("schemas", {}, Origin=origin).status == 400


def test_an_open_api_on_a_public_address_is_refused_by_a_check(settings):
    settings.LISTEN_HOST = "192.0.2.1"
    assert [one.id for one in run_checks(tags=["service"])] == ["service.E050"]
    settings.API_AUTH_OPEN_ANYWHERE = True
    assert run_checks(tags=["service"]) == []


# --- The admin ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES.values())
def test_the_admin_gives_what_the_role_may(stored, role):
    person = user("person", role)
    client = Client()
    client.force_login(person)
    assert client.get("/admin/").status_code == 200
    assert person.has_perm("mappings.view_mapping")
    assert person.has_perm("mappings.preview_mapping") == (role >= Role.ANALYST)
    assert person.has_perm("mappings.change_mapping") == (role >= Role.EDITOR)
    assert person.has_perm("connections.probe_saved_connection") == (role >= Role.OPERATOR)
    assert person.has_perm("auth.change_user") == (role >= Role.ADMIN)


def test_at_the_admin_everybody_sees_their_own_tokens(stored):
    ada, bob = user("ada", Role.EDITOR), user("bob", Role.VIEWER)
    ownerless(owner_id=ada.pk)
    theirs = stored["tokens"].find_one({"owner_id": ada.pk})
    client = Client()
    client.force_login(bob)
    assert "etl_" not in client.get("/admin/access/token/").content.decode()
    assert client.get(f"/admin/access/token/{theirs['_id']}/change/").status_code == 302
    client.post(f"/admin/access/token/{theirs['_id']}/delete/", {"post": "yes"})
    made = client.post("/admin/access/token/add/", {"name": "b", "role": "admin"})
    assert made.status_code == 200
    made = client.post("/admin/access/token/add/", {"name": "b", "role": "viewer"})
    assert made.status_code == 302
    found = {one["owner_id"]: one for one in stored["tokens"].find()}
    assert set(found) == {ada.pk, bob.pk}
    assert found[bob.pk]["expires_at"] is not None
    client.force_login(ada)
    assert theirs["prefix"] in client.get("/admin/access/token/").content.decode()


class SlowHasher(MD5PasswordHasher):
    """As slow as a good one is on a busy machine."""

    algorithm = "slow"

    def encode(self, password, salt):
        time.sleep(0.3)
        return super().encode(password, salt)


def test_what_a_hash_takes_is_no_silence_of_the_store(guarded, settings, monkeypatch):
    settings.PASSWORD_HASHERS = [f"{__name__}.SlowHasher"]
    monkeypatch.setattr(store, "REQUEST_TIMEOUT_S", 0.25)
    body = {"username": "ada", "role": "viewer", "password": PASSWORD}
    admin, (page, _) = bearer(ownerless()), browser()
    assert guarded.post("users", body, **admin).status == 201
    session = page.post("session", {"username": "ada", "password": PASSWORD})
    assert session.status == 200
    change = {"old": PASSWORD, "new": PASSWORD + "2"}
    csrf = {"X-CSRFToken": session.json()["csrf_token"]}
    assert page.put("me/password", change, **csrf).status == 204
