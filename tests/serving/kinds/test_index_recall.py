"""Lists that an index finds, and the measured share of the best items that they miss."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from conf.errors import ConfigError, GateError
from conf.runs.stages import run_score
from serving.kinds.index_recall import index_counts
from serving.kinds.prepared import Source, prepared
from serving.publishing.parts import read_item_ids
from serving.ranking import approximate
from serving.ranking.rankers import NetworkRanker
from serving.scoring.list_model import load_model
from tests.serving.tiny_shop import tiny_config, write_dataset, write_model

ITEMS, USERS = 400, 60


def histories() -> list[list[int]]:
    rng = np.random.default_rng(5)
    return [rng.integers(2, ITEMS + 2, 6).tolist() for _ in range(USERS)]


def lists_of(workspace: Path, *overrides: str) -> tuple[dict[str, list[str]], dict[str, Any]]:
    folder = Path(run_score(tiny_config(workspace, *overrides))["folder"])
    table = pq.ParquetDataset(sorted(folder.glob("part-*.parquet"))).read().to_pandas()
    found = table.sort_values("position").groupby("user_id").item_id.apply(list)
    return found.to_dict(), json.loads((folder / "lists.json").read_text())


def test_all_lists_that_an_index_finds_are_measured_with_one_index(tmp_path: Path) -> None:
    """Where scores change, or more items are asked for than it gives, the search is exact."""
    scenarios = (
        "cart: {list_length: 9, rules: {where: {all: 'true'}}}", "home: {drop_seen: false}",
        "boosted: {rules: {boosts: {all: {times: 2}}}}", "cut: {rules: {least_score: 0.1}}",
        f"long: {{list_length: {approximate.MOST_FOUND + 1}}}",
    )  # fmt: skip
    manifest = write_dataset(tmp_path, histories(), items=ITEMS)
    config = tiny_config(tmp_path, "score.index={lists: 20, probes: 4}",
                         f"score.scenarios={{{', '.join(scenarios)}}}")  # fmt: skip
    model = load_model(tmp_path, write_model(config, manifest), manifest)
    ids = read_item_ids(tmp_path / "datasets" / manifest.id, manifest)
    source = Source(config, manifest, model, ids, {}, {})

    counts = [index_counts(source, one) for one in prepared(source, (), {})]

    assert [one["index_best_items"] for one in counts] == [
        4 * USERS, 9 * USERS, 4 * USERS, None, None, None,
    ]  # fmt: skip
    assert isinstance(source.ranker, NetworkRanker)
    assert all(one.find is source.ranker.whole for one in source.ranker.shelves.values())


@pytest.mark.usefixtures("shared_ray")
def test_what_an_index_misses_is_measured_and_judged(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, histories(), items=ITEMS)
    write_model(tiny_config(tmp_path), manifest)
    sized = ("score.list_length=10", f"score.gates.recall_users={USERS}")

    exact, told = lists_of(tmp_path, *sized)
    assert told["counts"]["index_users"] is None
    assert told["figures"]["index_recall"] is None
    all_of_it, told = lists_of(tmp_path, *sized, "score.index={lists: 20, probes: 20}")
    assert all_of_it == exact
    assert told["figures"]["index_recall"] == 1

    some, told = lists_of(tmp_path, *sized, "score.index={lists: 20, probes: 4}")
    kept = sum(len({*some[user]} & {*items}) for user, items in exact.items())
    counts = told["counts"]
    assert counts["index_users"] == USERS
    assert counts["index_best_items"] == sum(map(len, exact.values()))
    assert counts["index_found_items"] == kept < counts["index_best_items"]
    with pytest.raises(GateError, match=r"with score\.index"):
        lists_of(tmp_path, *sized, "score.index={lists: 20, probes: 4}",
                 "score.gates.index_recall.refuse_below=0.999")  # fmt: skip


def test_an_index_without_its_library_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "find_spec", lambda _: None)
    manifest = write_dataset(tmp_path, histories()[:3], items=ITEMS)
    write_model(tiny_config(tmp_path), manifest)
    with pytest.raises(ConfigError, match=r"install headrace\[index\]"):
        run_score(tiny_config(tmp_path, "score.index={}"))
