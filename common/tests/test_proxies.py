from ipaddress import ip_network

import pytest

from common.proxies import client_address

TRUSTED = ["127.0.0.1", "::1", "10.0.0.0/8"]


@pytest.fixture(autouse=True)
def proxies(settings):
    settings.TRUSTED_PROXIES = [ip_network(each) for each in TRUSTED]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "forged, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("::1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:127.0.0.1", "2001:DB8::0:1", "2001:db8::1"),
        ("", "198.51.100.7", None),
    ],
)
def test_the_client_is_the_first_address_that_is_no_proxy(peer, forwarded, client):
    meta = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert client_address(meta) == client


@pytest.mark.parametrize(("peer", "left"), [("127.0.0.1", True), ("203.0.113.9", False)])
def test_what_a_stranger_forwards_is_taken_out(peer, left):
    meta = {
        "REMOTE_ADDR": peer,
        "HTTP_X_FORWARDED_FOR": "198.51.100.7",
        "HTTP_X_FORWARDED_PROTO": "https",
    }
    client_address(meta)
    assert ("HTTP_X_FORWARDED_FOR" in meta, "HTTP_X_FORWARDED_PROTO" in meta) == (left, left)
