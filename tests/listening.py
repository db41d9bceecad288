"""The sockets on which a process and all that it has started listen."""

import contextlib
import ipaddress

import psutil


def family_of(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started, as far as they still run."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.Error:
        return []


def listening(pid: int) -> set[tuple[str, str]]:
    """Return process name and address of each socket that waits for connections or datagrams."""
    found = set()
    for process in family_of(pid):
        with contextlib.suppress(psutil.Error):
            name = process.name()
            found |= {
                (name, socket.laddr.ip)
                for socket in process.net_connections(kind="inet")
                if socket.laddr and socket.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
            }
    return found


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an address; IPv4 also in its IPv6 form."""
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
