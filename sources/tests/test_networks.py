"""Nothing is dialled where nobody may connect, whatever the host is called."""

import socket
import threading
from dataclasses import replace

import pytest

from children import networks
from children.networks import Networks
from sources.contract import SourceParams, SshTunnel
from sources.errors import SourceError
from sources.preview import run_preview
from sources.probe import probe

from .test_ssh import keys, sshd  # noqa: F401 - fixtures

LOOPBACK = ["127.0.0.0/8", "::1"]


@pytest.fixture
def within():
    """Have other networks hold until the test ends."""
    before = networks.in_force()

    def use(deny=networks.DENIED, allow=()):
        networks.use(Networks.of(deny, allow))

    yield use
    networks.use(before)


@pytest.fixture
def heard(listen):
    """A listener, by its port, and whoever has called there."""
    calls: list[socket.socket] = []
    with listen(calls.append) as port:
        yield port, calls


def params(kind, host, port):
    return SourceParams(kind, host, port, "db", "user", "canary-password", ssl_mode="disable")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::ffff:127.0.0.1", "2130706433", "0177.1", "0x7f.0.0.1"]
)
def test_no_spelling_leads_where_nobody_may_connect(within, heard, kind, host):
    port, calls = heard
    within(LOOPBACK)

    result = probe(params(kind, host, port))

    assert result.details["error_code"] == "host_not_allowed", result
    assert "SOURCE_DENY_NETWORKS" in result.details["hint"]
    assert not calls


def test_what_is_not_among_the_allowed_is_denied(within, heard):
    port, calls = heard
    within(allow=["10.0.0.0/8"])

    assert probe(params("mysql", "127.0.0.1", port)).details["error_code"] == "host_not_allowed"
    with pytest.raises(SourceError) as refusal:
        run_preview(params("postgresql", "127.0.0.1", port), "SELECT 1")
    assert refusal.value.error_code == "host_not_allowed"
    assert not calls


def test_of_two_addresses_only_the_allowed_one_is_dialled(within, server, looked_up):
    looked_up("db.example", "127.0.0.66", server.params.host)
    within(["127.0.0.66"])

    assert probe(replace(server.reader, host="db.example")).success


def test_a_name_that_leads_to_a_denied_address_too_says_so(within, looked_up):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    looked_up("db.example", "127.0.0.66", "127.0.0.1")
    within(["127.0.0.66"])

    result = probe(params("postgresql", "db.example", port))

    assert result.details["error_code"] == "host_not_allowed"
    assert "127.0.0.66" in result.message


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("host", ["169.254.169.254", "100.100.100.200", "0.0.0.0", "[::]"])
def test_metadata_and_the_unspecified_are_denied_unless_told_otherwise(kind, host):
    assert probe(params(kind, host, 80)).details["error_code"] == "host_not_allowed"


@pytest.mark.parametrize("host", ["/var/run/postgresql", "/tmp", "@socket", "../run"])
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_path_is_no_host(kind, host):
    assert probe(params(kind, host, 5432)).details["error_code"] == "host_not_found"


def test_a_tunnels_host_is_held_to_the_same_networks(within, heard, server):
    port, calls = heard
    within(LOOPBACK)
    tunnel = SshTunnel("127.0.0.1", "user", port, password="canary", host_key="ssh-ed25519 AAAA")

    result = probe(replace(server.reader, host="db.internal", ssh=tunnel))

    assert result.details["error_code"] == "host_not_allowed"
    assert not calls


@pytest.mark.parametrize("host", ["169.254.169.254", "::ffff:169.254.169.254", "2852039166"])
def test_so_is_the_far_end_as_far_as_it_is_known(sshd, server, host):  # noqa: F811 - fixture
    result = probe(replace(server.reader, host=host, ssh=sshd))

    assert result.details["error_code"] == "host_not_allowed", result
    assert probe(replace(server.reader, ssh=sshd)).success


def test_questions_of_several_threads_carry_the_same_networks(within, heard):
    port, calls = heard
    within(LOOPBACK)
    codes: list[str] = []

    def ask():
        codes.append(probe(params("mysql", "127.0.0.1", port)).details["error_code"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == ["host_not_allowed"] * 4
    assert not calls
