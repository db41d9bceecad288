"""Figures of targets that are cold items, and of the others."""

import pytest

from tests.bench.quality.cold_beauty import figures_by_kind


def test_targets_that_are_no_cold_items_are_taken_together() -> None:
    segments = {
        name: {"targets": targets, "model": {"hr@10": {"value": value, "low": 0.0, "high": 1.0}}}
        for name, targets, value in (("head", 30, 0.2), ("tail", 10, 0.1), ("cold", 5, 0.4))
    }

    found = figures_by_kind(segments, ["hr@10"])

    assert found["model, cold items"] == {"hr@10": pytest.approx(0.4)}
    assert found["model, other items"] == {"hr@10": pytest.approx((30 * 0.2 + 10 * 0.1) / 40)}
