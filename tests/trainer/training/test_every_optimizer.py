"""Every optimiser takes steps with every encoder and every loss that the configuration allows."""

from itertools import product
from typing import get_args

import pytest
import torch

from conf.contract import NUM_RESERVED
from conf.settings.model import Loss, Model
from conf.settings.train import Optimizer
from tests.trainer.small_model import SMALL
from trainer.models.bundle import build_model
from trainer.networks.inputs import TrainBatch
from trainer.networks.objective import TrainingObjective
from trainer.training.optimizers import clip_gradients, make_optimizer


def allowed(section: type[Loss | Model | Optimizer], key: str) -> tuple[str, ...]:
    names: tuple[str, ...] = get_args(section.model_fields[key].annotation)
    return names


OPTIMIZERS = [*product(allowed(Optimizer, "kind"), allowed(Optimizer, "embeddings"))]
LOSSES = allowed(Loss, "kind")
V = 9


@pytest.mark.parametrize("encoder", allowed(Model, "encoder"))
@pytest.mark.parametrize(("kind", "embeddings"), OPTIMIZERS)
def test_every_optimizer_takes_a_step_with_every_encoder_and_loss(
    encoder: str, kind: str, embeddings: str
) -> None:
    torch.set_num_threads(1)
    items = torch.arange(NUM_RESERVED, V).repeat(2, 1)  # [2, 7]
    batch = TrainBatch(items, items.roll(-1, dims=1), torch.ones(items.shape))
    for loss in LOSSES:
        torch.manual_seed(1)
        model = build_model({**SMALL, "width": 4, "encoder": encoder}, V)
        is_by_row = embeddings != "same" and loss != "cross_entropy"
        model.items.embedding.sparse = is_by_row
        spec = {**Loss().model_dump(), "kind": loss, "num_negatives": 16}
        objective = TrainingObjective(model, **spec, item_probability=None)
        optimizer = make_optimizer(
            model, kind=kind, learning_rate=0.01, weight_decay=0.0, decay_all=False,
            betas=(0.9, 0.98), momentum=0.9, embeddings=embeddings, embedding_learning_rate=None,
        )  # fmt: skip
        before = model.items.embedding.weight.detach().clone()

        objective(batch).backward()
        gradient = model.items.embedding.weight.grad
        assert gradient is not None and gradient.is_sparse is is_by_row
        clip_gradients(model.parameters(), 1.0)
        optimizer.step()

        moved = (model.items.embedding.weight - before).abs()[NUM_RESERVED:]
        assert bool(torch.isfinite(moved).all()) and bool((moved > 0).any()), loss
