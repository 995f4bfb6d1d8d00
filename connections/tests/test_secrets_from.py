"""Secrets that are kept elsewhere: a variable, a file, Vault."""

import json
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from common.exceptions import UnreadableSecret
from common.secrets import references
from common.tests.client import connection_body, made
from connections.models import Connection

REFERENCE = {"env": "ETL_SECRET_CRM"}
FROM = {"password": REFERENCE}


@pytest.fixture(autouse=True)
def variable(monkeypatch):
    monkeypatch.setenv("ETL_SECRET_CRM", "from-outside")


def referred(api, **changes):
    body = connection_body(secrets_from=FROM, **changes)
    del body["password"]
    return api.create("connections", body)


def revealed(record, name="password"):
    return Connection.objects.get(pk=record["id"]).reveal(name)


def test_a_password_is_referred_to_and_shown_where(api, stored):
    record = referred(api)
    assert record["secrets_from"] == FROM
    assert "password" not in record
    assert stored.connections.find_one()["password"] is None
    assert revealed(record) == "from-outside"


def test_one_of_the_two_is_required(api):
    body = connection_body()
    del body["password"]
    assert api.post("connections", body).codes == {"password": "required"}
    for nothing in (None, {}):
        assert api.post("connections", body | {"secrets_from": nothing}).codes == {
            "password": "required"
        }


def test_one_that_is_given_and_referred_to_is_refused(api):
    assert api.post("connections", connection_body(secrets_from=FROM)).codes == {
        "password": "given_twice"
    }
    record = referred(api)
    both = {"password": "x", "secrets_from": FROM}
    assert api.patch(f"connections/{record['id']}", both).codes == {"password": "given_twice"}


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_value_beside_a_reference_is_none(api, empty):
    assert api.create("connections", connection_body(secrets_from=FROM, password=empty))
    record = made(api, "connections", name="other")
    changed = api.patch(
        f"connections/{record['id']}", {"password": empty, "secrets_from": FROM}
    ).json()
    assert changed["secrets_from"] == FROM


def test_what_is_sent_alone_takes_the_place_of_the_other(api, stored):
    record = referred(api)
    path = f"connections/{record['id']}"
    assert api.patch(path, {"password": "own"}).json()["secrets_from"] is None
    assert revealed(record) == "own"
    assert api.patch(path, {"secrets_from": FROM}).json()["secrets_from"] == FROM
    assert stored.connections.find_one()["password"] is None
    assert revealed(record) == "from-outside"


def test_the_object_is_replaced_whole(api):
    record = referred(api, ssl_cert="PEM", ssl_key="key")
    path = f"connections/{record['id']}"
    only_key = {"ssl_key": {"env": "ETL_SECRET_KEY"}}
    assert api.patch(path, {"secrets_from": only_key}).codes == {"password": "required"}
    assert api.patch(path, {"secrets_from": None}).codes == {"password": "required"}
    whole = FROM | only_key
    assert api.patch(path, {"secrets_from": whole}).json()["secrets_from"] == whole
    assert api.patch(path, {"password": "own"}).json()["secrets_from"] == only_key


def test_a_record_can_be_sent_back_whole(api):
    record = referred(api)
    path = f"connections/{record['id']}"
    assert api.put(path, record).json() == record
    assert api.put(path, record | {"password": ""}).json()["secrets_from"] == FROM


def test_a_reference_counts_as_the_secret(api):
    tunnel = {"ssh_host": "jump", "ssh_username": "etl", "ssh_host_key": "ssh-ed25519 AAAA"}
    both = FROM | {"ssh_private_key": {"file": "/run/secrets/key"}}
    body = connection_body(**tunnel, secrets_from=both)
    del body["password"]
    record = api.create("connections", body)
    path = f"connections/{record['id']}"

    assert api.patch(path, {"ssh_private_key": None}).codes == {"ssh_private_key": "required"}
    assert api.patch(path, {"ssh_port": 2222}).codes == {
        "password": "password_required",
        "ssh_private_key": "password_required",
    }


def test_a_reference_does_not_travel_unless_it_is_brought(api):
    record = referred(api)
    path = f"connections/{record['id']}"
    assert api.patch(path, {"host": "evil"}).codes == {"password": "password_required"}
    assert api.patch(path, {"host": "evil", "secrets_from": FROM}).status == 200
    assert api.patch(path, {"host": "other", "password": "own"}).json()["secrets_from"] is None


@pytest.mark.parametrize(
    ("references", "field"),
    [
        ("ETL_SECRET_CRM", "secrets_from"),
        ([], "secrets_from"),
        ({"pasword": REFERENCE}, "secrets_from.pasword"),
        ({"host": REFERENCE}, "secrets_from.host"),
        ({"password": "ETL_SECRET_CRM"}, "secrets_from.password"),
        ({"password": {}}, "secrets_from.password"),
        ({"password": {"env": "ETL_SECRET_A", "file": "/run/secrets/a"}}, "secrets_from.password"),
        ({"password": {"url": "http://x"}}, "secrets_from.password"),
        ({"password": {"env": 1}}, "secrets_from.password"),
        ({"password": {"env": "ENCRYPTION_KEY"}}, "secrets_from.password"),
        ({"password": {"env": "HOME"}}, "secrets_from.password"),
        ({"password": {"env": "ETL_SECRET_"}}, "secrets_from.password"),
        ({"password": {"env": "ETL_SECRET_A=B"}}, "secrets_from.password"),
        ({"password": {"file": "/etc/passwd"}}, "secrets_from.password"),
        ({"password": {"file": "/run/secrets/../../etc/passwd"}}, "secrets_from.password"),
        ({"password": {"file": "crm"}}, "secrets_from.password"),
        ({"password": {"file": "/run/secrets"}}, "secrets_from.password"),
        ({"password": {"vault": "kv/data/crm"}}, "secrets_from.password"),
        ({"password": {"vault": "auth/token/lookup-self#id"}}, "secrets_from.password"),
        ({"password": {"vault": "kv/../sys/raw#x"}}, "secrets_from.password"),
    ],
)
def test_what_leads_elsewhere_is_refused(api, references, field):
    body = connection_body(secrets_from=references)
    del body["password"]
    errors = api.post("connections", body).codes
    assert errors[field] == "invalid_reference"


def test_the_services_own_variables_are_none_whatever_the_prefix(api, settings):
    settings.SECRET_ENV_PREFIX = "SECRET_"
    body = connection_body(secrets_from={"password": {"env": "SECRET_KEY"}})
    del body["password"]
    assert api.post("connections", body).codes == {"secrets_from.password": "invalid_reference"}


def test_a_file_is_read_below_the_folder_and_nowhere_else(api, settings, tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    settings.SECRETS_DIR = str(folder)
    (tmp_path / "outside").write_text("not to be read")
    (folder / "plain").write_text("word\n\n")
    (folder / "link").symlink_to(folder / "plain")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "windows").write_bytes(b"word\r\n")

    assert references.fetch({"file": str(folder / "plain")}, "password") == "word\n"
    assert references.fetch({"file": str(folder / "link")}, "password") == "word\n"
    assert references.fetch({"file": str(folder / "windows")}, "password") == "word"
    for name in ("out", "none", "../outside"):
        with pytest.raises(UnreadableSecret) as refusal:
            references.fetch({"file": str(folder / name)}, "password")
        assert "not to be read" not in str(refusal.value)


def test_the_services_own_files_are_not_read(settings, tmp_path):
    settings.SECRETS_DIR = str(tmp_path)
    (tmp_path / "encryption_key").write_text("key")
    settings.OWN_FILES = [str(tmp_path / "encryption_key")]
    with pytest.raises(UnreadableSecret):
        references.fetch({"file": str(tmp_path / "encryption_key")}, "password")


def test_a_secret_that_is_not_there_is_a_clear_error(api, monkeypatch):
    record = referred(api)
    monkeypatch.delenv("ETL_SECRET_CRM")
    answer = api.post(f"connections/{record['id']}/test", {})
    assert (answer.status, answer.json()["code"]) == (409, "unreadable_secret")
    assert "ETL_SECRET_CRM" in answer.json()["detail"]


def test_it_is_fetched_at_each_use(api, monkeypatch):
    record = referred(api)
    monkeypatch.setenv("ETL_SECRET_CRM", "renewed")
    assert Connection.objects.get(pk=record["id"]).params().password == "renewed"


def test_the_admin_takes_a_reference_in_place_of_a_password(operator, api):
    fields = {name: str(value) for name, value in connection_body(ssl_mode="prefer").items()}
    fields |= {"password": "", "secrets_from": json.dumps(FROM)}
    assert operator.save("connections_connection_add", **fields) == {}
    (record,) = api.get("connections").json()
    assert record["secrets_from"] == FROM

    assert operator.save("connections_connection_change", record["id"]) == {}
    assert api.get("connections").json()[0] == record


# --- Vault: its answers are those that its API documents ------------------------------------------


ANSWERS = {
    "/v1/kv/data/crm": {"data": {"data": {"password": "of-vault"}, "metadata": {"version": 3}}},
    "/v1/old/crm": {"data": {"password": "of-the-first-version", "number": 7}},
}


@pytest.fixture
def vault(settings):
    class Vault(BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.headers["X-Vault-Token"] == "vault-token" and ANSWERS.get(self.path)
            body = json.dumps(known or {"errors": ["permission denied"]}).encode()
            self.send_response(200 if known else 403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Vault)
    Thread(target=server.serve_forever, daemon=True).start()
    settings.VAULT_ADDR = f"http://127.0.0.1:{server.server_port}"
    settings.VAULT_TOKEN = "vault-token"
    yield server
    server.shutdown()


def test_vaults_secrets_are_found_in_both_versions_of_its_store(vault):
    assert references.fetch({"vault": "kv/data/crm#password"}, "password") == "of-vault"
    assert references.fetch({"vault": "old/crm#password"}, "password") == "of-the-first-version"
    assert references.fetch({"vault": "old/crm#number"}, "password") == "7"


@pytest.mark.parametrize("place", ["kv/data/crm#user", "kv/data/other#password"])
def test_what_vault_has_not_is_said(vault, place):
    with pytest.raises(UnreadableSecret, match="Vault") as refusal:
        references.fetch({"vault": place}, "password")
    assert "vault-token" not in str(refusal.value)


def test_a_vault_that_is_down_is_said(settings):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        settings.VAULT_ADDR = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(UnreadableSecret, match="ConnectionError"):
        references.fetch({"vault": "kv/data/crm#password"}, "password")
    settings.VAULT_ADDR = ""
    with pytest.raises(UnreadableSecret, match="set VAULT_ADDR"):
        references.fetch({"vault": "kv/data/crm#password"}, "password")
