"""The ranker orders candidates: by what it predicts, weighed, times what an item is worth."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    MAIN,
    NUM_RESERVED,
    Bundle,
    DataFile,
    ListsManifest,
    Manifest,
)
from conf.errors import ConfigError, InputError, VersionError
from conf.runs.stages import run_score, run_train
from conf.settings.config import Config
from conf.workspace.hashes import hash_file
from conf.workspace.versions import commit, read_manifest
from serving.ranking.objective import item_worth
from tests.serving.impression_shop import shop_config, write_ranker, write_shop
from tests.serving.tiny_shop import read_lists
from tests.trainer.small_parts import ragged
from trainer.prediction.pairs import load_pairs

CANDIDATES = (
    "score.candidates={net: {from: model, count: 9}, "
    "pop: {from: popularity, count: 9, by: country}}"
)
LABELS = "ranker.ranking.labels={click: 1.0, buy: 1.0}"
CPU = torch.device("cpu")

Trained = tuple[Path, Manifest]


@pytest.fixture(scope="module")
def trained(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A shop with a trained main model."""
    workspace = tmp_path_factory.mktemp("trained")
    manifest = write_shop(workspace)
    run_train(shop_config(workspace, "ranker=null"))
    return workspace, manifest


def ready(trained: Trained, workspace: Path, *overrides: str) -> tuple[Config, Manifest, str]:
    """Return a copy of the shop with a ranker of random weights."""
    shutil.copytree(trained[0], workspace, dirs_exist_ok=True)
    config = shop_config(workspace, CANDIDATES, LABELS, *overrides)
    return config, trained[1], write_ranker(config, trained[1])


def lists_of(config: Config) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in read_lists(Path(run_score(config)["folder"])):
        found.setdefault(row["user_id"], []).append(row)
    return found


def test_lists_have_the_candidates_of_highest_value(
    scored_here: None, trained: Trained, tmp_path: Path
) -> None:
    """The values are worked out anew, from the predictions of all pairs."""
    config, manifest, ranker = ready(
        trained, tmp_path, "score.objective={click: 0.3, buy: 1.0}", "score.value=margin",
        "score.context={hour: 20, device: phone}",
    )  # fmt: skip
    unranked = shop_config(tmp_path, CANDIDATES, "ranker=null", "score.list_length=18")
    named = lists_of(unranked)  # all candidates fit

    mine = lists_of(config)

    folder = tmp_path / "datasets/shop"
    rows = pq.read_table(folder / "histories").to_pylist()
    times = np.concatenate([row[HISTORY_TIMES] for row in rows])
    histories = ragged([row[HISTORY_ITEMS] for row in rows])._replace(beside={HISTORY_TIMES: times})
    pairs = load_pairs(tmp_path, ranker, manifest, config.score.context, CPU)
    part = pairs.for_part(histories, np.arange(60) + NUM_RESERVED)
    column = pq.read_table(folder / "items")["margin"].to_pylist()
    margins = dict(zip(range(2, 42), column, strict=True))
    mean = np.mean([margin for margin in margins.values() if margin is not None])
    for user in range(60):
        values = {}
        for row in named[f"u{user}"]:
            item = int(row["item_id"][1:])
            click, buy = part.predictions(np.array([user]), np.array([item]))[0]
            worth = mean if margins[item] is None else margins[item]
            values[item] = (0.3 * click + 1.0 * buy) * worth
        best = sorted(values, key=lambda item: (-values[item], item))[:5]
        assert [row["item_id"] for row in mine[f"u{user}"]] == [f"i{item}" for item in best]
        scores = [row["score"] for row in mine[f"u{user}"]]
        assert scores == pytest.approx([values[item] for item in best], rel=1e-4)


def test_the_lists_name_the_ranker_and_what_it_was_not_told(
    scored_here: None, trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, _, ranker = ready(trained, tmp_path, "score.context.hour=3")
    scored = run_score(config)
    lists = read_manifest(tmp_path, "lists", scored["id"], ListsManifest)
    assert lists.models == {"ranker": ranker}
    assert lists.context_without_value == ("context_device",)
    assert "the ranker takes context_device, of which nothing is known" in caplog.text
    assert all(scored["gates"].values()) and scored["counts"]["model_lists"] == 60
    assert run_score(shop_config(tmp_path, CANDIDATES, LABELS))["id"] != scored["id"]


def test_the_first_label_alone_is_the_default(
    scored_here: None, trained: Trained, tmp_path: Path
) -> None:
    config, _, _ = ready(trained, tmp_path)
    same = shop_config(tmp_path, CANDIDATES, LABELS, "score.objective={click: 1.0}")
    other = shop_config(tmp_path, CANDIDATES, LABELS, "score.objective={buy: 1.0}")
    assert lists_of(config) == lists_of(same) != lists_of(other)


def test_a_ranker_whose_scores_are_not_finite_is_noticed(
    shared_ray: None, trained: Trained, tmp_path: Path
) -> None:
    config, _, ranker = ready(trained, tmp_path)
    path = tmp_path / "models" / ranker / "weights.safetensors"
    weights = load_file(path)
    weights["user_embedding.weight"][5] = torch.nan  # user u3
    save_file(weights, path)
    bundle = read_manifest(tmp_path, "models", ranker, Bundle)
    files = [file for file in bundle.files["model"] if file.path != path.name]
    entry = DataFile(path=path.name, bytes=path.stat().st_size, sha256=hash_file(path), rows=0)
    commit(tmp_path, "models", bundle.model_copy(update={"files": {"model": (entry, *files)}}))

    scored = run_score(config)

    assert (
        scored["fallbacks"] == {"scores_not_finite": 1} and scored["counts"]["unscored_users"] == 1
    )


def test_a_ranker_of_another_dataset_is_refused(
    scored_here: None, trained: Trained, tmp_path: Path
) -> None:
    config, manifest, _ = ready(trained, tmp_path)
    users = manifest.vocabularies["user"].model_copy(update={"fingerprint": "others"})
    other = {**manifest.vocabularies, "user": users}
    commit(tmp_path, "datasets", manifest.model_copy(update={"vocabularies": other}))
    with pytest.raises(VersionError, match="users have other numbers") as raised:
        run_score(config)
    assert raised.value.exit_code == 6


def test_items_without_a_number_count_as_the_mean(tmp_path: Path) -> None:
    manifest = write_shop(tmp_path)
    folder = tmp_path / "datasets/shop"
    worth = item_worth(folder, manifest, "margin")
    known = [1.0 + item % 5 for item in range(40) if item != 3]
    assert worth[2 + 3] == pytest.approx(np.mean(known)) and worth[2 + 4] == 5.0
    with pytest.raises(VersionError, match="no field 'weight' of items"):
        item_worth(folder, manifest, "weight")
    with pytest.raises(InputError, match="no item of dataset shop has a number"):
        item_worth(folder, manifest, "item_id")


def alone(workspace: Path, *overrides: str) -> tuple[Config, Manifest, str]:
    """Return a shop whose main model is a ranking model of random weights."""
    manifest = write_shop(workspace)
    config = shop_config(
        workspace, "ranker=null", "train.algorithm=ranking", "train.metric=auc",
        "train.ranking.interaction=deepfm", *overrides,
    )  # fmt: skip
    return config, manifest, write_ranker(config, manifest, MAIN)


def test_a_ranking_model_alone_orders_the_catalogue(shared_ray: None, tmp_path: Path) -> None:
    config, manifest, model = alone(tmp_path)

    mine = lists_of(config)

    rows = pq.read_table(tmp_path / "datasets/shop/histories").to_pylist()
    times = np.concatenate([row[HISTORY_TIMES] for row in rows])
    histories = ragged([row[HISTORY_ITEMS] for row in rows])._replace(beside={HISTORY_TIMES: times})
    pairs = load_pairs(tmp_path, model, manifest, {}, CPU)
    part = pairs.for_part(histories, np.arange(60) + NUM_RESERVED)
    for user, row in enumerate(rows):
        items = np.array([item for item in range(2, 42) if item not in row[HISTORY_ITEMS]])
        values = part.predictions(np.full(len(items), user), items)[:, 0]
        best = items[np.lexsort((items, -values))][:5]
        assert [one["item_id"] for one in mine[f"u{user}"]] == [f"i{item}" for item in best]
    (first,) = {one["reasons"] is None and "channels" not in one for one in mine["u0"]}
    assert first  # nothing to explain with, and no channels


def test_a_catalogue_that_is_too_large_needs_candidates(scored_here: None, tmp_path: Path) -> None:
    config, _, _ = alone(tmp_path, "score.max_pairs=2399")
    with pytest.raises(ConfigError, match=r"60 users times 40 items, 2,400 pairs.*max_pairs=2,399"):
        run_score(config)
    channel = "score.candidates={near: {from: popularity, count: 6}}"
    counted = shop_config(
        tmp_path, "ranker=null", "train.algorithm=ranking", "train.metric=auc", channel,
        "train.ranking.interaction=deepfm", "score.max_pairs=1",
    )  # fmt: skip
    scored = run_score(counted)
    assert all(scored["gates"].values()) and scored["counts"]["unexplained"] == 0
    assert {tuple(row["channels"]) for row in read_lists(Path(scored["folder"]))} == {("near",)}
    lists = read_manifest(tmp_path, "lists", scored["id"], ListsManifest)
    assert lists.models == {} and lists.channels["near"] == scored["counts"]["rows"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["score.candidates={m: {from: model, count: 9}}"],
            r"from is 'model', but train\.algorithm",
        ),
        (["ranker={}"], r"ranker is set, but train\.algorithm is 'ranking'"),
    ],
)
def test_a_ranking_model_alone_has_no_candidates_of_its_own(
    tmp_path: Path, overrides: list[str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        shop_config(
            tmp_path, "ranker=null", "train.algorithm=ranking", "train.metric=auc", *overrides
        )


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "score.objective.buy=1",
            r"objective\.buy is no label of the ranker, which learns click",
        ),
        ("score.value=weight", r"score\.value='weight' is no field of input\.items: margin"),
        ("score.context.town=x", r"score\.context\.town is no field of etl\.features\.events"),
        ("score.context.hour=24", r"score\.context\.hour=24 is no whole number from 0 to 23"),
        ("score.context.weekday=-1", r"from 0 to 6"),
    ],
)
def test_what_the_ranker_cannot_be_told_is_refused(
    tmp_path: Path, override: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        shop_config(tmp_path, override)


@pytest.mark.parametrize("key", ["objective={click: 1.0}", "value=margin", "context.hour=3"])
def test_without_a_ranker_its_settings_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="is for a ranker, but there is none"):
        shop_config(tmp_path, "ranker=null", f"score.{key}")
