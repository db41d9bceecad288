"""Pairs at the end of a dataset: each field against what it must be, row by row."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from conf.contract import (
    GAP,
    HISTORY_ITEMS,
    HISTORY_TIMES,
    ITEM_COUNTS,
    ITEM_IDX,
    NUM_BEFORE,
    NUM_RESERVED,
    Feature,
    Manifest,
    Vocabulary,
)
from conf.errors import ConfigError, VersionError
from conf.settings.config import Config
from conf.workspace.json_files import write_json
from conf.workspace.parquet import describe_parquet
from tests.serving.impression_shop import FIRST_DEVICE, shop_config, write_ranker, write_shop
from tests.trainer.small_parts import ragged
from trainer.data.columns import Ragged
from trainer.networks.fields import FieldSpec
from trainer.networks.inputs import RankingBatch
from trainer.prediction.context import context_at_end
from trainer.prediction.pairs import PairModel, load_pairs, undrawn
from trainer.ranking.calibration import Calibration, sigmoid

CPU = torch.device("cpu")
GIVEN = {"device": "desk", "hour": 20}
USERS = 60


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Config, Manifest]:
    return shop_config(tmp_path), write_shop(tmp_path)


def loaded(shop: tuple[Config, Manifest], given: Any = GIVEN, **ranking: Any) -> PairModel:
    config, manifest = shop
    model = write_ranker(config, manifest, **ranking)
    return load_pairs(Path(config.run.output), model, manifest, given, CPU)


def histories_in(config: Config) -> Ragged:
    rows = pq.read_table(Path(config.run.output) / "datasets/shop/histories").to_pylist()
    times = np.concatenate([row[HISTORY_TIMES] for row in rows])
    return ragged([row[HISTORY_ITEMS] for row in rows])._replace(beside={HISTORY_TIMES: times})


@pytest.mark.parametrize("history", ["none", "mean", "target_attention"])
def test_a_pair_is_scored_as_a_row_written_out_by_hand(
    shop: tuple[Config, Manifest], history: str
) -> None:
    pairs, histories = loaded(shop, history=history, history_length=5), histories_in(shop[0])
    rng = np.random.default_rng(1)
    rows, items = rng.integers(0, USERS, 40), rng.integers(2, 42, 40)

    found = pairs.for_part(histories, np.arange(USERS) + NUM_RESERVED).predictions(rows, items)

    for pair, (row, item) in enumerate(zip(rows, items, strict=True)):
        past = histories.values[histories.offsets[row] : histories.offsets[row + 1]].tolist()
        newest = past[-5:] if history != "none" else []
        batch = RankingBatch(
            torch.tensor([row + NUM_RESERVED]), torch.tensor([item]),
            torch.tensor([newest], dtype=torch.int32),
            torch.tensor([[20 + 2, FIRST_DEVICE + 1]], dtype=torch.int32),
            torch.zeros((1, 0, 1), dtype=torch.int32),
            torch.tensor([[np.log1p(len(past)), 1.0]], dtype=torch.float32),
            torch.zeros((1, 1)), torch.zeros(1), torch.ones(1),
        )  # fmt: skip
        with torch.no_grad():
            logit = float(pairs.model(batch)[0, 0])
        assert found[pair, 0] == pytest.approx(1 / (1 + np.exp(-0.5 * logit)), abs=1e-6)


def test_fields_of_which_nothing_is_known_are_named_and_missing(
    shop: tuple[Config, Manifest],
) -> None:
    pairs = loaded(shop, given={})
    assert pairs.context.without_value == ("hour", "context_device")
    values = pairs.context.for_part(histories_in(shop[0])).values(*[np.array([2])] * 3)
    assert values.categorical.tolist() == [[1, 0]]  # no such hour was seen; no device


def test_given_fields_have_a_value(shop: tuple[Config, Manifest]) -> None:
    assert loaded(shop).context.without_value == ()


def test_a_history_gives_the_events_before_and_the_gap(shop: tuple[Config, Manifest]) -> None:
    """The newest event of all is at day 10; the last one of the user at day 9."""
    config, manifest = shop
    day = 86_400 * 10**6
    histories = ragged([[2, 3], [], [5]])._replace(
        beside={HISTORY_TIMES: np.array([8 * day, 9 * day, 10 * day])}
    )
    features = (
        Feature(name=NUM_BEFORE, kind="numeric", encoding="context"),
        Feature(name=GAP, kind="numeric", encoding="context"),
    )
    dated = manifest.model_copy(
        update={"as_of": "1970-01-11T00:00:00+00:00", "features": {"impressions": features}}
    )
    fields = [FieldSpec(feature.name, "numbers", 1) for feature in features]
    folder = Path(config.run.output) / "datasets/shop"
    context = context_at_end(folder, dated, fields, {}).for_part(histories)
    found = context.values(np.arange(3), np.arange(3), np.arange(3)).numbers.numpy()
    expected = [[np.log(3), 1, np.log1p(86_400), 1], [0, 1, -1, 1], [np.log(2), 1, 0, 1]]
    assert found == pytest.approx(np.array(expected), abs=1e-6)


def test_counts_are_those_at_the_end_of_the_dataset(shop: tuple[Config, Manifest]) -> None:
    import pyarrow as pa

    config, manifest = shop
    folder = Path(config.run.output) / "datasets/shop"
    field = FieldSpec("item_events_7d", "numbers", 1, is_count=True)
    feature = Feature(name=field.name, kind="numeric", encoding="as_of")
    described = manifest.model_copy(update={"features": {"impressions": (feature,)}})
    assert context_at_end(folder, described, [field], {}).without_value == (field.name,)

    (folder / ITEM_COUNTS).mkdir()
    path = folder / ITEM_COUNTS / "part-00000.parquet"
    counts = pa.array([float(n) for n in range(40)], pa.float32())
    numbers = pa.array(range(2, 42), pa.int32())
    pq.write_table(pa.table({ITEM_IDX: numbers, field.name: counts}), path)
    column = {"name": field.name, "kind": "numeric", "dtype": "float"}
    with_counts = Manifest.model_validate(
        {
            **described.model_dump(),
            "columns": {**described.model_dump()["columns"], ITEM_COUNTS: [column]},
            "files": {**described.files, ITEM_COUNTS: (describe_parquet(folder, path),)},
        }
    )
    context = context_at_end(folder, with_counts, [field], {})
    assert context.without_value == ()
    items = np.array([2, 12, 41])
    values = context.for_part(ragged([[2]])).values(np.zeros(3, int), np.zeros(3, int), items)
    expected = np.log1p(items - 2.0)
    assert values.numbers.numpy() == pytest.approx(np.stack([expected, np.ones(3)], axis=1))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"device": "watch"}, r"device='watch' is no value .* it has 'phone', 'desk'"),
        ({"device": 3}, r"device=3 is no value"),
    ],
)
def test_a_value_that_the_dataset_does_not_know_is_refused(
    shop: tuple[Config, Manifest], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        loaded(shop, given)


def test_numbers_are_scaled_as_the_dataset_scaled_them(shop: tuple[Config, Manifest]) -> None:
    from trainer.prediction.encoded import code_of, number_of

    config, manifest = shop
    folder = Path(config.run.output) / "datasets/shop"
    encodings = {
        "price": {"kind": "numeric", "scale": "log_standard"},
        "age": {"kind": "bucketed"}, "words": {"kind": "hashed"},
    }  # fmt: skip
    etl = {**manifest.config["etl"], "features": {"events": {"encodings": encodings}}}
    changed = manifest.model_copy(update={"config": {**manifest.config, "etl": etl}})
    fitted = {"price": {"mean": 1.0, "deviation": 2.0}, "age": {"bounds": [18.0, 30.0]}}
    write_json(folder / "encoders/impressions.json", fitted)

    assert number_of(folder, changed, "price", "9") == pytest.approx((np.log(10) - 1) / 2)
    assert [code_of(folder, changed, "age", age) for age in (17, 18, 99)] == [2, 3, 4]
    with pytest.raises(ConfigError, match="encoded as hashed"):
        code_of(folder, changed, "words", "x")
    with pytest.raises(ConfigError, match="'much' is no number"):
        number_of(folder, changed, "price", "much")


def test_a_new_user_or_item_counts_as_unknown(shop: tuple[Config, Manifest]) -> None:
    """A dataset that goes on from the model's has numbers that the model does not know."""
    pairs = loaded(shop)
    part = pairs.for_part(ragged([[2, 3]]), np.array([10_000]))
    values = pairs.model.user_values
    assert values is not None
    pairs.model.attach(
        type(values)(*(torch.zeros((10_001, *t.shape[1:]), dtype=t.dtype) for t in values)),
        pairs.model.item_values, CPU,
    )  # fmt: skip
    unknown = pairs.for_part(ragged([[2, 3]]), np.array([1]))
    same = np.array([0]), np.array([7])
    assert part.logits(*same) == pytest.approx(unknown.logits(*same))


@pytest.mark.parametrize("vocabulary", ["user", "item"])
def test_a_model_of_other_numbers_is_refused(
    shop: tuple[Config, Manifest], vocabulary: str
) -> None:
    config, manifest = shop
    model = write_ranker(config, manifest)
    other = {**manifest.vocabularies, vocabulary: Vocabulary(size=62, fingerprint="other")}
    strange = manifest.model_copy(update={"id": "shop", "vocabularies": other})
    with pytest.raises(VersionError, match="train on this dataset first") as raised:
        load_pairs(Path(config.run.output), model, strange, {}, CPU)
    assert raised.value.exit_code == 6


def test_a_dataset_without_a_feature_of_the_model_is_refused(
    shop: tuple[Config, Manifest],
) -> None:
    config, manifest = shop
    model = write_ranker(config, manifest)
    less = {**manifest.features, "item_features": manifest.features["item_features"][:1]}
    poorer = manifest.model_copy(update={"features": less})
    with pytest.raises(VersionError, match="lacks or encodes differently: item_quality"):
        load_pairs(Path(config.run.output), model, poorer, {}, CPU)


def test_the_drawing_of_negatives_is_taken_out_after_the_map() -> None:
    """With the map sigmoid(2 z + 1) of drawn rows, the odds of a shown item are n q times more."""
    logits, rate = np.array([0.3, -2.0]), np.log(np.array([4.0, 0.1]))
    drawn = 1 / (1 + np.exp(-(2 * (logits - rate) + 1)))
    odds = drawn / (1 - drawn) * np.array([4.0, 0.1])
    found = undrawn(Calibration("platt", np.array([2.0, 1.0])), logits, rate)
    assert found == pytest.approx(odds / (1 + odds))
    plain = undrawn(Calibration("none", np.zeros(0)), logits, rate)
    assert plain == pytest.approx(sigmoid(logits))
