"""Lists on held-out events, against plain Python and on data whose figures are known."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from conf.contract import HISTORY_ITEMS, NUM_RESERVED, RANKER, TARGET_ITEM
from conf.errors import ConfigError, VersionError
from conf.settings.load import load_config
from conf.workspace.parquet import describe_parquet
from conf.workspace.versions import commit
from tests.serving.impression_shop import shop_config, write_ranker, write_shop
from tests.serving.judging.measured import measured, with_model
from tests.trainer.small_parts import ragged, write_config, write_dataset
from trainer.models.bundle import load_scorer

CHANNELS = "score.candidates={near: {from: model, count: 6}, pop: {from: popularity, count: 4}}"


def best(scores: np.ndarray, seen: list[int], count: int) -> list[int]:
    items = [item for item in range(NUM_RESERVED, len(scores)) if item not in seen]
    return sorted(items, key=lambda item: (-scores[item], item))[:count]


def test_figures_and_recall_are_those_of_lists_in_plain_python(tmp_path: Path) -> None:
    manifest = write_shop(tmp_path)
    config = shop_config(tmp_path, "ranker=null", CHANNELS, "train.algorithm=als")
    model = with_model(config, manifest)
    found = measured(config, manifest, model)

    rows = pq.read_table(tmp_path / "datasets/shop/test").to_pylist()
    train = pq.read_table(tmp_path / "datasets/shop/train")[HISTORY_ITEMS].to_pylist()
    counts = np.bincount([item for row in train for item in row], minlength=42)
    histories = [row[HISTORY_ITEMS] for row in rows]
    scores = load_scorer(tmp_path, model)[1].scores(ragged(histories), np.arange(len(rows))).numpy()
    lists: dict[str, list[list[int]]] = {"popularity": [], "model": [], "candidates": []}
    named: dict[str, list[bool]] = {"near": [], "pop": [], "any": []}
    for user, row in enumerate(rows):
        seen, target = row[HISTORY_ITEMS], row[TARGET_ITEM]
        near, pop = best(scores[user], seen, 6), best(counts, seen, 4)
        fused: dict[int, float] = {}
        for items in (near, pop):
            for place, item in enumerate(items):
                fused[item] = fused.get(item, 0.0) + 1 / (61 + place)
        lists["popularity"].append(best(counts, seen, 5))
        lists["model"].append(near[:5])
        lists["candidates"].append(sorted(fused, key=lambda i: (-fused[i], i))[:5])
        for name, items in (("near", near), ("pop", pop), ("any", near + pop)):
            named[name].append(target in items)
    targets = [row[TARGET_ITEM] for row in rows]
    assert list(found["rows"]) == ["popularity", "model", "candidates"]
    hits = {}
    for name, own in lists.items():
        row = found["rows"][name]
        hits[name] = np.array([t in items for t, items in zip(targets, own, strict=True)], float)
        places = [items.index(t) for t, items in zip(targets, own, strict=True) if t in items]
        told = row["figures"]
        assert told["hr@5"] == pytest.approx(hits[name].mean())
        assert told["mrr@5"] == pytest.approx(sum(1 / (p + 1) for p in places) / len(rows))
        assert told["ndcg@5"] == pytest.approx(sum(1 / np.log2(p + 2) for p in places) / len(rows))
        assert row["lists"]["coverage"] == len({i for items in own for i in items}) / 40
    lead = found["rows"]["candidates"]["difference"]["hr@5"]
    assert lead["value"] == pytest.approx((hits["candidates"] - hits["model"]).mean())
    assert lead["low"] <= lead["value"] <= lead["high"]
    assert {name: one["value"] for name, one in found["named"].items()} == pytest.approx(
        {name: np.mean(own) for name, own in named.items()}
    )


def test_rules_are_measured_before_and_after(tmp_path: Path) -> None:
    manifest = write_shop(tmp_path)
    rules = "score.rules={where: {dear: 'item.margin::float > 1'}}"
    config = shop_config(tmp_path, "ranker=null", "train.algorithm=als", rules)
    found = measured(config, manifest, with_model(config, manifest))
    items = pq.read_table(tmp_path / "datasets/shop/items").to_pylist()
    kept = {row["item_idx"] for row in items if row["margin"] is not None and row["margin"] > 1}
    targets = pq.read_table(tmp_path / "datasets/shop/test")[TARGET_ITEM].to_pylist()
    lost = np.mean([target not in kept for target in targets])
    assert 0 < lost < 1
    assert found["excluded"]["score.rules.where.dear"]["value"] == pytest.approx(lost)
    assert list(found["rows"]) == ["popularity", "model", "model + rules"]
    assert found["rows"]["model + rules"]["figures"]["hr@5"] <= 1 - lost
    segments = found["differences"]["popularity"]
    assert sum(one["targets"] for one in segments.values()) == found["targets"] == 60


def test_random_events_are_found_as_often_as_by_chance(tmp_path: Path) -> None:
    rng, users, items, length = np.random.default_rng(5), 3000, 60, 5
    events = np.array([rng.permutation(items)[:8] for _ in range(users)]) + NUM_RESERVED
    manifest = write_dataset(
        tmp_path, events[:, :6].tolist(), events[:, 6].tolist(), events[:, 7].tolist(), items=items
    )
    settings = ("train.algorithm=item_knn", f"score.list_length={length}", "score.reasons=0")
    config = load_config(write_config(tmp_path), [*settings, CHANNELS])
    found = measured(config, manifest, with_model(config, manifest))
    chance = length / (items - 7)
    spread = np.sqrt(chance * (1 - chance) / users)
    for name, row in found["rows"].items():
        assert abs(row["figures"]["hr@5"] - chance) < 4 * spread, name
    lead = found["rows"]["candidates"]["difference"]["hr@5"]
    assert abs(lead["value"]) < 4 * spread * np.sqrt(2)


def test_what_only_held_out_events_tell_is_in_no_list(tmp_path: Path) -> None:
    rng, users = np.random.default_rng(6), 200
    events = np.array([rng.permutation(20)[:6] for _ in range(users)]) + NUM_RESERVED
    planted = 20 + NUM_RESERVED  # everybody's last event, and nobody's before
    manifest = write_dataset(
        tmp_path, events[:, :5].tolist(), events[:, 5].tolist(), [planted] * users, items=21
    )
    channels = (
        "score.candidates={near: {from: model, count: 10}, pop: {from: popularity, count: 10}, "
        "new: {from: recent_popularity, count: 10}}"
    )
    settings = ("train.algorithm=als", "score.list_length=10", "score.reasons=0", channels)
    config = load_config(write_config(tmp_path), settings)
    model = with_model(config, manifest)
    found = measured(config, manifest, model)
    for name in ("popularity", "candidates"):
        assert found["rows"][name]["figures"]["hr@10"] == 0
    assert found["named"]["pop"]["value"] == found["named"]["new"]["value"] == 0


def test_number_of_events_in_rules_is_that_before_the_target(tmp_path: Path) -> None:
    rows = [[2, 3, 4], [3, 2], [4, 5, 2, 3], [2, 3]] * 10
    manifest = write_dataset(tmp_path, rows, [6] * 40, [7] * 40, items=6)
    folder = tmp_path / "datasets/small"
    path = folder / "users/part-00000.parquet"
    table = pq.read_table(path)
    lengths = np.array([len(row) + 2 for row in rows])
    pq.write_table(table.append_column("num_events", [lengths]), path, row_group_size=20)
    files = {**manifest.files, "users": (describe_parquet(folder, path),)}
    manifest = manifest.model_copy(update={"files": files})
    commit(tmp_path, "datasets", manifest)
    rules = "score.rules={where: {few: 'user.num_events <= 4 OR item.train_events < 0'}}"
    settings = ("train.algorithm=als", "score.list_length=3", "score.reasons=0", rules)
    config = load_config(write_config(tmp_path), settings)
    found = measured(config, manifest, with_model(config, manifest))
    # Before the test event users have 4, 3, 5 and 3 events; in the whole log 5, 4, 6 and 4.
    assert found["excluded"]["score.rules.where.few"]["value"] == 0.25


def test_a_ranker_is_measured_with_its_candidates_and_alone(tmp_path: Path) -> None:
    manifest = write_shop(tmp_path)
    config = shop_config(tmp_path, CHANNELS, "train.algorithm=als", "score.context={hour: 3}")
    model, ranker = with_model(config, manifest), write_ranker(config, manifest)
    found = measured(config, manifest, model, {RANKER: ranker})
    both = ["candidates", "candidates + ranker"]
    assert list(found["rows"]) == ["popularity", "model", "ranker alone", *both]
    assert found["context_without_value"] == ["context_device"]
    rows = found["rows"]
    named = found["named"]["any"]["value"]
    assert all(rows[name]["figures"]["hr@5"] <= named for name in both)
    few = config.model_copy(update={"score": config.score.model_copy(update={"max_pairs": 99})})
    assert (
        "score.max_pairs=99"
        in measured(few, manifest, model, {RANKER: ranker})["skipped"]["ranker alone"]
    )


def test_channels_that_count_held_out_events_are_refused(tmp_path: Path) -> None:
    manifest = write_shop(tmp_path)
    plain = shop_config(tmp_path, "ranker=null", "train.algorithm=als")
    model = with_model(plain, manifest)
    refit = shop_config(
        tmp_path, "ranker=null", "train.algorithm=markov", "train.refit=everything", CHANNELS
    )
    with pytest.raises(ConfigError, match=r"score\.candidates\.pop counts the test part too"):
        measured(refit, manifest, model)
    seen = with_model(refit, manifest)
    with pytest.raises(ConfigError, match=r"trained again with train\.refit=everything"):
        measured(plain, manifest, seen)


def test_models_of_another_dataset_are_refused(tmp_path: Path) -> None:
    manifest = write_shop(tmp_path)
    config = shop_config(tmp_path, "ranker=null", "train.algorithm=als")
    other = with_model(config, manifest, trained_on="another")
    with pytest.raises(VersionError, match="was trained on dataset another"):
        measured(config, manifest, other)
