"""Agreement with Open Bandit Pipeline: with its values, and with itself where it is installed."""

from typing import Any

import numpy as np
import pytest

from serving.outcome.estimators import DR, IPS, SNIPS, Logged, estimates, expected_rewards
from tests.serving.outcome.test_estimators import random_log

KINDS = {
    IPS: "InverseProbabilityWeighting",
    SNIPS: "SelfNormalizedInverseProbabilityWeighting",
    DR: "DoublyRobust",
}
VALUES = {IPS: 0.10052938891493315, SNIPS: 0.394666108677859, DR: 0.41646799938845663}
"""Of obp 0.5.7 for `given_log`, computed on 2026-12-01."""


def given_log() -> Logged:
    return random_log(np.random.default_rng(5), 300)


def value_of(log: Logged, name: str) -> float:
    found = estimates(log, np.zeros(len(log.user), dtype=np.int64), 1, 1.0)
    return float(found[name].value[0])


@pytest.mark.parametrize("name", KINDS)
def test_estimates_are_the_values_of_the_reference(name: str) -> None:
    assert value_of(given_log(), name) == pytest.approx(VALUES[name], rel=1e-12)


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_estimates_are_those_of_the_installed_reference(name: str, kind: str) -> None:
    reference: Any = pytest.importorskip("obp.ope.estimators")
    log = given_log()
    rows, items = len(log.user), 8
    shown, wanted = expected_rewards(log)
    policy, model = np.zeros((rows, items, 1)), np.zeros((rows, items, 1))
    policy[np.arange(rows), log.wanted, 0] = 1
    model[np.arange(rows), log.item, 0] = shown
    model[np.arange(rows), log.wanted, 0] = wanted
    given: dict[str, Any] = {"estimated_rewards_by_reg_model": model} if name == DR else {}

    expected = getattr(reference, kind)().estimate_policy_value(
        reward=log.reward,
        action=log.item,
        pscore=log.propensity,
        action_dist=policy,
        position=np.zeros(rows, dtype=int),
        **given,
    )

    assert value_of(log, name) == pytest.approx(expected, rel=1e-12)
