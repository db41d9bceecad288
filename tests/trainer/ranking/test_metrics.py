import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss as reference_log_loss
from sklearn.metrics import roc_auc_score
from torchmetrics.functional import mean_squared_error
from torchmetrics.functional.classification import binary_calibration_error

from trainer.cluster.shares import in_order
from trainer.ranking.metrics import (
    ECE_BINS,
    Predictions,
    auc,
    calibration_error,
    figures,
    gauc,
    log_loss,
    reliability,
    rmse,
    validation_figure,
)
from trainer.ranking.scores import ScoredRows, together


def rows(
    predicted: list[float], labels: list[float], users: list[int] | None = None
) -> Predictions:
    count = len(labels)
    return Predictions(
        np.array(predicted), np.array(labels), np.array(users or [0] * count), np.ones(count)
    )


def made_up(count: int = 2000, seed: int = 0) -> Predictions:
    """Return rows with many ties and weights of all sizes."""
    rng = np.random.default_rng(seed)
    predicted = rng.integers(1, 40, count) / 40
    labels = (rng.random(count) < predicted).astype(np.float64)
    return Predictions(predicted, labels, rng.integers(0, 60, count), rng.uniform(0.1, 5, count))


def test_auc_counts_won_pairs_and_half_of_the_ties() -> None:
    # Of the pairs (.9, .5), (.9, .1), (.5, .5), (.5, .1) three are won and one is a tie.
    assert auc(rows([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])) == 3.5 / 4


@pytest.mark.parametrize("weight", [0.25, 1.0, 4.0])
def test_one_pair_is_enough_for_auc_whatever_its_weight(weight: float) -> None:
    won, lost = (rows(said, [1, 0])._replace(weights=np.full(2, weight))
                 for said in ([0.9, 0.1], [0.1, 0.9]))  # fmt: skip
    assert (auc(won), gauc(won)) == (1.0, 1.0)
    assert (auc(lost), gauc(lost)) == (0.0, 0.0)


def test_auc_is_that_of_scikit_learn_with_ties_and_weights() -> None:
    one = made_up()
    expected = roc_auc_score(one.labels, one.predicted, sample_weight=one.weights)
    assert auc(one) == pytest.approx(expected, abs=1e-12)


def test_rows_of_one_kind_tell_nothing_apart() -> None:
    """Half of no pairs is nothing: .5 would say that the order is as good as chance."""
    assert auc(rows([0.2, 0.9], [1, 1])) is None
    assert gauc(rows([0.2, 0.9], [0, 0])) is None
    assert gauc(rows([0.2, 0.9], [0, 1], [1, 2])) is None  # no user has both
    assert validation_figure("auc", rows([0.2], [1])) is None


def test_no_rows_have_no_figure() -> None:
    assert set(figures(rows([], []), is_rating=False).values()) == {None}
    assert figures(rows([], []), is_rating=True) == {"rmse": None}
    assert validation_figure("log_loss", rows([], [])) is None


def test_gauc_is_the_mean_of_the_users_that_have_both() -> None:
    # User 1 orders its two rows right, user 2 its three rows half right; user 3 has one kind.
    one = rows([0.8, 0.3, 0.5, 0.6, 0.4, 0.9, 0.1], [1, 0, 1, 0, 0, 1, 1], [1, 1, 2, 2, 2, 3, 3])
    assert gauc(one) == pytest.approx((2 * 1.0 + 3 * 0.5) / 5)


def test_gauc_is_the_mean_of_scikit_learns() -> None:
    one = made_up(seed=3)
    total = weight_sum = 0.0
    for user in np.unique(one.users):
        mine = one.users == user
        if 0 < one.labels[mine].sum() < mine.sum():
            weight = one.weights[mine].sum()
            value = roc_auc_score(
                one.labels[mine], one.predicted[mine], sample_weight=one.weights[mine]
            )
            total, weight_sum = total + weight * value, weight_sum + weight
    assert gauc(one) == pytest.approx(total / weight_sum, abs=1e-12)


def test_log_loss_is_that_of_scikit_learn() -> None:
    one = made_up(seed=1)
    expected = reference_log_loss(one.labels, one.predicted, sample_weight=one.weights)
    assert log_loss(one) == pytest.approx(expected, abs=1e-12)
    assert log_loss(rows([0.5, 0.25], [1, 0])) == pytest.approx(-np.log(0.5 * 0.75) / 2)


@pytest.mark.parametrize("said", [0.0, 1.0])
def test_a_certain_mistake_costs_much_but_not_all(said: float) -> None:
    assert 30 < log_loss(rows([said], [1 - said])) < 40
    assert log_loss(rows([said], [said])) == pytest.approx(0, abs=1e-12)


def test_rmse_of_ratings() -> None:
    assert rmse(rows([3.0, 5.0], [4.0, 2.0])) == pytest.approx(np.sqrt(5))


def test_calibration_error_is_the_gap_of_each_bin() -> None:
    # Two bins: .1 and .3 say .2 where .5 are; .8 says .8 where all are.
    one = rows([0.1, 0.3, 0.8, 0.8], [0, 1, 1, 1])
    assert calibration_error(one, bins=2) == pytest.approx(0.5 * 0.3 + 0.5 * 0.2)


def test_predictions_of_nothing_and_of_certainty_are_in_the_outer_bins() -> None:
    one = rows([0.0, 0.5, 1.0, 1.0], [1, 0, 1, 0])
    assert calibration_error(one, bins=2) == pytest.approx(0.5 * 0.25 + 0.5 * 0.5)
    assert [each["said"] for each in reliability(one, bins=2)] == [0.25, 1.0]


def test_calibration_error_and_rmse_are_those_of_torchmetrics() -> None:
    draw = np.random.default_rng(5)
    said, labels = draw.random(2000), draw.integers(0, 2, 2000)
    one = rows(said.tolist(), labels.tolist())

    expected = binary_calibration_error(torch.tensor(said), torch.tensor(labels), n_bins=ECE_BINS)
    assert calibration_error(one) == pytest.approx(float(expected), abs=1e-6)
    root = mean_squared_error(torch.tensor(said), torch.tensor(labels * 1.0), squared=False)
    assert rmse(one) == pytest.approx(float(root), abs=1e-6)


def test_reliability_says_of_each_bin_what_was_said_and_what_was_so() -> None:
    one = rows([0.1, 0.3, 0.8, 0.8], [0, 1, 1, 1])
    low, high = reliability(one, bins=2)
    assert low == pytest.approx({"said": 0.2, "was": 0.5, "share": 0.5})
    assert high == pytest.approx({"said": 0.8, "was": 1.0, "share": 0.5})
    large = made_up()
    gaps = [each["share"] * abs(each["said"] - each["was"]) for each in reliability(large)]
    assert sum(gaps) == pytest.approx(calibration_error(large), abs=1e-12)


def test_the_sign_of_what_should_be_low_is_turned() -> None:
    one = made_up(200)
    assert validation_figure("log_loss", one) == -log_loss(one)
    assert validation_figure("rmse", one) == -rmse(one)
    assert validation_figure("auc", one) == auc(one)
    assert validation_figure("gauc", one) == gauc(one)


def test_each_figure_is_under_its_own_name() -> None:
    one = made_up(200)
    assert figures(one, is_rating=True) == {"rmse": rmse(one)}
    assert figures(one, is_rating=False) == {
        "auc": auc(one), "gauc": gauc(one), "log_loss": log_loss(one), "rmse": rmse(one),
        "ece": calibration_error(one),
    }  # fmt: skip
    assert len(set(figures(one, is_rating=False).values())) == 5


def test_the_rows_of_workers_come_back_in_the_order_of_the_row_groups() -> None:
    rng = np.random.default_rng(5)
    groups = [
        ScoredRows(
            rng.normal(size=(size, 1)).round(1).astype(np.float32),
            rng.integers(0, 2, (size, 1)).astype(np.float32),
            rng.integers(0, 9, size),
            rng.integers(2, 9, size),
            rng.uniform(0.5, 2, size).astype(np.float32),
        )
        for size in (7, 1, 30, 12, 0, 5)
    ]
    whole = together(groups)
    assert whole.users.tolist() == np.concatenate([group.users for group in groups]).tolist()
    alone = figures(whole.of_model(0, is_rating=False), is_rating=False)
    for workers in (2, 3, 7):
        shares = [groups[worker::workers] for worker in range(workers)]
        several = figures(together(in_order(shares)).of_model(0, is_rating=False), is_rating=False)
        assert several == alone  # to the last digit
