"""What proxies say of a request's client, and which of them are believed."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from django.conf import settings

Address = IPv4Address | IPv6Address

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO")


def client_address(meta: MutableMapping[str, Any]) -> str | None:
    """Return the client's address: the peer's, or the one that trusted proxies name.

    From an address that is no trusted proxy the headers mean nothing, and are taken out.
    """
    peer = _parsed(meta.get("REMOTE_ADDR", ""))
    if peer is None or not is_trusted(peer):
        for name in FORWARDED:
            meta.pop(name, None)
    return None if peer is None else str(_first_stranger(peer, meta))


def _first_stranger(peer: Address, meta: MutableMapping[str, Any]) -> Address:
    """Return the first address, from ours outwards, that is no proxy of ours.

    Each proxy appends the one it was asked from; what is left of a stranger is the stranger's word.
    """
    hops = meta.get("HTTP_X_FORWARDED_FOR", "").split(",")
    address = peer
    while hops and is_trusted(address) and (hop := _parsed(hops.pop())):
        address = hop
    return address


def is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Address | None:
    """Return an address, its port left out: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    # Listening on `::` shows IPv4 peers as ::ffff:192.0.2.1.
    return getattr(address, "ipv4_mapped", None) or address
