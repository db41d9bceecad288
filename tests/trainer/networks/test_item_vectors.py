import numpy as np
import pytest
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED
from serving.rules.history import known_to_model
from tests.trainer.small_model import SMALL
from tests.trainer.small_parts import ragged
from trainer.models.bundle import build_model
from trainer.models.scorer import ModelScorer
from trainer.networks.fields import FieldSpec, Values
from trainer.networks.inputs import TrainBatch
from trainer.networks.item_vectors import ItemVectors
from trainer.networks.objective import TrainingObjective
from trainer.networks.retrieval import RetrievalModel

FIELDS = [
    FieldSpec("item_price", "numbers", 1),
    FieldSpec("item_brand", "categorical", 5),
    FieldSpec("item_image", "numbers", 3),
    FieldSpec("item_words", "tags", 9),
]
ITEMS = 8
EVENTS = torch.tensor([0, 0, 5, 4, 3, 2, 0, 0, 0, 0])  # the last four items are cold
COLD, UNKNOWN = [6, 7, 8], [9]


def features() -> Values:
    """Features of all items; nothing is known of the last one."""
    torch.manual_seed(3)
    catalogue = ITEMS + NUM_RESERVED
    numbers = torch.randn(catalogue, 6)
    numbers[:, 1] = numbers[:, 5] = 1.0
    values = Values(
        torch.randint(1, 5, (catalogue, 1), dtype=torch.int32),
        torch.randint(1, 9, (catalogue, 1, 2), dtype=torch.int32),
        numbers,
    )
    for tensor in values:
        tensor[[0, 1, *UNKNOWN]] = 0
    values.categorical[COLD[0]], values.tags[COLD[0]] = 0, 0  # its numbers alone are known
    return values


def model(features_in: bool = True, **changes: object) -> RetrievalModel:
    torch.manual_seed(1)
    content = {"fields": FIELDS if features_in else [], "dropout": 0.0, "id_dropout": 0.0}
    made = build_model({**SMALL, "content": {**content, **changes}}, ITEMS + NUM_RESERVED)
    made.items.set_catalogue(EVENTS.clone(), features() if features_in else None)
    return made


def objective(of: RetrievalModel, kind: str, **options: object) -> TrainingObjective:
    settings = {
        "num_negatives": 200, "negatives_for": "batch", "sampling": "uniform", "calibration": 0.5,
        "item_probability": None,
    }  # fmt: skip
    candidates = EVENTS.nonzero()[:, 0]
    return TrainingObjective(of, kind=kind, candidates=candidates, **{**settings, **options})  # type: ignore[arg-type]


def batch() -> TrainBatch:
    items = torch.tensor([[2, 3, 4, 5], [5, 2, 3, 0]])
    targets = torch.tensor([[3, 4, 5, 2], [2, 3, 0, 0]])
    return TrainBatch(items, targets, (targets > 0).float())


def test_an_item_without_events_is_its_content_alone() -> None:
    made = model().eval()
    vectors = made.items.all()

    with torch.no_grad():
        made.items.embedding.weight += 1.0
    moved = made.items.all() - vectors

    assert torch.allclose(moved[2:6], torch.ones(4, 16), atol=1e-6)
    assert not moved[COLD].any()


def test_some_items_have_the_vectors_that_they_have_among_all() -> None:
    made = model().eval()
    wanted = torch.tensor([[3, 9, 3], [7, 0, 2]])

    assert torch.equal(made.items(wanted), made.items.all()[wanted])


@pytest.mark.parametrize("features_in", [True, False])
def test_what_nothing_is_known_of_is_never_recommended(features_in: bool) -> None:
    made = model(features_in).eval()
    scorer = ModelScorer(made)
    unknown = UNKNOWN if features_in else [*COLD, *UNKNOWN]

    with torch.no_grad():
        scores = scorer.scores(ragged([[2, 3], [6, 9]]), np.arange(2))

    assert scores.isneginf()[:, NUM_RESERVED:].nonzero()[:, 1].unique().tolist() == [
        number - NUM_RESERVED for number in unknown
    ]
    # In a history it stands for any item that is not known.
    left = known_to_model(ragged([[2, 3], [6, 9]]), ITEMS + NUM_RESERVED, scorer.unknown)
    assert left.values.tolist() == [2, 3, 6 if features_in else 1, 1]


@pytest.mark.parametrize("kind", ["cross_entropy", "sampled_softmax", "gbce", "bce", "bpr"])
def test_training_tells_targets_from_items_with_events_alone(kind: str) -> None:
    made = model(features_in=False)
    loss = objective(made, kind)(batch())
    loss.backward()

    gradient = made.items.embedding.weight.grad
    assert gradient is not None and bool(gradient[2:6].any(1).all())
    assert not gradient[6:].any()
    assert float(loss.detach()) > 0


def test_cross_entropy_over_the_candidates_is_that_of_a_catalogue_of_them() -> None:
    made = model()
    whole = objective(made, "cross_entropy")(batch())

    targets = made.targets(batch())
    logits = targets.hidden @ made.item_vectors().T  # [N, V]
    plain = torch.nn.functional.cross_entropy(
        logits[:, 2:6], targets.item_idx - NUM_RESERVED, reduction="sum"
    )
    assert torch.allclose(whole, plain, rtol=1e-5)


def test_dropped_features_and_embeddings_are_those_of_missing_ones() -> None:
    made = model(dropout=1.0, id_dropout=1.0)
    made.train()
    vectors = made.items(torch.tensor([2, 3, 8]), are_candidates=True)
    assert torch.allclose(vectors[0], vectors[1]) and torch.allclose(vectors[0], vectors[2])

    in_histories = made.items(torch.tensor([2, 3]))
    assert not torch.allclose(in_histories[0], in_histories[1])  # embeddings stay

    made.eval()
    nothing = made.items(torch.tensor([9]))  # an item without events or features
    assert torch.allclose(vectors[0], nothing[0], atol=1e-6)


def test_numbers_of_a_feature_go_missing_together() -> None:
    torch.manual_seed(0)
    vectors = ItemVectors(catalogue=400, width=4, fields=FIELDS, dropout=0.5, id_dropout=0.0)
    content = vectors.content
    assert content is not None
    ones = Values(torch.ones(400, 1).int(), torch.ones(400, 1, 2).int(), torch.ones(400, 6))

    gaps = content._with_gaps(ones)

    assert torch.equal(gaps.numbers[:, 0], gaps.numbers[:, 1])
    assert all(torch.equal(gaps.numbers[:, 2], gaps.numbers[:, at]) for at in (3, 4, 5))
    assert torch.equal(gaps.tags[..., 0], gaps.tags[..., 1])
    shares: list[Tensor] = [part.float().mean() for part in gaps]
    assert all(0.4 < float(share) < 0.6 for share in shares)


def test_weights_bring_the_features_along() -> None:
    made = model().eval()
    again = build_model(
        {**SMALL, "content": {"fields": FIELDS, "dropout": 0.0, "id_dropout": 0.0}}, 10
    )
    again.load_state_dict(made.state_dict())

    assert torch.equal(again.eval().items.all(), made.items.all())
    assert again.items.has_untrained and torch.equal(
        torch.as_tensor(again.items.unknown()), torch.as_tensor(made.items.unknown())
    )


def test_a_cross_says_nothing_of_an_item_that_has_none_of_what_it_is_made_of() -> None:
    cross = FieldSpec("item_both", "categorical", 9, is_cross=True)
    vectors = ItemVectors(
        catalogue=4, width=4, fields=[*FIELDS[1:2], cross], dropout=0.0, id_dropout=0.0
    )
    codes = torch.tensor([[0, 0], [0, 0], [3, 5], [0, 5]], dtype=torch.int32)
    values = Values(codes, torch.zeros(4, 0, 1).int(), torch.zeros(4, 0))

    vectors.set_catalogue(torch.zeros(4), values)

    assert torch.as_tensor(vectors.unknown()).tolist() == [False, False, False, True]


def test_a_checkpoint_of_another_device_leaves_the_table_where_the_weights_are() -> None:
    content, elsewhere = (model().items.content for _ in range(2))
    assert content is not None and elsewhere is not None
    elsewhere.to("meta")

    elsewhere.load_state_dict(content.state_dict())

    assert {tensor.device.type for tensor in elsewhere.table} == {"meta"}


def test_what_nothing_is_known_of_counts_as_unknown_in_every_history() -> None:
    scorer = ModelScorer(model().eval())

    with torch.no_grad():
        scores = scorer.scores(ragged([[2, 3, 9], [2, 3, 1]]), np.arange(2))

    torch.testing.assert_close(scores[0], scores[1])


def test_a_rank_without_rows_has_gradients_of_the_kind_that_others_have() -> None:
    made = model(features_in=False)
    made.items.embedding.sparse = True
    nothing = torch.zeros((0, 1), dtype=torch.int64)

    objective(made, "bpr")(TrainBatch(nothing, nothing, nothing.float())).backward()

    grads = {name: parameter.grad for name, parameter in made.named_parameters()}
    table = grads.pop("items.embedding.weight")
    assert table is not None and table.is_sparse and table._nnz() == 0
    assert all(grad is not None and not grad.any() for grad in grads.values())
