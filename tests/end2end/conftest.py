import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.checkout import CHECKOUT

DATA = CHECKOUT.parent / "shared" / "data"

SMALL_SHOP = [
    "generate.num_users=300",
    "generate.num_items=120",
    "generate.num_events=9000",
    "generate.num_days=20",
    "generate.bot_events=600",
    "etl.clean.max_events_per_user_day=400",
]
QUICK_TRAINING = [
    "train.epochs=2",
    "train.gate=warn",
    "train.model.width=16",
    "train.model.blocks=1",
    "train.model.heads=1",
    "train.batch_rows=64",
    "ray.object_store_mib=150",
    "train.cpus_per_worker=1",
    "train.precision=fp32",
]


FINISHED = ["train.workers=2", "train.cpus_per_worker=auto", "train.precision=auto"]


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "conf.command.cli", *args]


def headrace(
    *args: str, exit_code: int = 0, env: dict[str, str] | None = None, timeout: float = 540
) -> subprocess.CompletedProcess[str]:
    """Run the real command and check how it ended."""
    done = subprocess.run(
        command(*args),
        cwd=CHECKOUT,
        text=True,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == exit_code, done.stderr[-4000:] + done.stdout[-1000:]
    return done


@dataclass(frozen=True)
class Shop:
    """A small generated shop: its log and how to run on it."""

    log: Path
    workspace: Path
    overrides: tuple[str, ...]

    def arguments(self, name: str, *more: str) -> list[str]:
        return [name, "--config", "conf/demo.yaml", *self.overrides, *more]

    def run(self, name: str, *more: str, **options: Any) -> dict[str, Any]:
        """Run a subcommand and return its JSON result."""
        done = headrace(*self.arguments(name, "--json", *more), **options)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def at(self, workspace: Path, *more: str) -> "Shop":
        """Return the same log with another workspace and further overrides."""
        overrides = [o for o in self.overrides if not o.startswith("run.output=")]
        return Shop(self.log, workspace, (*overrides, f"run.output={workspace}", *more))


def make_shop(folder: Path, more: Sequence[str] = ()) -> Shop:
    overrides = [
        *SMALL_SHOP,
        *QUICK_TRAINING,
        *more,
        f"input.root={folder / 'log'}",
        f"run.output={folder / 'workspace'}",
    ]
    shop = Shop(folder / "log", folder / "workspace", tuple(overrides))
    shop.run("generate")
    return shop


@pytest.fixture(scope="session")
def finished_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, dict[str, Any]]:
    """A shop whose whole line ran once, with two workers, and the result of the run."""
    shop = make_shop(tmp_path_factory.mktemp("shop"), FINISHED)
    return shop, shop.run("run")


@pytest.fixture(scope="session")
def shop_dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Shop]:
    """Give each test a workspace of its own with a dataset already in it."""
    import shutil

    original = make_shop(tmp_path_factory.mktemp("dataset"))
    original.run("etl")

    def copy(folder: Path) -> Shop:
        shutil.copytree(original.workspace, folder / "workspace")
        return original.at(folder / "workspace")

    return copy


@pytest.fixture(scope="module", autouse=True)
def _own_ray(without_ray: None) -> None:
    """Commands start the Ray that they need."""


def pointer(workspace: Path, kind: str) -> dict[str, Any] | None:
    path = workspace / kind / "CURRENT.json"
    return json.loads(path.read_text()) if path.exists() else None
