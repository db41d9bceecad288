"""Features of past events in a network: what enters, where it may not, and what it is good for."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conf.contract import Bundle, Feature, Manifest, Vocabulary
from conf.errors import ConfigError
from tests.trainer.small_model import SMALL
from trainer.data.columns import Columns, Ragged
from trainer.data.event_features import event_fields, event_values, foreign_features
from trainer.networks.fields import FieldSpec
from trainer.networks.initialisation import initialise
from trainer.networks.inputs import HistoryBatch, TrainBatch
from trainer.networks.retrieval import RetrievalModel

DEVICE = FieldSpec("history_context_device", "categorical", 5)
PRICE = FieldSpec("history_context_price", "numbers", 1)
ITEMS, LENGTHS = torch.tensor([[4, 5, 6]]), torch.tensor([3])


def build(encoder: str = "attention", **options: Any) -> RetrievalModel:
    torch.manual_seed(0)
    fields = [list(DEVICE), list(PRICE)]
    settings = {**SMALL, "encoder": encoder, "event_features": fields, **options}
    init = {name: settings.pop(name) for name in ("init", "init_std", "embedding_std")}
    model = RetrievalModel(catalogue=30, **settings)
    initialise(model, init=init["init"], std=0.02, embedding_std=1.0)
    return model.eval()


def context(codes: list[int], numbers: list[list[float]]) -> tuple[Tensor, Tensor]:
    return torch.tensor([codes])[..., None], torch.tensor([numbers])


def history(codes: list[int], numbers: list[list[float]]) -> HistoryBatch:
    return HistoryBatch(ITEMS, LENGTHS, None, None, None, *context(codes, numbers))


def test_what_enters_is_a_row_of_the_table_and_a_line_of_the_number() -> None:
    model = build()
    features = model.context.features
    assert features is not None
    tables = dict(features.embeddings.named_parameters())
    device, missing = tables["0_embedding.weight"], tables["1_missing_embedding.weight"][0]
    slope, level = tables["1_dense.weight"][:, 0], tables["1_dense.bias"]

    embedded = model.embed(history([2, 1, 0], [[2.0, 1.0], [0.0, 1.0], [0.0, 0.0]]))

    own = model.items(ITEMS)[0]
    expected = torch.stack([
        own[0] + device[2] + 2 * slope + level,
        own[1] + device[1] + level,
        own[2] + device[0] + missing,
    ])  # fmt: skip
    torch.testing.assert_close(embedded[0], expected)


def test_each_step_makes_a_difference_and_padding_none() -> None:
    model, numbers = build(), [[1.0, 1.0]] * 3
    plain = model.encode(history([2, 3, 4], numbers))

    assert not torch.allclose(plain, model.encode(history([2, 4, 4], numbers)))
    assert not torch.allclose(plain, model.encode(history([2, 3, 4], [[3.0, 1.0], *numbers[1:]])))
    longer = HistoryBatch(
        torch.tensor([[4, 5, 6, 0]]), LENGTHS, None, None, None,
        *context([2, 3, 4, 2], [*numbers, [9.0, 1.0]]),
    )  # fmt: skip
    torch.testing.assert_close(plain, model.encode(longer))


@pytest.mark.parametrize("encoder", ["attention", "bidirectional", "gru"])
def test_a_target_is_predicted_without_what_is_told_of_it(encoder: str) -> None:
    """Of each target only the events before it tell their features; a masked one tells none."""
    model = build(encoder, mask_share=1e-9)

    def hidden(targets: list[int], last: int) -> Tensor:
        wanted = torch.tensor([targets])
        items = torch.tensor([[4, 5, 6]]) * (wanted != 0)
        features = context([2, 3, last], [[1.0, 1.0]] * 3)
        batch = TrainBatch(items, wanted, torch.ones(1, 3), None, None, None, *features)
        return model.targets(batch).hidden

    first, second = hidden([5, 6, 9], 4), hidden([5, 6, 9], 2)
    assert torch.allclose(first[:-1], second[:-1]) and not torch.allclose(first[-1], second[-1])
    # In a shorter row the third event is the last target.
    torch.testing.assert_close(hidden([5, 6, 0], 4), hidden([5, 6, 0], 2))


def test_values_are_of_the_newest_events_and_newer_numbers_are_unknown() -> None:
    offsets = np.array([0, 3, 4])
    columns: Columns = {
        DEVICE.name: Ragged(np.array([2, 7, 4, 5]), offsets),
        PRICE.name: Ragged(np.array([1.5, 0.0, 2.5, 3.5], dtype=np.float32), offsets),
        f"{PRICE.name}_present": Ragged(np.array([1, 0, 1, 1]), offsets),
    }

    codes, numbers = event_values(columns, (DEVICE, PRICE), np.array([1, 0]), 2)
    alone = event_values(columns, (DEVICE,), np.array([0]), 9)

    assert codes is not None and codes.tolist() == [[[1], [0]], [[1], [4]]]
    assert numbers is not None
    assert numbers.tolist() == [[[3.5, 1.0], [0.0, 0.0]], [[0.0, 0.0], [2.5, 1.0]]]
    assert alone[1] is not None and alone[1].shape == (1, 3, 0)
    assert event_values(columns, (), np.array([0]), 2) == (None, None)


def manifest_with(*names: str) -> Manifest:
    features = tuple(
        Feature(name=f"history_context_{name}", kind="categorical", encoding="categorical",
                cardinality=5) for name in names
    )  # fmt: skip
    return Manifest(
        id="shop", request="r", logical_date="2026-01-31", as_of="2026-01-31", config={},
        columns={}, files={}, event_types=("view",), ledger={}, counts={},
        features={"histories": features} if features else {},
        vocabularies={f.name: Vocabulary(size=5, fingerprint=f.name) for f in features},
    )  # fmt: skip


def test_features_are_taken_by_name_and_what_is_missing_is_named() -> None:
    manifest = manifest_with("device", "page")

    assert event_fields("none", manifest) == ()
    assert event_fields(["page"], manifest) == (
        FieldSpec("history_context_page", "categorical", 5),
    )
    assert [field.name[-4:] for field in event_fields("all", manifest)] == ["vice", "page"]
    with pytest.raises(ConfigError, match="of dataset shop have no place; they have device, page;"):
        event_fields(["page", "place"], manifest)
    with pytest.raises(ConfigError, match="have no feature; they have none; add it to"):
        event_fields("all", manifest_with())


def test_a_hybrids_network_is_held_to_its_features_too() -> None:
    manifest = manifest_with("device")
    section = {"members": {"ease": {}, "neural": {"event_features": [list(DEVICE)]}}}
    bundle = Bundle(
        id="m", request="r", logical_date="2026-01-31", dataset_id="shop", algorithm="hybrid",
        vocabularies=manifest.vocabularies, model=section, config={}, files={},
    )  # fmt: skip

    assert foreign_features(bundle, manifest) is None
    assert foreign_features(bundle, manifest_with("page")) == "device"
