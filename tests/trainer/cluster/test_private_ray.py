"""A Ray that is started for one run: loopback, token, folder, priority, and who may join it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from conf.errors import BusyError, ConfigError
from conf.settings.config import Config
from conf.settings.load import load_config
from tests.listening import is_loopback, listening
from tests.packaging.checkout import CHECKOUT
from trainer.cluster.private_ray import private_folder
from trainer.cluster.ray_session import ray_session

JOIN = """
import logging, sys
from pathlib import Path
from conf.errors import ConfigError
from conf.settings.load import load_config
from trainer.cluster.ray_session import ray_session
try:
    with ray_session(load_config(Path("conf/demo.yaml"), sys.argv[1:])):
        print("joined")
except ConfigError as error:
    print(error)
"""


def configured(*overrides: str) -> Config:
    path = Path(CHECKOUT) / "conf/demo.yaml"
    return load_config(path, ["ray.object_store_mib=100", "ray.num_cpus=1", *overrides])


def join(address: str, **variables: str) -> str:
    """Return what another process sees that joins a cluster."""
    done = subprocess.run(
        [sys.executable, "-c", JOIN, f"ray.address={address}"],
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
    niceness, _ = ray.get(_niceness_and_variables.remote())
    assert niceness == os.nice(0)


def test_nobody_joins_a_private_ray_without_its_token(folder: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    for variables in ({"RAY_AUTH_MODE": "disabled"},
                      {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64,
                       "RAY_AUTH_TOKEN_PATH": ""}):  # fmt: skip
        assert "refuses the token of this process" in join(address, **variables)


def test_auto_does_not_join_the_ray_of_another_run(folder: Path) -> None:
    told = join("auto", RAY_TMPDIR=str(folder))
    assert "no Ray cluster runs on this machine" in told or "several clusters" in told, told
    assert ray.get_runtime_context().gcs_address not in told


def test_a_ray_that_does_not_start_in_time_is_one_message(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ray.is_initialized():
        pytest.skip("needs a process without Ray")  # another file of this process left one
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path)[:40])
    with pytest.raises(BusyError) as caught, ray_session(configured("ray.start_timeout_seconds=1")):
        pytest.fail("it cannot have started")
    told = str(caught.value)
    assert caught.value.exit_code == 75
    assert "ray.start_timeout_seconds=1" in told and "load " in told and "\n" not in told
