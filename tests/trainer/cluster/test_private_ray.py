"""A Ray that is started for one run: loopback, token, folder, priority, and who may join it."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import ray

from conf.errors import ConfigError
from conf.settings.config import Config
from conf.settings.load import load_config
from tests.listening import is_loopback, listening
from tests.packaging.checkout import CHECKOUT
from trainer.cluster.private_ray import private_folder
from trainer.cluster.ray_room import require_room_for_objects
from trainer.cluster.ray_session import ray_session

JOIN = """
import json, os, sys
from pathlib import Path
from conf.errors import HeadraceError
from conf.settings.load import load_config
from trainer.cluster.ray_session import ray_session
config = load_config(Path("conf/demo.yaml"), sys.argv[2:])
for variables in json.loads(sys.argv[1]):
    os.environ.update(variables)
    try:
        with ray_session(config):
            print("joined")
    except HeadraceError as error:
        print(error.exit_code, error)
    for name in variables:
        del os.environ[name]
"""


def configured(*overrides: str) -> Config:
    path = Path(CHECKOUT) / "conf/demo.yaml"
    return load_config(path, ["ray.object_store_mib=100", "ray.num_cpus=1", *overrides])


def join(address: str, *overrides: str, **variables: str) -> str:
    """Return what another process sees that opens a session."""
    return _join([{}], f"ray.address={address}", *overrides, **variables)


def refusals(name: str, values: Sequence[object]) -> list[str]:
    """Return what another process sees that opens a session for each value of a variable."""
    told = _join([{name: str(value)} for value in values], "ray.address=null").splitlines()
    assert len(told) == len(values), told
    return told


def _join(each: Sequence[Mapping[str, str]], *overrides: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", JOIN, json.dumps(each), *overrides],
        cwd=CHECKOUT, env={**os.environ, **variables}, text=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder of a Ray that is started although the environment wants one without a token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_AUTH_TOKEN", "a token of somebody else")
        patch.setenv("RAY_worker_niceness", "7")
        patch.delenv("OMP_WAIT_POLICY", raising=False)
        with ray_session(configured()):
            found = private_folder()
            assert found is not None
            yield found
        assert not found.exists()
        assert os.environ["RAY_AUTH_MODE"] == "disabled"
        assert "RAY_AUTH_TOKEN_PATH" not in os.environ


@ray.remote
def _niceness_and_variables() -> tuple[int, dict[str, str]]:
    return os.nice(0), dict(os.environ)


def test_all_of_a_private_ray_listens_on_loopback_only(folder: Path) -> None:
    ray.get(_niceness_and_variables.remote())  # a worker runs too
    found = listening(os.getpid())
    assert {"gcs_server", "raylet"} <= {name for name, _ in found}
    assert not {one for one in found if not is_loopback(one[1])}


def test_the_token_of_a_private_ray_is_in_a_file_that_only_its_user_reads(folder: Path) -> None:
    token = folder / "token"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    _, variables = ray.get(_niceness_and_variables.remote())
    assert token.read_text() not in variables.values()
    assert variables["RAY_AUTH_MODE"] == "token"


def test_workers_of_a_private_ray_have_the_priority_of_the_command(folder: Path) -> None:
    niceness, variables = ray.get(_niceness_and_variables.remote())
    assert niceness == os.nice(0)
    assert variables["OMP_WAIT_POLICY"] == "PASSIVE"  # and their threads take no time to wait


def test_nobody_joins_a_private_ray_without_its_token(folder: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    for variables in ({"RAY_AUTH_MODE": "disabled"},
                      {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64,
                       "RAY_AUTH_TOKEN_PATH": ""}):  # fmt: skip
        assert "refuses the token of this process" in join(address, **variables)


def test_auto_does_not_join_the_ray_of_another_run(folder: Path) -> None:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    address = ray.get_runtime_context().gcs_address
    assert join(address, **token).startswith("joined")  # it could be joined
    for told in (join("auto", **token), join("null", RAY_ADDRESS="auto", **token)):
        assert not told.startswith("joined"), told
        assert address not in told


def test_a_ray_that_does_not_start_in_time_is_one_message(tmp_path: Path) -> None:
    told = join("null", "ray.start_timeout_seconds=1")
    assert told.startswith("75 Ray did not start on this machine: its node "), told
    line = told.splitlines()[0]
    assert "load " in line and "raise ray.start_timeout_seconds=1" in line


PLACES = {
    "missing": "Ray cannot write to {}: No such file or directory",
    "a-file": "Ray cannot write to {}: Not a directory",
    "l" * 80: "{} is too long for Ray, whose sockets have paths of at most 107 bytes",
}


def test_a_folder_that_ray_cannot_use_is_named(tmp_path: Path) -> None:
    places = [tmp_path / name for name in PLACES]
    places[1].touch()
    places[2].mkdir()
    told = refusals("RAY_TMPDIR", places)
    for place, line in zip(places, told, strict=True):
        assert line.startswith(f"2 {PLACES[place.name].format(place)}; "), line
        assert "name another folder in the variable RAY_TMPDIR" in line


SIZES = {
    "10": "ray.object_store_mib=10: Ray needs at least 75",
    "99999999": "ray.object_store_mib=99999999 is more than the [0-9]+ MiB of memory",
}


@pytest.mark.parametrize("size", SIZES)
def test_an_object_store_that_ray_cannot_make_is_refused_before_it_starts(size: str) -> None:
    config = load_config(Path(CHECKOUT) / "conf/demo.yaml", [f"ray.object_store_mib={size}"])
    with pytest.raises(ConfigError, match=SIZES[size]):
        require_room_for_objects(config.ray.object_store_mib)


def test_what_is_no_address_of_a_cluster_is_refused() -> None:
    addresses = ["http://127.0.0.1:8265", "somewhere", "127.0.0.1:port"]
    for address, line in zip(addresses, refusals("RAY_ADDRESS", addresses), strict=True):
        assert line.startswith(f"2 RAY_ADDRESS={address!r} is no address of a Ray cluster"), line


DIES = """
import sys, time
from pathlib import Path
import psutil
from conf.command.running import run_command
from trainer.cluster.ray_session import ray_session

def work(config):
    with ray_session(config):
        for process in psutil.Process().children(recursive=True):
            if process.name() == "raylet":
                process.kill()
        time.sleep(60)

run_command(Path("conf/demo.yaml"), sys.argv[1:], False, False, work)
"""


@pytest.mark.slow
def test_a_ray_that_dies_in_the_middle_is_one_message() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES, "ray.object_store_mib=100", "ray.num_cpus=1"],
        cwd=CHECKOUT, text=True, capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("headrace: ")]
    assert len(told) == 1
    assert told[0].startswith("headrace: Ray's process raylet ended in the middle of the run; load")
