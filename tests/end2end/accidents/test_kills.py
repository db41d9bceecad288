"""Kill -9 at every stage: what was current stays, and the next run completes."""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end2end.conftest import CHECKOUT, Shop, command, make_shop, pointer
from trainer.training.checkpoint import load_checkpoint, save_checkpoint

MANY_PARTS = ("etl.row_group_rows=20", "score.block_users=8")
LONG_TRAINING = ("train.epochs=6", "train.shuffle_block_rows=20", "train.batch_rows=4")
PATIENCE_SECONDS = 240
MARK_SECONDS = 1e6
"""Longer than any epoch, so it shows in which training a checkpoint ended."""


def start(shop: Shop, name: str = "run") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(*shop.arguments(name, "--json")),
        cwd=CHECKOUT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(
    process: subprocess.Popen[Any],
    happened: Callable[[], bool],
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Return as soon as it has happened; fail if the process ends before."""
    deadline = time.monotonic() + patience_seconds
    while not happened():
        assert process.poll() is None, "the process ended before the moment came"
        assert time.monotonic() < deadline
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started, at once."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


def some(folder: Path, pattern: str) -> bool:
    return folder.is_dir() and next(folder.glob(pattern), None) is not None


def check_completes(shop: Shop, before: dict[str, object]) -> None:
    for kind, was in before.items():
        assert pointer(shop.workspace, kind) == was
    result = shop.run("run")
    for stage, kind in (("etl", "datasets"), ("train", "models"), ("score", "lists")):
        current = pointer(shop.workspace, kind)
        assert current is not None and current["id"] == result[stage]["id"]


def pointers(shop: Shop) -> dict[str, object]:
    return {kind: pointer(shop.workspace, kind) for kind in ("datasets", "models", "lists")}


@pytest.mark.slow
def test_the_etl_killed_half_way(tmp_path: Path) -> None:
    shop = make_shop(tmp_path)
    before = pointers(shop)
    process = start(shop)
    wait_for(process, lambda: some(shop.workspace / "datasets", ".work-*/**/*.parquet"))
    kill_family(process)

    check_completes(shop, before)


def mark_newest_checkpoint(shop: Shop) -> None:
    """Add `MARK_SECONDS` to the training time in the newest checkpoint, and to nothing else."""
    (work,) = (shop.workspace / "models").glob(".work-*")
    state = load_checkpoint(work)
    assert state is not None and not state["cursor"]["finished"]
    state["cursor"]["seconds"] += MARK_SECONDS
    newest = max(path for path in work.glob("*.pt") if path.with_suffix(".json").exists())
    save_checkpoint(work, int(newest.stem), state)


def check_resumed(shop: Shop) -> None:
    """Check that a training went on from the marked checkpoint, and counted each row once."""
    (metrics,) = (shop.workspace / "models").glob("*/metrics.json")
    epochs = json.loads(metrics.read_text())["epochs"]
    assert [record["seconds"] > MARK_SECONDS for record in epochs].count(True) == 1
    assert [record["epoch"] for record in epochs] == list(range(6))
    assert len({record["rows"] for record in epochs}) == 1


def weights_of(shop: Shop) -> bytes:
    (weights,) = (shop.workspace / "models").glob("*/weights.safetensors")
    return weights.read_bytes()


def train_with_a_killed_worker(shop: Shop) -> Shop:
    """Kill one of two workers after a checkpoint, which is marked meanwhile."""
    shop = shop.at(shop.workspace, *LONG_TRAINING, "train.workers=2")
    process = start(shop, "train")
    wait_for(process, lambda: some(shop.workspace / "models", ".work-*/[0-9]*.json"))
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "RayTrainWorker" in " ".join(child.cmdline())
    ]
    assert len(workers) == 2
    for worker in workers:
        worker.suspend()
    mark_newest_checkpoint(shop)
    workers[0].kill()
    workers[1].resume()
    assert process.wait(timeout=PATIENCE_SECONDS) == 0
    return shop


@pytest.mark.slow
def test_a_training_whose_worker_is_killed_resumes(
    tmp_path: Path, shop_dataset: Callable[[Path], Shop]
) -> None:
    shop = train_with_a_killed_worker(shop_dataset(tmp_path))

    check_resumed(shop)
    assert pointer(shop.workspace, "models") is not None


@pytest.mark.slow
def test_a_killed_worker_changes_no_figure(
    tmp_path: Path, shop_dataset: Callable[[Path], Shop]
) -> None:
    cut = train_with_a_killed_worker(shop_dataset(tmp_path / "cut"))
    whole = shop_dataset(tmp_path / "whole")
    whole = whole.at(whole.workspace, *LONG_TRAINING, "train.workers=2")
    whole.run("train")

    assert weights_of(cut) == weights_of(whole)
    figures = [shop.run("train")["metrics"]["test"] for shop in (cut, whole)]
    assert figures[0] == figures[1]


@pytest.mark.slow
def test_the_training_driver_killed_half_way_goes_on_from_its_checkpoint(
    tmp_path: Path, shop_dataset: Callable[[Path], Shop]
) -> None:
    shop = shop_dataset(tmp_path)
    shop = shop.at(shop.workspace, *LONG_TRAINING)
    before = pointers(shop)
    process = start(shop, "train")
    wait_for(process, lambda: some(shop.workspace / "models", ".work-*/[0-9]*.json"))
    kill_family(process)
    mark_newest_checkpoint(shop)

    check_completes(shop, before)
    check_resumed(shop)


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, shop_dataset: Callable[[Path], Shop]
) -> None:
    whole = shop_dataset(tmp_path / "whole")
    whole = whole.at(whole.workspace, *LONG_TRAINING)
    whole.run("train")
    cut = shop_dataset(tmp_path / "cut")
    cut = cut.at(cut.workspace, *LONG_TRAINING)
    process = start(cut, "train")
    wait_for(process, lambda: some(cut.workspace / "models", ".work-*/[0-9]*.json"))
    kill_family(process)
    mark_newest_checkpoint(cut)
    cut.run("train")

    check_resumed(cut)
    assert weights_of(whole) == weights_of(cut)


@pytest.mark.slow
def test_the_scorer_killed_half_way(tmp_path: Path, shop_dataset: Callable[[Path], Shop]) -> None:
    shop = shop_dataset(tmp_path)
    shop = shop.at(shop.workspace, *MANY_PARTS)
    shop.run("etl")
    shop.run("train")
    before = pointers(shop)
    process = start(shop, "score")
    wait_for(process, lambda: some(shop.workspace / "lists", "*/part-*.parquet"))
    kill_family(process)

    check_completes(shop, before)
