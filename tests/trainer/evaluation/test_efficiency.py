"""Operations worked out by hand from the layers' shapes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.small_model import SMALL
from tests.trainer.small_parts import ragged
from trainer.cluster.machine import forget_peak_memory, peak_memory_bytes
from trainer.evaluation.efficiency import flops_of_example
from trainer.models.bundle import build_model
from trainer.models.hybrid import Hybrid
from trainer.models.popularity import Popularity
from trainer.models.scorer import ModelScorer
from trainer.networks.fields import Values
from trainer.training.learner import num_parameters

D, L, V = 16, 10, 102  # width, history length, catalogue
PRODUCT = 2 * D * V
# One block of two heads, worked out for the newest event alone: its query, all keys and values,
# the products of attention, what is made of them, and the two layers of four times the width.
ATTENTION = 2 * D * D + 2 * L * D * 2 * D + 2 * 2 * L * D + 2 * D * D + 2 * 2 * D * 4 * D


def network(encoder: str) -> ModelScorer:
    section = {**SMALL, "encoder": encoder, "width": D, "history_length": L, "blocks": 1}
    return ModelScorer(build_model(section, V).eval())


@pytest.mark.parametrize(("encoder", "encoding"), [("mean", 0), ("attention", ATTENTION)])
def test_operations_are_those_of_a_full_history_and_the_whole_catalogue(
    encoder: str, encoding: int
) -> None:
    histories = ragged([[2, 3], [5, 6, 7], []])
    assert flops_of_example(network(encoder), histories) == encoding + PRODUCT


def test_what_counts_has_none_and_a_blend_those_of_its_networks() -> None:
    counting, mean = Popularity(np.ones(V)), network("mean")
    histories = ragged([[2, 3]])
    assert flops_of_example(counting, histories) is None
    members = {"popularity": counting, "neural": mean}
    blend = Hybrid(members, {"popularity": 0.5, "neural": 0.5})
    assert flops_of_example(blend, histories) == PRODUCT
    assert flops_of_example(Hybrid(members, {"popularity": 1, "neural": 0}), histories) is None
    assert flops_of_example(mean, ragged([[], []])) is None


def test_parameters_are_what_is_learned_and_not_the_features_kept_beside_them() -> None:
    fields = [["kind", "categorical", 9, False], ["price", "numbers", 1, False]]
    content = {**SMALL["content"], "fields": fields}
    model = build_model({**SMALL, "encoder": "mean", "content": content}, V)
    table = Values(torch.ones(V, 1), torch.zeros(V, 0, 1), torch.ones(V, 2))
    model.items.set_catalogue(torch.ones(V), table)
    learned = sum(parameter.numel() for parameter in model.parameters())
    assert num_parameters(model.state_dict()) == learned > V * SMALL["width"]
    assert sum(tensor.numel() for tensor in model.state_dict().values()) == learned + 4 * V
    blended = {f"neural.{name}": tensor for name, tensor in model.state_dict().items()}
    assert num_parameters(blended) == learned


def test_memory_grows_by_what_is_held() -> None:
    before = peak_memory_bytes(torch.device("cpu"))
    held = np.ones(300 << 17)  # 300 MiB
    assert peak_memory_bytes(torch.device("cpu")) >= max(held.nbytes, before)
    assert 20 << 20 < before < 1 << 40


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_memory_that_was_freed_before_is_forgotten() -> None:
    many = 1 << 28
    held = bytearray(many)
    held[::4096] = b"1" * len(held[::4096])
    del held
    before = peak_memory_bytes(torch.device("cpu"))
    forget_peak_memory()
    assert peak_memory_bytes(torch.device("cpu")) < before - many // 2
