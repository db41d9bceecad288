"""Signals in every stage: the exit code, one line, nothing left, and it goes on."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.end2end.accidents.test_kills import LONG_TRAINING, MANY_PARTS, some, wait_for
from tests.end2end.conftest import CHECKOUT, Shop, command, make_shop

MOMENTS = {
    "etl": ("datasets", ".work-*/**/*.parquet"),
    "train": ("models", ".work-*/*.pt"),
    "score": ("lists", "*/*.parquet"),
}
SLOW = pytest.mark.slow


def start(shop: Shop, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(*shop.arguments(name, "--json")), cwd=CHECKOUT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "number", "to_group"),
    [
        pytest.param("etl", signal.SIGTERM, True, marks=SLOW),
        pytest.param("etl", signal.SIGTERM, False, marks=SLOW),
        pytest.param("etl", signal.SIGINT, True, marks=SLOW),
        pytest.param("train", signal.SIGTERM, False, marks=SLOW),
        pytest.param("train", signal.SIGTERM, True, marks=SLOW),
        pytest.param("train", signal.SIGINT, False, marks=SLOW),
        pytest.param("score", signal.SIGTERM, False, marks=SLOW),
        pytest.param("score", signal.SIGTERM, True, marks=SLOW),
        pytest.param("score", signal.SIGINT, False, marks=SLOW),
        pytest.param("score", signal.SIGINT, True, marks=SLOW),
        pytest.param("train", signal.SIGHUP, True, marks=SLOW),
        pytest.param("etl", signal.SIGHUP, False, marks=SLOW),
    ],
)
def test_a_signal_stops_a_stage_cleanly(
    tmp_path: Path,
    shop_dataset: Callable[[Path], Shop],
    stage: str,
    number: signal.Signals,
    to_group: bool,
) -> None:
    shop = make_shop(tmp_path) if stage == "etl" else shop_dataset(tmp_path)
    shop = shop.at(shop.workspace, *MANY_PARTS)
    if stage == "train":
        shop = shop.at(shop.workspace, *LONG_TRAINING, "train.epochs=40")
    if stage == "score":
        shop.run("train")
    process = start(shop, stage)
    kind, pattern = MOMENTS[stage]
    wait_for(process, lambda: some(shop.workspace / kind, pattern))
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    _stop(process, number, family, to_group=to_group)
    # The lock is free, and the same command goes on.
    if stage != "train":
        assert shop.run(stage)["status"] == "done"


def _stop(
    process: "subprocess.Popen[str]",
    number: signal.Signals,
    family: list[psutil.Process],
    *,
    to_group: bool = False,
) -> None:
    """Send the signal; check exit code, output, and that nothing of the family is left."""
    if to_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)

    out, told = process.communicate(timeout=120)
    assert process.returncode == 128 + number, told
    assert out == ""
    assert told.splitlines()[-1].startswith(f"headrace: stopped by {number.name}; "), told
    assert "Traceback" not in told, told
    deadline = time.monotonic() + 30
    while left := [one for one in family if _runs(one)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


STARTING = {"etl": "java", "train": "gcs_server"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STARTING)
def test_a_signal_while_an_engine_starts_stops_the_stage_cleanly(
    tmp_path: Path, shop_dataset: Callable[[Path], Shop], stage: str
) -> None:
    shop = make_shop(tmp_path) if stage == "etl" else shop_dataset(tmp_path)
    process = start(shop, stage)
    family: list[psutil.Process] = []

    def starts() -> bool:
        family[:] = psutil.Process(process.pid).children(recursive=True)
        return any(STARTING[stage] in one.name() for one in family)

    wait_for(process, starts)
    _stop(process, signal.SIGTERM, family)
