from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conf.contract import Manifest
from conf.errors import ConfigError, VersionError
from tests.trainer.impression_log import ITEMS, config_for, write_impressions
from trainer.data.columns import Ragged
from trainer.data.feature_tables import values_of
from trainer.networks.fields import FieldEmbedding, FieldSpec, Values
from trainer.networks.inputs import RankingBatch
from trainer.networks.ranking import RankingModel
from trainer.networks.ranking_objective import RankingObjective, row_logits
from trainer.ranking.impressions import Sampling, read_impressions, read_tables, sampling_of
from trainer.ranking.layout import RankingLayout, layout_from, layout_of, section_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("impressions")
    return folder, write_impressions(folder, config_for(folder, {}))


def built(
    made: tuple[Path, Manifest], **ranking: Any
) -> tuple[RankingModel, RankingBatch, RankingLayout]:
    """Return a model of the impressions and the first rows of them."""
    folder, manifest = made
    config = config_for(folder, ranking)
    section = section_of(config, manifest, layout_of(config, manifest))
    layout = layout_from(section)
    assert layout == layout_of(config, manifest)
    torch.manual_seed(1)
    model = RankingModel(**section["model"]).eval().requires_grad_(False)
    model.attach(*read_tables(folder, manifest, layout), torch.device("cpu"))
    groups = manifest.row_groups("test_impressions")[:1]
    sampling = sampling_of(folder, manifest, "none")
    (rows,) = read_impressions(folder, groups, manifest, layout, sampling)
    return model, rows.take(torch.arange(8)), layout


def test_each_feature_of_the_dataset_is_a_field_but_those_left_out(
    made: tuple[Path, Manifest],
) -> None:
    _, _, layout = built(made, features_left_out=["hour", "user_taste"])
    assert [field.name for field in layout.item_fields] == [
        "item_kind", "item_tags", "item_price", "item_image",
    ]  # fmt: skip
    assert layout.user_fields == ()
    assert layout.context_fields == (FieldSpec("item_events_7d", "numbers", 1, is_count=True),)


def test_a_mistyped_feature_and_a_missing_label_are_named(made: tuple[Path, Manifest]) -> None:
    folder, manifest = made
    with pytest.raises(ConfigError, match="has no feature huor, only user_taste, item_kind"):
        layout_of(config_for(folder, {"features_left_out": ["huor"]}), manifest)
    columns = {**manifest.columns, "train_impressions": ()}
    with pytest.raises(VersionError, match="has no label liked in train_impressions, only none"):
        layout_of(config_for(folder, {}), manifest.model_copy(update={"columns": columns}))


def test_tables_hold_what_the_dataset_says_by_number(made: tuple[Path, Manifest]) -> None:
    model, _, _ = built(made)
    values = model.item_values
    assert values is not None
    assert values.categorical.shape == (ITEMS + 2, 1) and values.tags.shape == (ITEMS + 2, 1, 3)
    assert values.tags[2 + 2, 0].tolist() == [2, 3, 0]  # the third item has two tags
    price, there, image, has_image = values.numbers.split([1, 1, 3, 1], dim=1)
    assert bool(((there == 0) <= (price == 0)).all()) and 0 < float(there[2:].mean()) < 1
    assert float(has_image[2:].min()) == 1 and float(image[2:].abs().min()) > 0
    assert float(values.numbers[:2].abs().max()) == 0  # padding and unknown


def test_fields_become_vectors_one_by_one() -> None:
    fields = [FieldSpec("n", "numbers", 2), FieldSpec("c", "categorical", 5),
              FieldSpec("t", "tags", 6)]  # fmt: skip
    embedding = FieldEmbedding(fields=fields, width=3).requires_grad_(False)
    values = Values(
        torch.tensor([[4], [0]], dtype=torch.int32),
        torch.tensor([[[2, 5, 0]], [[0, 0, 0]]], dtype=torch.int32),
        torch.tensor([[0.5, -1.0, 1.0], [0.0, 0.0, 0.0]]),
    )
    vectors = embedding(values)
    weights = dict(embedding.named_parameters())
    category, tags = weights["embeddings.0_embedding.weight"], "embeddings.1_embedding.weight"
    assert vectors[:, 0].tolist() == category[[4, 0]].tolist()
    torch.testing.assert_close(vectors[0, 1], (weights[tags][2] + weights[tags][5]) / 2)
    assert vectors[1, 1].tolist() == [0, 0, 0]
    dense = weights["embeddings.2_dense.weight"] @ torch.tensor([0.5, -1.0])
    torch.testing.assert_close(vectors[0, 2], dense + weights["embeddings.2_dense.bias"])
    missing = weights["embeddings.2_missing_embedding.weight"][0]
    assert vectors[1, 2].tolist() == missing.tolist()


def test_counts_are_taken_by_their_logarithm() -> None:
    columns = {"n": np.array([0.0, 9.0, -1.0], dtype=np.float32), "n_present": np.array([1, 1, 0]),
               "v": Ragged(np.arange(6, dtype=np.float32), np.array([0, 2, 4, 6]))}  # fmt: skip
    fields = [FieldSpec("n", "numbers", 1, is_count=True), FieldSpec("v", "numbers", 2)]
    numbers = values_of(columns, fields, 3).numbers
    expected = [[0, 1, 0, 1, 1], [np.log(10), 1, 2, 3, 1], [-np.log(2), 0, 4, 5, 1]]
    np.testing.assert_allclose(numbers.numpy(), expected, rtol=1e-6)


def test_who_training_lacked_and_what_came_later_is_unknown(made: tuple[Path, Manifest]) -> None:
    model, rows, _ = built(made)
    model.get_buffer("known_users")[5] = False
    lacking = rows._replace(user_idx=torch.full_like(rows.user_idx, 5))
    assert model.user_values is not None and model.item_values is not None
    model.user_values.categorical[1] = model.user_values.categorical[5]
    unknown = rows._replace(user_idx=torch.full_like(rows.user_idx, 1))
    assert model(lacking).tolist() == model(unknown).tolist()
    assert model(rows._replace(user_idx=torch.full_like(rows.user_idx, 6))).tolist() != (
        model(unknown).tolist()
    )
    # A later dataset has one more item, which looks like the first one.
    longer = Values(*(torch.cat([table, table[2:3]]) for table in model.item_values))
    model.attach(model.user_values, longer, torch.device("cpu"))
    later = rows._replace(item_idx=torch.full_like(rows.item_idx, ITEMS + 2))
    assert bool(torch.isfinite(model(later)).all())


@pytest.mark.parametrize("history", ["mean", "target_attention"])
def test_padding_of_histories_changes_nothing(made: tuple[Path, Manifest], history: str) -> None:
    model, rows, _ = built(made, history=history)
    padded = rows._replace(history_idx=F.pad(rows.history_idx, (0, 7)))
    torch.testing.assert_close(model(padded), model(rows))
    other = rows._replace(history_idx=rows.history_idx.roll(1, dims=0))
    assert float((model(other) - model(rows)).abs().max()) > 1e-6


def test_the_newest_items_of_a_history_are_kept(made: tuple[Path, Manifest]) -> None:
    _, long, _ = built(made, history_length=9)
    _, short, _ = built(made, history_length=2)
    for whole, cut in zip(long.history_idx.tolist(), short.history_idx.tolist(), strict=True):
        items = [item for item in whole if item]
        assert [item for item in cut if item] == items[-2:]


def test_the_linear_model_adds_up_the_weights_of_its_values(made: tuple[Path, Manifest]) -> None:
    model, rows, _ = built(made, interaction="linear", history="none")
    bias = float(model.heads.ends[0].bias)
    expected = model.field_vectors(rows).sum((1, 2)) + bias
    torch.testing.assert_close(model(rows)[:, 0], expected)
    assert model.user_embedding.weight.shape[1] == 1


def batch_of(log_rate: list[float], weight: list[float], labels: list[float]) -> RankingBatch:
    count = len(labels)
    number, empty = torch.zeros(count, dtype=torch.int64), torch.zeros(count, 0)
    return RankingBatch(
        number, number, empty.int(), empty.int(), empty.int()[:, :, None], empty,
        torch.tensor(labels)[:, None], torch.tensor(log_rate), torch.tensor(weight),
    )  # fmt: skip


class Constant(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(2, 2)
        torch.nn.init.constant_(self.embedding.weight, 0.5)

    def forward(self, batch: RankingBatch) -> torch.Tensor:
        return torch.full((batch.num_rows, 1), 0.3)


def test_the_loss_takes_weights_rates_and_the_penalty() -> None:
    batch = batch_of([0.0, -1.0], [1.0, 3.0], [1.0, 0.0])
    objective = RankingObjective(Constant(), loss="bce", label_weights=[2.0], embedding_l2=0.1)  # type: ignore[arg-type]
    first = np.log1p(np.exp(-0.3))  # of the label 1 at a logit of .3
    second = np.log1p(np.exp(1.3))  # of the label 0 at .3 + 1
    penalty = 4.0 * 0.1 / 2 * (4 * 0.25)
    expected = 2 * (first + 3 * second) + penalty
    assert float(objective(batch).detach()) == pytest.approx(expected, rel=1e-6)
    squares = RankingObjective(Constant(), loss="mse", label_weights=[1.0], embedding_l2=0.0)  # type: ignore[arg-type]
    plain = batch_of([0.0, 0.0], [1.0, 3.0], [1.0, 0.0])
    assert float(squares(plain).detach()) == pytest.approx(0.7**2 + 3 * 0.3**2, rel=1e-6)


def with_negatives(manifest: Manifest, kind: str) -> Manifest:
    spec = {"negatives": kind, "negatives_per_positive": 4}
    return manifest.model_copy(update={"config": {"etl": {"impressions": spec}}})


def test_rates_of_drawing_are_those_of_the_dataset(made: tuple[Path, Manifest]) -> None:
    folder, manifest = made
    uniform = sampling_of(folder, with_negatives(manifest, "uniform"), "logit")
    np.testing.assert_allclose(uniform.log_rate, np.log(4 / ITEMS), rtol=1e-6)
    popular = sampling_of(folder, with_negatives(manifest, "popularity"), "logit")
    assert np.exp(popular.log_rate[2:]).sum() == pytest.approx(4, rel=1e-5)
    logged = sampling_of(folder, with_negatives(manifest, "logged"), "logit")
    assert not logged.log_rate.any() and not logged.draws


def test_a_drawn_row_stands_for_as_many_as_it_takes_to_be_drawn(
    made: tuple[Path, Manifest],
) -> None:
    folder, manifest = made
    rare = np.array([1.0, 0.01], dtype=np.float32)  # of a logged row and of a drawn one
    for kind, weight in (("uniform", 25), ("popularity", 25), ("session", 100), ("logged", 1)):
        sampling = sampling_of(folder, with_negatives(manifest, kind), "weight")
        np.testing.assert_allclose(sampling.row_weights(rare), [1, weight], rtol=1e-6)
    assert Sampling(np.zeros(1), 0).row_weights(rare).tolist() == [1, 1]


def test_the_corrected_logit_is_that_of_the_log_whatever_was_drawn() -> None:
    """Of three items with shares of .6, .3, .1 negatives are drawn in two ways."""
    share = np.array([0.6, 0.3, 0.1])
    for rate in (np.full(3, 4 / 3), 4 * share):
        positives, negatives = 1000 * share, 1000 * rate
        logit = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([logit], max_iter=200, line_search_fn="strong_wolfe")
        batch = batch_of(np.log(rate).tolist(), [1.0] * 3, [0.0] * 3)

        def loss(
            logit: torch.Tensor = logit, batch: RankingBatch = batch,
            optimizer: torch.optim.Optimizer = optimizer,
            counts: tuple[np.ndarray, np.ndarray] = (positives, negatives),
        ) -> torch.Tensor:  # fmt: skip
            optimizer.zero_grad()
            rows = row_logits(logit[:, None], batch)[:, 0]
            total = (F.softplus(-rows) * torch.from_numpy(counts[0])).sum()
            total = total + (F.softplus(rows) * torch.from_numpy(counts[1])).sum()
            total.backward()
            return total

        optimizer.step(loss)
        np.testing.assert_allclose(logit.detach().exp().numpy(), share, rtol=1e-3)


@pytest.mark.parametrize("interaction", ["dcnv2", "deepfm", "dlrm", "finalmlp", "wide_deep"])
def test_counts_of_any_size_begin_with_small_logits(
    made: tuple[Path, Manifest], interaction: str
) -> None:
    model, batch, layout = built(made, interaction=interaction)
    assert [field.kind for field in layout.context_fields].count("numbers") == 1
    counts = torch.tensor([np.log1p(10.0**power) for power in range(8)], dtype=torch.float32)
    numbers = torch.stack([counts, torch.ones(8)], dim=1)

    one = batch.take(torch.zeros(8, dtype=torch.int64))
    logits = model(one._replace(numbers=numbers))

    assert 0 < (logits - logits[0]).abs().max() < 0.1
