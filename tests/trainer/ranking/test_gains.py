import numpy as np
import pytest

from tests.trainer.ranking.test_metrics import made_up, rows
from trainer.evaluation.intervals import interval
from trainer.ranking.gains import gains
from trainer.ranking.metrics import Predictions, validation_figure

DRAWS = 2000


@pytest.mark.parametrize("metric", ["auc", "gauc", "log_loss", "rmse"])
def test_the_mean_of_the_gains_is_the_figure(metric: str) -> None:
    one = made_up()
    assert gains(metric, one).mean() == pytest.approx(validation_figure(metric, one), abs=1e-12)


@pytest.mark.parametrize("metric", ["auc", "gauc", "log_loss", "rmse"])
def test_the_gains_vary_over_users_as_the_figure_does(metric: str) -> None:
    """The reference computes the figure again for users drawn with replacement."""
    one, rng = made_up(), np.random.default_rng(3)
    found = []
    for _ in range(DRAWS):
        drawn = [np.flatnonzero(one.users == user) for user in rng.integers(0, 60, 60)]
        owners = np.repeat(np.arange(60), [len(own) for own in drawn])
        part = Predictions(*(column[np.concatenate(drawn)] for column in one))
        found.append(validation_figure(metric, part._replace(users=owners)))
    low, high = np.quantile(found, [0.025, 0.975])

    bounds = interval(gains(metric, one), one.users, draws=DRAWS)

    assert bounds.high - bounds.low == pytest.approx(high - low, rel=0.12)
    assert (bounds.low, bounds.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_rows_of_one_label_have_no_auc() -> None:
    one = rows([0.2, 0.9, 0.4], [1, 1, 1], [1, 1, 2])
    assert len(gains("auc", one)) == len(gains("gauc", one)) == 0
    assert len(gains("log_loss", one)) == 3


def test_a_rating_without_error_has_no_error_to_share() -> None:
    assert gains("rmse", rows([2.0, 3.0], [2, 3])).tolist() == [0, 0]
