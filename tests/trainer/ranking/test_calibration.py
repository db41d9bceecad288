import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from trainer.ranking.calibration import UNCALIBRATED, fit_calibration, sigmoid


def overconfident(count: int = 5000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits that are twice and a half too large, labels and weights."""
    rng = np.random.default_rng(1)
    true = rng.normal(size=count)
    labels = (rng.random(count) < sigmoid(true)).astype(np.float64)
    return 2.5 * true + 1, labels, rng.uniform(0.5, 2, count)


def test_platt_scaling_is_logistic_regression_of_the_logit() -> None:
    logits, labels, weights = overconfident()
    slope, offset = fit_calibration("platt", logits, labels, weights).numbers
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(
        logits[:, None], labels, sample_weight=weights
    )
    # Platt's targets stop a little short of 0 and 1.
    assert slope == pytest.approx(reference.coef_[0, 0], abs=2e-3)
    assert offset == pytest.approx(reference.intercept_[0], abs=2e-3)


def test_platt_scaling_undoes_what_was_done_to_the_logits() -> None:
    logits, labels, _ = overconfident(200_000)
    slope, offset = fit_calibration("platt", logits, labels, np.ones(len(labels))).numbers
    assert slope == pytest.approx(1 / 2.5, abs=0.01)
    assert offset == pytest.approx(-1 / 2.5, abs=0.02)


def test_platt_scaling_of_classes_that_a_logit_parts_stays_finite() -> None:
    fitted = fit_calibration("platt", np.array([-1.0, 1.0]), np.array([0.0, 1.0]), np.ones(2))
    assert fitted.probabilities(np.array([-1.0, 1.0])) == pytest.approx([1 / 3, 2 / 3])


def test_isotonic_regression_is_that_of_scikit_learn() -> None:
    logits, labels, weights = overconfident(800)
    logits = logits.round(1)  # with ties
    fitted = fit_calibration("isotonic", logits, labels, weights)
    reference = IsotonicRegression(out_of_bounds="clip").fit(logits, labels, sample_weight=weights)
    asked = np.unique(logits)
    positive, negative = weights[labels == 1].sum(), weights[labels == 0].sum()
    expected = reference.predict(asked).clip(1 / (negative + 2), (positive + 1) / (positive + 2))
    assert len(np.unique(expected)) > 10
    np.testing.assert_allclose(fitted.probabilities(asked), expected, atol=1e-9)
    assert fitted.probabilities(np.array([-99.0, 99.0])) == pytest.approx(expected[[0, -1]])


def test_isotonic_regression_pools_what_is_out_of_order() -> None:
    fitted = fit_calibration(
        "isotonic", np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4)
    )
    assert fitted.probabilities(np.arange(4.0)) == pytest.approx([0.25, 0.5, 0.5, 0.75])


def test_without_calibration_a_logit_is_what_it_says() -> None:
    assert UNCALIBRATED.probabilities(np.array([0.0, 800.0, -800.0])).tolist() == [0.5, 1.0, 0.0]
