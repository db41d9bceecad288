"""Join a Ray cluster that somebody else has started."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import ray
from ray import _raylet
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.utils import read_ray_address
from ray.exceptions import AuthenticationError, RpcError

from conf.errors import ConfigError
from conf.settings.config import Ray
from trainer.cluster.ray_room import FOLDER_PREFIX
from trainer.cluster.ray_signals import own_handlers, stop_ray

_CONNECT_SECONDS = 10
_AUTO, _LOCAL = "auto", "local"
_ADDRESS_FLAG = "--gcs-address="
_HERE = "set ray.address=null (and unset RAY_ADDRESS) to start it here"


@dataclass(frozen=True)
class Address:
    """The cluster to join, and who names it."""

    text: str
    named_by: str
    """`ray.address` or `RAY_ADDRESS`."""

    def __str__(self) -> str:
        return f"{self.named_by}={self.text!r}"


def named_address(settings: Ray) -> Address | None:
    """Return the cluster that the configuration or else RAY_ADDRESS names; None for none."""
    variable = os.environ.get("RAY_ADDRESS", "").strip()
    found = Address(settings.address or "", "ray.address")
    if not found.text or (found.text == _AUTO and variable not in ("", _LOCAL)):
        found = Address(variable, "RAY_ADDRESS")
    return None if found.text in ("", _LOCAL) else found


@contextmanager
def joined_ray(address: Address, quiet: Mapping[str, Any]) -> Iterator[None]:
    """Connect to the cluster for the block.

    Args:
        address: The cluster.
        quiet: Arguments of `ray.init` about its logs.

    Raises:
        ConfigError: When it does not answer, or refuses the token.
    """
    try:
        with own_handlers():
            _join(address, quiet)
    except (AuthenticationError, OSError, RpcError, ValueError) as error:
        raise _refused(address, error) from error
    try:
        yield
    finally:
        stop_ray()


def _join(address: Address, quiet: Mapping[str, Any]) -> None:
    place = address.text
    if place == _AUTO:
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        place = _cluster_here(address)
    _require_token(address)
    _require_form(address, place)
    _require_listener(place)
    if "://" not in place:
        raylet: Any = _raylet
        raylet.GcsClient(
            address=place
        )  # says at once that a token is refused; `ray.init` tries 20 times
    ray.init(address=place, **quiet)


def _require_token(address: Address) -> None:
    """Refuse to join with tokens, but without one: Ray's C++ would abort this process.

    Raises:
        ConfigError: When there is no token.
    """
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or str(Path.home() / ".ray" / "auth_token")
    try:
        is_there = bool(Path(file).read_text().strip())
    except (OSError, UnicodeDecodeError):
        is_there = False
    if not is_there:
        raise ConfigError(
            f"{address} cannot be joined: RAY_AUTH_MODE is token, but {file} has no token that "
            "this process can read; put the token of the cluster there, or name its file in "
            "RAY_AUTH_TOKEN_PATH"
        )


def _refused(address: Address, error: Exception) -> ConfigError:
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, AuthenticationError) or "InvalidAuthToken" in _chain(error):
        return ConfigError(
            f"{address} refuses the token of this process, or the lack of one; set "
            "RAY_AUTH_MODE=token, and put the token of the cluster into ~/.ray/auth_token or name "
            "its file in RAY_AUTH_TOKEN_PATH"
        )
    return ConfigError(f"{address} does not answer; start Ray there, or {_HERE}")


def _chain(error: BaseException) -> str:
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        texts.append(str(seen))
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


def _require_form(address: Address, place: str) -> None:
    """Refuse what is no address of a cluster, such as that of its dashboard and jobs."""
    try:
        target = urlsplit(place if "://" in place else f"ray://{place}")
        is_good = target.scheme == "ray" and target.hostname is not None and target.port is not None
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigError(
            f"{address} is no address of a Ray cluster; write HOST:PORT, ray://HOST:PORT or auto, "
            f"or {_HERE}"
        )


def _require_listener(address: str) -> None:
    """Refuse a HOST:PORT that nothing listens on: Ray would retry for minutes.

    Raises:
        OSError: When no connection is made within `_CONNECT_SECONDS`.
    """
    target = urlsplit(address if "://" in address else f"ray://{address}")
    socket.create_connection((target.hostname, target.port), _CONNECT_SECONDS).close()


def _cluster_here(address: Address) -> str:
    """Return the address of the cluster that this machine belongs to; of several, the newest.

    A Ray that a run has started for itself does not count: it stops with that run.

    Raises:
        ConfigError: When there is none, or it is not known which of several is the newest.
    """
    found, private = set(), False
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] != "raylet":
            continue
        arguments = " ".join(process.info["cmdline"] or ()).split()
        if any(FOLDER_PREFIX in argument for argument in arguments):
            private = True
            continue
        found |= {a.removeprefix(_ADDRESS_FLAG) for a in arguments if a.startswith(_ADDRESS_FLAG)}
    recorded = read_ray_address()  # of the last `ray start`
    if len(found) == 1 or recorded in found:
        return found.pop() if len(found) == 1 else recorded
    if found:
        raise ConfigError(
            f"{address}: this machine belongs to several clusters, {', '.join(sorted(found))}; "
            "set ray.address to one of them"
        )
    other = "; the one that another run has started for itself is not joined" if private else ""
    raise ConfigError(f"{address}: no Ray cluster runs on this machine{other}; {_HERE}")
