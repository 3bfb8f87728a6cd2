"""Whose request it is, by address: what lock-outs count by and the audit log records."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The address that the outermost of our own proxies saw, None when there is none to believe.

    Each proxy appends to X-Forwarded-For the address that it was called from. All that is left
    of what our own `GRIDBOT_PROXIES` wrote is the client's word, and is not read.
    """
    proxies: int = settings.GRIDBOT_PROXIES
    address = request.META.get("REMOTE_ADDR", "")
    if proxies:
        hops = request.headers.get("X-Forwarded-For", "").split(",")
        address = hops[-proxies] if len(hops) >= proxies else ""
    try:
        return str(ipaddress.ip_address(address.strip()))
    except ValueError:
        return None


def guesser_address(request: HttpRequest) -> str | None:
    """What wrong passwords are counted by: the address, of IPv6 the network that it lies in.

    Whoever has one IPv6 address has 2**64 of them (RFC 4291, 2.5.1: a network is a /64).
    """
    text = client_address(request)
    address = ipaddress.ip_address(text) if text else None
    if not isinstance(address, ipaddress.IPv6Address):
        return text
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed, 64), strict=False).network_address)
