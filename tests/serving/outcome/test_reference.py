"""Agreement with Open Bandit Pipeline, where it is installed: `pip install obp`."""

from typing import Any

import numpy as np
import pytest

from serving.outcome.estimators import DR, IPS, SNIPS, estimates, expected_rewards
from tests.serving.outcome.test_estimators import random_log

reference: Any = pytest.importorskip("obp.ope.estimators")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (IPS, "InverseProbabilityWeighting"),
        (SNIPS, "SelfNormalizedInverseProbabilityWeighting"),
        (DR, "DoublyRobust"),
    ],
)
def test_estimates_are_those_of_the_reference(name: str, kind: str) -> None:
    log = random_log(np.random.default_rng(5), 300)
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

    found = estimates(log, np.zeros(rows, dtype=np.int64), 1, 1.0)
    assert found[name].value[0] == pytest.approx(expected)
