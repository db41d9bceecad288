import math

import ir_measures
import numpy as np
import pytest
import torch
from ir_measures import RR, Success, nDCG

from conf.errors import DivergedError
from trainer.evaluation import metrics
from trainer.evaluation.metrics import NEVER, figure, figures, gains, rank_counts, target_ranks

NONE = torch.zeros(0, dtype=torch.int64)


def rank_of(scores: list[float], target: int, seen: list[int] | None = None) -> int:
    items = torch.tensor(seen or [], dtype=torch.int64)
    ranks = target_ranks(
        torch.tensor([scores]), torch.tensor([target]), torch.zeros_like(items), items
    )
    return int(ranks[0])


def test_rank_counts_what_scores_higher() -> None:
    assert rank_of([9, 9, 0.1, 0.9, 0.5], 4) == 2


def test_an_equal_score_counts_against_the_target() -> None:
    assert rank_of([0, 0, 0.5, 0.5, 0.5, 0.1], 3) == 3


def test_seen_items_are_left_out() -> None:
    assert rank_of([0, 0, 0.9, 0.8, 0.7], 4, seen=[2, 3]) == 1


def test_a_seen_or_unknown_target_is_in_no_list_however_long() -> None:
    """A list of ten is longer than this catalogue, and still it does not hold the target."""
    for ranks in (
        rank_of([0, 0, 0.9, 0.8, 0.7], 2, seen=[2]),
        rank_of([0, 9, 0.1, 0.2, 0.3], 1),
    ):
        assert ranks == NEVER
        assert figure(rank_counts(torch.tensor([ranks]), 10), "hr@10") == 0.0


def test_no_targets_have_no_figure() -> None:
    none = rank_counts(torch.zeros(0, dtype=torch.int64), 10)

    assert figures(none, (5,)) == {"hr@5": None, "ndcg@5": None, "mrr@5": None}


def test_a_constant_model_gets_nothing() -> None:
    assert rank_of([1.0] * 50, 20) == 48


def test_a_score_that_is_not_a_number_is_an_error() -> None:
    with pytest.raises(DivergedError, match=r"lower train\.optimizer\.learning_rate"):
        rank_of([0, 0, math.nan, 1], 3)


def test_ranks_do_not_depend_on_how_many_rows_are_compared_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores, targets = torch.rand(7, 12), torch.arange(2, 9)
    expected = [
        int((row[2:] >= row[target]).sum()) for row, target in zip(scores, targets, strict=True)
    ]

    for elements in (1, 36, 1 << 24):  # one row, three, all
        monkeypatch.setattr(metrics, "_COMPARED_ELEMENTS", elements)
        assert target_ranks(scores.clone(), targets, NONE, NONE).tolist() == expected


def test_figures_match_fractions_worked_out_by_hand() -> None:
    counts = rank_counts(torch.tensor([1, 2, 2, 7, 100]), 10)
    assert counts.tolist() == [1, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0]

    measured = figures(counts, (1, 5, 10))

    assert measured["hr@1"] == 1 / 5
    assert measured["hr@5"] == 3 / 5
    assert measured["hr@10"] == 4 / 5
    assert measured["mrr@5"] == pytest.approx((1 + 0.5 + 0.5) / 5)
    assert measured["ndcg@10"] == pytest.approx((1 + 2 / math.log2(3) + 1 / 3) / 5)
    assert figure(counts, "precision@5") == pytest.approx(3 / 25)
    assert figure(counts, "recall@5") == measured["hr@5"]
    assert figure(counts, "map@10") == measured["mrr@10"]


def test_figures_are_those_of_an_independent_library() -> None:
    """Of ir-measures, which is given scores, for users with one relevant item each."""
    users, catalogue = 300, 40
    scores = torch.rand(users, catalogue, generator=torch.Generator().manual_seed(1))
    targets = torch.randint(2, catalogue, (users,), generator=torch.Generator().manual_seed(2))
    run = [ir_measures.ScoredDoc(str(user), str(item), float(scores[user, item]))
           for user in range(users) for item in range(2, catalogue)]  # fmt: skip
    relevant = [ir_measures.Qrel(str(user), str(int(item)), 1) for user, item in enumerate(targets)]
    names = {"hr": Success, "ndcg": nDCG, "mrr": RR}
    wanted = {f"{name}@{k}": made @ k for name, made in names.items() for k in (1, 5, 10)}

    ours = figures(rank_counts(target_ranks(scores, targets, NONE, NONE), 10), (1, 5, 10))
    theirs = ir_measures.calc_aggregate(wanted.values(), relevant, run)

    for name, measure in wanted.items():
        assert ours[name] == pytest.approx(theirs[measure], abs=1e-6), name


def test_shares_of_workers_add_up_to_the_same_digits() -> None:
    ranks = torch.from_numpy(np.random.default_rng(1).integers(1, 40, 1000))
    whole = rank_counts(ranks, 20)
    parts = sum(rank_counts(part, 20) for part in ranks.split([1, 333, 250, 416]))

    assert figures(np.asarray(parts), (5, 10, 20)) == figures(whole, (5, 10, 20))


@pytest.mark.parametrize("kind", ["hr", "ndcg", "mrr", "recall", "map", "precision"])
def test_a_figure_is_the_mean_of_the_gains(kind: str) -> None:
    ranks = np.append(np.arange(1, 13), [NEVER, 3, 1])
    counts = rank_counts(torch.from_numpy(ranks), 10)
    for k in (1, 3, 10):
        each = gains(ranks, f"{kind}@{k}")
        assert each.mean() == pytest.approx(figure(counts, f"{kind}@{k}"), abs=1e-15)
        assert ((each > 0) == (ranks <= k)).all()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("auc@10", "'auc@10' is not a figure"),
        ("ndcg", "'ndcg' is not a figure"),
        ("ndcg@11", "ndcg@11: ranks were counted up to 10 only"),
    ],
)
def test_a_figure_that_cannot_be_told_is_named(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        figure(np.zeros(11, dtype=np.int64), name)
