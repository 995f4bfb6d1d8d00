"""A stored secret goes nowhere it was not sent before, unless whoever moves it says it again."""

import pytest

from common.tests.client import PASSWORD, connection_body, made

TUNNEL = {
    "ssh_host": "jump.example.com",
    "ssh_username": "etl",
    "ssh_host_key": "ssh-ed25519 AAAA",
    "ssh_password": "tunnel-secret",
}
CERTIFICATE = {"ssl_cert": "-----BEGIN CERTIFICATE-----", "ssl_key": "a key"}

MOVES = [
    ({}, {"host": "evil.example.com"}, {"password"}),
    ({}, {"port": 9999}, {"password"}),
    ({}, {"db_type": "mysql"}, {"password"}),
    ({}, {"ssl_ca": "own"}, {"password"}),
    ({"ssl_ca": "theirs"}, {"ssl_ca": None}, {"password"}),
    ({"ssl_mode": "verify-full"}, {"ssl_mode": "require"}, {"password"}),
    ({}, {"ssl_mode": "disable"}, {"password"}),
    (CERTIFICATE, {"host": "evil.example.com"}, {"password", "ssl_key"}),
    ({}, TUNNEL, {"password"}),
    (TUNNEL, {"ssh_host": "evil"}, {"password", "ssh_password"}),
    (TUNNEL, {"ssh_port": 2222}, {"password", "ssh_password"}),
    (TUNNEL, {"ssh_host_key": "ssh-ed25519 BBBB"}, {"password", "ssh_password"}),
    (TUNNEL, {"ssh_host": None}, {"password"}),
    (TUNNEL, {"host": "evil"}, {"password"}),
    (TUNNEL, {"ssh_host": "evil", "ssh_password": "again"}, {"password"}),
]


@pytest.mark.parametrize(("stored_with", "change", "asked"), MOVES)
def test_a_move_asks_for_the_secrets_that_would_travel(api, stored, stored_with, change, asked):
    record = made(api, "connections", **stored_with)
    before = stored.connections.find_one()
    refused = api.patch(f"connections/{record['id']}", change)
    assert refused.status == 400
    assert refused.codes == dict.fromkeys(asked, "password_required")
    assert stored.connections.find_one() == before


@pytest.mark.parametrize(("stored_with", "change", "asked"), MOVES)
def test_a_move_that_brings_them_is_done(api, stored_with, change, asked):
    record = made(api, "connections", **stored_with)
    brought = change | dict.fromkeys(asked, "brought again")
    assert api.patch(f"connections/{record['id']}", brought).status == 200


@pytest.mark.parametrize("kept", [{"password": ""}, {"password": None}])
def test_keeping_the_password_is_not_bringing_it(api, kept):
    record = made(api, "connections")
    refused = api.patch(f"connections/{record['id']}", {"host": "evil"} | kept)
    assert refused.codes == {"password": "password_required"}


def test_an_optional_secret_that_is_removed_need_not_be_said(api):
    record = made(api, "connections", **TUNNEL, ssh_private_key="key")
    change = {"ssh_port": 2222, "password": PASSWORD, "ssh_password": "x", "ssh_private_key": None}
    assert api.patch(f"connections/{record['id']}", change).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"username": "other"}, {"database": "other"}, {"name": "other"}, {"ssl_mode": "require"},
        {"ssh_port": 2222}, {"ssl_ca": ""}, {"port": 5432}, {"host": "db.example.com"},
    ],
)  # fmt: skip
def test_what_leads_nowhere_else_is_free(api, change):
    record = made(api, "connections")
    assert api.patch(f"connections/{record['id']}", change).status == 200


def test_a_record_sent_back_whole_asks_for_nothing(api):
    record = made(api, "connections", **TUNNEL, ssl_ca="theirs")
    assert api.put(f"connections/{record['id']}", record).status == 200


@pytest.mark.parametrize("field", ["ssl_ca", "ssl_cert", "ssh_host_key", "name", "database"])
def test_a_private_key_is_taken_in_secret_fields_alone(api, field):
    key = "-----BEGIN RSA PRIVATE KEY----- MIIE -----END RSA PRIVATE KEY-----"
    refused = api.post("connections", connection_body(**{field: key}))
    assert refused.status == 400
    assert refused.codes[field] == "private_key"
    assert "MIIE" not in refused.body.decode()
