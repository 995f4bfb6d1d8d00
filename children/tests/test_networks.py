"""Which addresses may be dialled, however they are spelled."""

import socket

import pytest
from hypothesis import given, strategies as st

from children import networks
from children.networks import Networks, NotAllowed


@pytest.fixture(autouse=True)
def the_usual():
    before = networks.in_force()
    networks.use(Networks.of())
    yield
    networks.use(before)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",
        "::",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd00:ec2:0:0::254%2",
        "not an address",
        "",
    ],
)
def test_unless_told_otherwise_it_denies(address):
    assert not Networks.of().permit(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "::ffff:10.1.2.3", "fd00::1"])
def test_unless_told_otherwise_it_allows(address):
    assert Networks.of().permit(address)


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("10.1.0.1", True),
        ("::ffff:10.1.0.1", True),
        ("10.1.2.3", False),
        ("::ffff:10.1.2.3", False),
        ("10.2.0.1", False),
        ("::1", False),
    ],
)
def test_what_is_denied_wins_and_what_is_allowed_is_all(address, permitted):
    here = Networks.of(["10.1.2.0/24", "10.1.0.9"], ["10.1.0.0/16"])

    assert here.permit(address) is permitted
    assert Networks.from_json(here.to_json()) == here


def test_a_mapped_network_is_what_it_maps():
    assert not Networks.of(["::ffff:10.0.0.0/104"]).permit("10.1.2.3")


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_a_form_more_never_opens_what_is_denied(address, base, prefix):
    here = Networks.of([f"{base}/{prefix}"])

    assert here.permit(str(address)) is here.permit(f"::ffff:{address}")
    if not here.permit(str(address)):
        assert not here.permit(f"64:ff9b::{address}")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "localhost", "[127.0.0.1]"],
)
def test_every_spelling_of_a_host_is_looked_up_first(host):
    networks.use(Networks.of(["127.0.0.0/8", "::1"]))

    with pytest.raises((NotAllowed, socket.gaierror)) as refusal:
        networks.looked_up(host)
    if host != "[127.0.0.1]":
        assert isinstance(refusal.value, NotAllowed)


def test_a_url_is_judged_by_its_host():
    networks.use(Networks.of(["127.0.0.0/8"]))

    with pytest.raises(NotAllowed):
        networks.refuse_url("http://user:word@127.0.0.1:9000/bucket")
    with pytest.raises(OSError, match="no host"):
        networks.refuse_url("file:///etc/passwd")
