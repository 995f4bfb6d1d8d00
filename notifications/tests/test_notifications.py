"""Who is told of what: the records, and that their secrets stay."""

import io
import sys

import pytest
from bson import ObjectId
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from common.tests.client import made, mapping_body
from notifications import addresses

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


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("slack", addresses.NO_APPRISE),
        ("json://", addresses.NO_APPRISE),
        ("json://h/ dbus://", addresses.NO_APPRISE),
        ("dbus://", "dbus://"),
        ("syslog://local", "syslog:// is not among the schemes"),
        ("mailto://a:b@example.com", "mailto:// is not among the schemes"),
        ("https://hooks.slack.com/services/A/B/C", "https:// is not among the schemes"),
        ("file:///etc/passwd", "file:// is not among the schemes"),
        ("JSON://h/?Attach=http://h/x", "leave out attach"),
        ("discord://1/2?template=/etc/passwd", "leave out template"),
    ],
)
def test_what_apprise_may_not_do(api, url, said):
    refused = api.post("notifications", body(kind="apprise", url=url, secret=None))
    assert list(refused.errors) == ["url"]
    assert said in refused.body.decode()


def test_of_apprise_only_the_scheme_is_shown(api):
    url = "Slack://TokenA/TokenB/TokenC"
    refused = api.post("notifications", body(kind="apprise", url=url))
    assert refused.codes == {"secret": "not_of_this_kind"}
    record = api.create("notifications", body(kind="apprise", url=url, secret=None))
    assert record["url_shown"] == "slack"


@pytest.mark.filterwarnings("ignore:.imghdr.:DeprecationWarning")
def test_what_is_spoken_by_apprise_goes_over_http_alone():
    from apprise.manager_plugins import NotificationManager

    spoken = NotificationManager()
    for scheme in addresses.APPRISE:
        plugin = spoken[scheme]
        assert plugin.enabled, scheme
        module = sys.modules[plugin.__module__]
        assert not {"socket", "smtplib", "subprocess", "ssl"} & vars(module).keys(), scheme


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
    path = f"notifications/{record['id']}"
    assert api.patch(path, {"name": "other"}).status == 200
    another = made(api, "mappings")["id"]
    assert api.patch(path, {"mapping_ids": [another, mapping["id"]]}).status == 200
    unknown = {"mapping_ids": [mapping["id"], str(ObjectId())]}
    assert api.patch(path, unknown).codes == {"mapping_ids.1": "unknown_reference"}
    assert api.delete(f"notifications/{record['id']}").status == 204


# --- The configuration as a file ------------------------------------------------------------------


def applied(file, *options):
    out = io.StringIO()
    call_command("import_config", str(file), *options, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_notifications_are_exported_and_come_back(api, stored, monkeypatch, tmp_path):
    kept, gone = api.create("mappings", mapping_body(api)), made(api, "mappings")
    chosen = {"mapping_ids": [kept["id"], gone["id"]]}
    api.create("notifications", body(**chosen))
    api.create("notifications", body(name="mail", kind="email", url="mailto:a@b.c", secret=None))
    api.delete(f"mappings/{gone['id']}")
    file = tmp_path / "config.yaml"
    call_command("export_config", "--output", str(file))
    assert file.read_text().endswith(
        f"""
notifications:
  mail:
    kind: email
    url: ${{ETL_SECRET_MAIL_URL}}
    events: [failed]
    enabled: true
  ops:
    kind: webhook
    url: ${{ETL_SECRET_OPS_URL}}
    secret: ${{ETL_SECRET_OPS_SECRET}}
    events: [failed]
    mappings: [{kept["name"]}]
    enabled: true
"""
    )
    assert applied(file).startswith("0 to create, 0 to change, 0 to delete")
    stored.notifications.delete_many({})
    monkeypatch.setenv("ETL_SECRET_OPS_URL", URL)
    monkeypatch.setenv("ETL_SECRET_OPS_SECRET", SECRET)
    monkeypatch.setenv("ETL_SECRET_MAIL_URL", "mailto:a@b.c")
    assert SECRET not in applied(file)
    records = {one["name"]: one for one in api.get("notifications").json()}
    assert records["ops"]["mapping_ids"] == [kept["id"]]
    assert records["ops"]["url_shown"] == "https://hooks.example.com:443"
    assert records["mail"]["mapping_ids"] is None


def test_a_file_that_moves_a_webhook_brings_its_secret(api, monkeypatch, tmp_path):
    api.create("notifications", body())
    file = tmp_path / "config.yaml"
    call_command("export_config", "--output", str(file))
    monkeypatch.setenv("ETL_SECRET_OPS_URL", "https://elsewhere.example.com/")
    with pytest.raises(CommandError, match="Set ETL_SECRET_OPS_SECRET in the environment"):
        applied(file)
    monkeypatch.setenv("ETL_SECRET_OPS_SECRET", SECRET)
    assert "1 to change" in applied(file)
    (record,) = api.get("notifications").json()
    assert record["url_shown"] == "https://elsewhere.example.com:443"


def test_a_file_names_mappings_that_are_there(api, monkeypatch, tmp_path):
    mapping = api.create("mappings", mapping_body(api, name="orders"))
    api.create("notifications", body(mapping_ids=[mapping["id"]]))
    file = tmp_path / "config.yaml"
    file.write_text(
        "version: 2\nnotifications:\n"
        "  ops: {kind: webhook, url: '${ETL_SECRET_U}', events: [failed], mappings: [x]}\n"
    )
    with pytest.raises(CommandError, match=r'3:\d+: notification "ops", mappings.0: There is no'):
        applied(file)
    file.write_text("version: 2\nmappings: {}\n")
    assert '- mapping "orders"' in applied(file, "--prune")
