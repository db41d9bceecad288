"""On one machine, nothing that a stage starts can be reached from outside."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.end2end.conftest import CHECKOUT, Shop, command, make_shop
from tests.listening import is_loopback, listening

EXPECTED = {"etl": {"java"}, "train": {"gcs_server", "raylet"}, "score": {"gcs_server", "raylet"}}
POLL_SECONDS = 0.2


def seen_during(shop: Shop, stage: str) -> set[tuple[str, str]]:
    """Return process and address of all sockets that listen at some time during a stage."""
    seen: set[tuple[str, str]] = set()
    with subprocess.Popen(
        command(*shop.arguments(stage, "--json")), cwd=CHECKOUT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while process.poll() is None:
            seen |= listening(process.pid)
            time.sleep(POLL_SECONDS)
    assert process.returncode == 0
    return seen


@pytest.mark.slow
def test_all_that_a_stage_starts_listens_on_loopback_only(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, ["train.workers=2", "score.workers=2"])
    for stage, expected in EXPECTED.items():
        seen = seen_during(shop, stage)
        assert expected <= {name for name, _ in seen}, stage
        assert not {one for one in seen if not is_loopback(one[1])}, stage
