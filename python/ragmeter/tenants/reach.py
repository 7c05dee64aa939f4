"""Reach: which addresses a URL that a tenant names may lead to.

A server sits where tenants do not: beside databases, in a cloud whose metadata hold credentials. So names are resolved
here, the addresses looked at, and the connection made to the very address that was looked at.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NotReachableError", "Reach"]

_Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
_SERVICES = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Addresses that are public and lead into a provider's cloud all the same: Azure's."""
_HOLD_IPV4 = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "::/96")]
"""IPv6 addresses that hold one of IPv4 in their last four bytes (RFC 6052, RFC 4291)."""
_LOCAL = [ipaddress.ip_network(text) for text in ("64:ff9b:1::/48", "fec0::/10", "5f00::/16")]
"""Networks of a site's own that not every release of Python knows to be no public ones."""


class NotReachableError(Exception):
    """A URL leads to where it must not; the text says where."""


class Reach:
    """Public addresses, and the networks that are named.

    Args:
        networks: Such as `127.0.0.0/8` or `10.1.2.3`; None for those of `RAGMETER_ALLOW_NETWORKS`, separated by commas.

    Raises:
        ValueError: One of them is no network.
    """

    def __init__(self, networks: Iterable[str] | None = None) -> None:
        if networks is None:
            networks = os.environ.get("RAGMETER_ALLOW_NETWORKS", "").split(",")
        self._networks = [ipaddress.ip_network(text.strip()) for text in networks if text.strip()]

    def allows(self, address: str) -> bool:
        """Return whether an address may be called."""
        found = _plain(ipaddress.ip_address(address.partition("%")[0]))
        if any(found in network for network in self._networks):
            return True
        is_local = any(found in network for network in _LOCAL)
        return found.is_global and not (is_local or found.is_multicast or found in _SERVICES)

    def look(self, url: str) -> None:
        """See to it that a URL leads to nowhere else.

        Raises:
            NotReachableError: It does.
            OSError: Its name has no address.
            ValueError: It is no URL.
        """
        parts = urlsplit(url)
        if not parts.hostname:
            msg = "the URL names no host"
            raise ValueError(msg)
        self.resolve(parts.hostname, parts.port or 443)

    def resolve(self, host: str, port: int) -> str:
        """Return an address of a host to connect to.

        Raises:
            NotReachableError: One of its addresses may not be called.
            OSError: It has none.
        """
        return self.choose(host, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    def choose(self, host: str, found: Iterable[tuple[Any, ...]]) -> str:
        """Return the first of the addresses that `getaddrinfo` found.

        Raises:
            NotReachableError: One of them may not be called: a name must not lead there by turns.
        """
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self.allows(address):
                where = address if address == host else f"{host} ({address})"
                msg = f"{where} is no public address; RAGMETER_ALLOW_NETWORKS names others that may be called"
                raise NotReachableError(msg)
        return addresses[0]


def _plain(address: _Address) -> _Address:
    """The IPv4 address that one of IPv6 stands for, else the address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if int(address) > 1 and any(address in network for network in _HOLD_IPV4):  # not :: and ::1
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address
