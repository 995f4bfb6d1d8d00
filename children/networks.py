"""Where a connection may lead: networks that are denied, and those that are allowed.

The service says once, by `use`, what holds; a child is told with its first question, and again
with the next one after a change, so that whatever dials in a child can ask `refuse`. Addresses are
judged, and never names: the moment to ask is the one before the address is dialled.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

DENIED = (
    "169.254.0.0/16", "fe80::/10",  # link-local, and with it most clouds' metadata
    "224.0.0.0/4", "ff00::/8",  # multicast
    "0.0.0.0/8", "::/128",  # unspecified: the system takes it for the machine itself
    "100.100.100.200/32", "fd00:ec2::254/128",  # metadata that is not link-local
)  # fmt: skip
"""What is denied where nothing else is said."""

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")


class NotAllowed(Exception):
    """An address that may not be dialled; `address` is numeric."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is not allowed.")
        self.address = address


@dataclass(frozen=True)
class Networks:
    """`deny` wins; where `allow` is empty, everything else is allowed."""

    deny: tuple[Network, ...] = ()
    allow: tuple[Network, ...] = ()

    @classmethod
    def of(cls, deny: Iterable[Any] = DENIED, allow: Iterable[Any] = ()) -> Networks:
        """Return those of texts such as `10.0.0.0/8`, or of networks. Raises ValueError."""
        return cls(tuple(map(_network, deny)), tuple(map(_network, allow)))

    @classmethod
    def from_json(cls, given: Mapping[str, list[str]]) -> Networks:
        """Return what `to_json` was made of."""
        return cls.of(given["deny"], given["allow"])

    def to_json(self) -> dict[str, list[str]]:
        return {"deny": [*map(str, self.deny)], "allow": [*map(str, self.allow)]}

    def permit(self, address: str) -> bool:
        """Tell whether a numeric address may be dialled; one that is none may not."""
        try:
            forms = list(_forms(ipaddress.ip_address(address)))
        except ValueError:
            return False
        if any(form in network for form in forms for network in self.deny):
            return False
        return not self.allow or any(forms[0] in network for network in self.allow)


def _network(given: Any) -> Network:
    network = ipaddress.ip_network(str(given), strict=False)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _forms(address: Address) -> Iterator[Address]:
    """Yield what an address is first of all, then what else a packet to it may reach."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
        return
    yield IPv6Address(int(address))  # without its zone
    if address.sixtofour:
        yield address.sixtofour
    if IPv6Address(int(address)) in _NAT64 or 1 < int(address) < 1 << 32:  # or IPv4-compatible
        yield IPv4Address(int(address) & 0xFFFFFFFF)


# --- What holds in this process -------------------------------------------------------------------

_in_force = Networks.of()


def use(networks: Networks) -> None:
    """Have `networks` hold from now on, here and in the children that are asked from here."""
    global _in_force
    _in_force = networks


def in_force() -> Networks:
    return _in_force


def refuse(address: str) -> None:
    """Raise NotAllowed for a numeric address that may not be dialled."""
    if not _in_force.permit(address):
        raise NotAllowed(address)


def looked_up(host: str) -> list[str]:
    """Return the numeric addresses that a host leads to, in any spelling the system knows.

    Raises OSError, and NotAllowed where one of them may not be dialled.
    """
    name = host.strip().strip("[]")
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (UnicodeError, ValueError) as exc:
        raise OSError(f'"{host}" is no name of a host.') from exc
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        refuse(address)
    return addresses


def refuse_url(url: str) -> list[str]:
    """Return the addresses of a URL's host: an endpoint's, a webhook's. Raises as `looked_up`.

    Whoever dials it must dial one of these: a name may lead elsewhere the next time.
    """
    host = urlsplit(url).hostname
    if not host:
        raise OSError("The URL has no host.")
    return looked_up(host)
