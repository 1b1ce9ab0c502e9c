"""Which addresses are this machine's own."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
