"""The whole line on a log of three users who all did the same, and what it says of less."""

import json
from pathlib import Path

import pytest

from tests.end2end.conftest import headrace
from tests.strict_json import strict_json

pytestmark = pytest.mark.slow
START = 1_772_323_200  # 2026-03-01T00:00:00Z
CONFIG = """
run: {{name: tiny, output: "{root}/workspace"}}
input: {{root: "{root}", events: {{log: {{paths: [log.csv], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
spark: {{master: "local[1]", driver_memory: 1g, shuffle_partitions: 1}}
ray: {{num_cpus: 2, object_store_mib: 100}}
train: {{algorithm: markov}}
score: {{list_length: 1}}
"""


def write_run(root: Path, users: int, items: int) -> list[str]:
    """Write a log in which all users have the same items, one a minute; return arguments."""
    rows = [
        f"u{user},i{item},{START + 60 * item}" for user in range(users) for item in range(items)
    ]
    (root / "log.csv").write_text("\n".join(["user_id,item_id,time", *rows]) + "\n")
    (root / "run.yaml").write_text(CONFIG.format(root=root))
    return ["--config", str(root / "run.yaml")]


def test_three_users_with_the_same_four_items(tmp_path: Path) -> None:
    """The last two items are new when they are held out, and nothing else is left to recommend."""
    config = write_run(tmp_path, users=3, items=4)

    refused = headrace("run", *config, exit_code=5)
    done = headrace("run", "--json", *config, "score.drop_seen=false")

    assert "full_lists: 0 of 3 users" in refused.stderr
    for shown in ("ledger: where every row went", "test part, all items ranked", "gates of the"):
        assert shown in refused.stdout  # what led to the refusal
    result = json.loads(done.stdout)
    metrics = strict_json(Path(result["train"]["folder"]) / "metrics.json")
    assert set(metrics["test"]["model"].values()) == {0.0}  # nobody knows the new items
    assert result["score"]["counts"]["model_lists"] == 3
    for models in (tmp_path / "workspace/models").glob("*/card.html"):
        assert "None" not in models.read_text()


def test_one_event_says_what_a_network_lacks(tmp_path: Path) -> None:
    config = write_run(tmp_path, users=1, items=1)

    done = headrace("run", *config, "train.algorithm=neural", exit_code=3)

    assert "ledger: where every row went" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("headrace:")]
    assert "no user has two events in the training part; give a longer log" in line
    assert "Traceback" not in done.stderr
