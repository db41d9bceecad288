"""`headrace tune` killed in the middle of a trial, and its configuration trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end2end.accidents.test_kills import kill_family, some, start, wait_for
from tests.end2end.conftest import Shop, headrace
from tests.trainer.small_parts import write_config, write_dataset

ITEMS = 12
TRAIN = [[2 + (user + step) % ITEMS for step in range(6)] for user in range(60)]
NEXT = [2 + (user + 6) % ITEMS for user in range(60)]
SETTINGS = (
    "train.batch_rows=4", "train.epochs=4", "train.optimizer.warmup_steps=0", "train.metric=hr@1",
    "tune.pruning.kind=none", "tune.trials=3",
    "tune.space={optimizer.learning_rate: {low: 0.0001, high: 0.03, log: true}}",
)  # fmt: skip


class SmallShop(Shop):
    """A workspace with a small dataset in it."""

    def arguments(self, name: str, *more: str) -> list[str]:
        return [name, "--config", str(self.workspace / "run.yaml"), *self.overrides, *more]


def finished(workspace: Path) -> list[dict[str, Any]]:
    """Return the outcomes that a search has told so far."""
    for journal in workspace.glob("tuning/*/journal.log"):
        entries = [json.loads(line) for line in journal.read_text().splitlines()]
        outcomes = {e["trial_id"]: e["user_attr"]["outcome"] for e in entries if "user_attr" in e}
        return [outcomes[e["trial_id"]] for e in entries if e.get("state") in (1, 2)]
    return []


def half_done(workspace: Path) -> list[str]:
    """Return the folders of trials that have a checkpoint and have told nothing."""
    told = {f"trial-{outcome['section'][:12]}" for outcome in finished(workspace)}
    there = {path.parent.name for path in workspace.glob("models/.work-*/trial-*/*.pt")}
    return sorted(there - told)


@pytest.mark.slow
@pytest.mark.timeout(5000)
def test_a_search_killed_in_a_trial_goes_on_with_it(tmp_path: Path) -> None:
    write_dataset(tmp_path, TRAIN, NEXT, NEXT, items=ITEMS)
    write_config(tmp_path)
    shop = SmallShop(tmp_path, tmp_path, SETTINGS)
    process = start(shop, "tune")
    wait_for(
        process,
        lambda: len(finished(tmp_path)) == 1 and half_done(tmp_path) != [],
        patience_seconds=2000,
    )
    kill_family(process)
    first, half = finished(tmp_path), half_done(tmp_path)
    assert len(first) == 1

    best = tmp_path / "best.yaml"
    found = shop.run("tune", f"--output={best}", timeout=2000)

    whole = finished(tmp_path)
    assert whole[0] == first[0] and len(whole) == len(found["trials"]) == 3
    assert len({outcome["section"] for outcome in whole}) == 3
    assert half == [f"trial-{whole[1]['section'][:12]}"]  # taken up where it was
    assert all(len(outcome["curve"]) == 4 for outcome in whole)
    assert not some(tmp_path / "models", ".work-*")

    trained = json.loads(headrace("train", "--config", str(best), "--json", timeout=2000).stdout)
    assert trained["metrics"]["valid"]["hr@1"] == found["best"]["value"]
    again = shop.run("tune")
    assert again["trials"] == found["trials"]
