"""Who is told of what: the records, and that their secrets stay."""

import pytest
from bson import ObjectId
from cryptography.fernet import Fernet

from common.tests.client import made, mapping_body

URL = "https://user:w0rd@Hooks.example.com/t0ken?x=1"
SECRET = "shared-with-nobody"


def body(**changes):
    return {
        "name": "ops", "kind": "webhook", "url": URL, "secret": SECRET, "events": ["failed"],
    } | changes  # fmt: skip


def test_the_address_and_the_secret_are_kept_and_never_shown(api, stored, settings):
    answer = api.post("notifications", body())
    assert answer.status == 201, answer.body
    record = answer.json()
    assert record["url_shown"] == "https://hooks.example.com:443"
    assert (record["enabled"], record["mapping_ids"]) == (True, None)
    assert (record["last_delivery_at"], record["last_delivery_status"]) == (None, None)
    assert not {"url", "secret"} & record.keys()
    document = stored.notifications.find_one()
    key = Fernet(settings.ENCRYPTION_KEY)
    assert key.decrypt(document["url"]).decode() == URL
    assert key.decrypt(document["secret"]).decode() == SECRET
    audited = api.get("audit?kind=notifications").body.decode()
    for text in ("t0ken", "w0rd", SECRET):
        assert text not in answer.body.decode()
        assert text not in audited
    assert '"secret":"changed"' in audited


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com", "ftp://hooks.example.com", "https://", "http://a b/", "http://x:99999/",
        "mailto:a@example.com", "http://h/\r\nX: y", "http://example.com/ü", "http://h:0/", 5, True,
    ],
)  # fmt: skip
def test_what_is_no_webhook(api, url):
    assert list(api.post("notifications", body(url=url)).errors) == ["url"]


@pytest.mark.parametrize(
    "url", ["ops@example.com", "mailto:", "mailto:nobody", "mailto:a@b,", "mailto:a b@c", URL]
)
def test_what_is_no_mail_address(api, url):
    refused = api.post("notifications", body(kind="email", url=url, secret=None))
    assert list(refused.errors) == ["url"]


def test_of_mail_only_the_hosts_are_shown(api):
    url = "mailto:ada@example.com,grace@example.org,alan@example.com"
    record = api.create("notifications", body(kind="email", url=url, secret=None))
    assert record["url_shown"] == "mailto:example.com,example.org"


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"url": None}, {"url": "null"}),
        ({"events": []}, {"events": "required"}),
        ({"events": ["failed", "other"]}, {"events.1": "invalid_choice"}),
        ({"kind": "pigeon"}, {"kind": "invalid_choice"}),
        ({"mapping_ids": [str(ObjectId())]}, {"mapping_ids.0": "unknown_reference"}),
        ({"mapping_ids": ["x"]}, {"mapping_ids.0": "invalid"}),
        ({"url_shown": "x"}, {}),
        ({"more": 1}, {"more": "unknown_field"}),
    ],
)
def test_what_is_refused(api, changes, codes):
    answer = api.post("notifications", body(**changes))
    assert (answer.codes if codes else answer.status) == (codes or 201)


def test_mappings_are_named_by_their_ids(api, stored):
    mapping = api.create("mappings", mapping_body(api))
    record = api.create("notifications", body(mapping_ids=[mapping["id"]]))
    assert record["mapping_ids"] == [mapping["id"]]
    assert stored.notifications.find_one()["mapping_ids"] == [ObjectId(mapping["id"])]
    path = f"notifications/{record['id']}"
    assert api.get(path).json()["mapping_ids"] == [mapping["id"]]
    assert api.put(path, record).status == 200
    assert api.patch(path, {"mapping_ids": None}).json()["mapping_ids"] is None


def test_lists_are_filtered(api):
    api.create("notifications", body())
    api.create("notifications", body(name="off", enabled=False))
    assert api.names("notifications?enabled=false") == ["off"]
    assert api.names("notifications?kind=email") == []
    assert api.names("notifications?search=op") == ["ops"]


def test_a_stored_secret_signs_for_no_other_place(api):
    path = f"notifications/{api.create('notifications', body())['id']}"
    moved = {"url": "https://elsewhere.example.com/"}
    assert api.patch(path, moved).codes == {"secret": "password_required"}
    assert api.patch(path, moved | {"secret": ""}).codes == {"secret": "password_required"}
    assert api.patch(path, {"url": "https://hooks.example.com:444/"}).codes == {
        "secret": "password_required"
    }
    assert api.patch(path, {"url": "http://hooks.example.com/"}).codes == {
        "secret": "password_required"
    }
    assert api.patch(path, {"url": "https://hooks.example.com/another"}).status == 200
    assert api.patch(path, moved | {"secret": "new"}).status == 200
    assert api.patch(path, body() | {"secret": None}).status == 200


def test_a_new_kind_takes_a_new_address(api, stored):
    path = f"notifications/{api.create('notifications', body())['id']}"
    assert api.patch(path, {"kind": "email"}).codes == {"url": "password_required"}
    changed = api.patch(path, {"kind": "email", "url": "mailto:ops@example.com"})
    assert changed.status == 200, changed.body
    assert stored.notifications.find_one()["secret"] is None
    assert api.patch(path, {"secret": "x"}).codes == {"secret": "not_of_this_kind"}


def test_secrets_may_be_kept_elsewhere(api, stored, monkeypatch):
    monkeypatch.setenv("ETL_SECRET_HOOK", URL)
    where = {"url": {"env": "ETL_SECRET_HOOK"}, "secret": {"env": "ETL_SECRET_SIGN"}}
    sent = {name: value for name, value in body(secrets_from=where).items() if name in (
        "name", "kind", "events", "secrets_from")}  # fmt: skip
    record = api.create("notifications", sent)
    assert (record["secrets_from"], record["url_shown"]) == (where, None)
    assert stored.notifications.find_one()["url"] is None
    path = f"notifications/{record['id']}"
    elsewhere = {"secrets_from": where | {"url": {"env": "ETL_SECRET_OTHER"}}}
    assert api.patch(path, elsewhere).status == 200
    stays = {"url": "https://elsewhere.example.com/"}
    assert api.patch(path, stays).codes == {"secret": "password_required"}
    both = {"secrets_from": where, "secret": "x"}
    assert api.patch(path, both).codes == {"secret": "given_twice"}


def test_a_notification_is_deleted_while_its_mapping_stays(api):
    mapping = made(api, "mappings")
    record = api.create("notifications", body(mapping_ids=[mapping["id"]]))
    assert api.delete(f"mappings/{mapping['id']}").status == 204
    assert api.patch(f"notifications/{record['id']}", {"name": "other"}).status == 200
    assert api.delete(f"notifications/{record['id']}").status == 204
