import numpy as np
import pytest

from conf.contract import MODEL_NAME
from trainer.evaluation.against_baselines import against_baselines

EVERY_USER = np.arange(40)


def verdict(own: list[float], theirs: list[float], metric: str = "hr@10") -> str:
    gained = {MODEL_NAME: np.array(own), "markov": np.array(theirs)}
    users = np.arange(len(own))
    return str(against_baselines(metric, gained, users, seed=1)["verdict"])


def test_a_baseline_that_is_right_for_every_user_beats_a_model_that_never_is() -> None:
    found = against_baselines(
        "hr@10", {MODEL_NAME: np.zeros(40), "markov": np.ones(40)}, EVERY_USER, seed=1
    )
    assert (found["verdict"], found["model"], found["users"]) == ("beaten", 0.0, 40)
    lead = found["baselines"]["markov"]
    assert (lead["value"], lead["lead"], lead["low"], lead["high"]) == (1.0, 1.0, 1.0, 1.0)


def test_three_users_prove_nothing_however_they_agree() -> None:
    """Of 8 ways to swap three users' outcomes, 2 give a difference as large: p is about .25."""
    assert verdict([0.0] * 3, [1.0] * 3) == "lower"
    assert verdict([0.0], [1.0]) == "lower"
    assert verdict([0.0] * 8, [1.0] * 8) == "beaten"  # 2 of 256


def test_users_who_disagree_leave_a_lead_within_the_noise() -> None:
    own, theirs = [1.0, 0.0] * 20, [0.0, 1.0] * 20
    assert verdict(own, theirs) == "passed"
    assert verdict([*own, 0.0], [*theirs, 1.0]) == "lower"
    assert verdict([*own, 1.0], [*theirs, 0.0]) == "passed"


def test_the_events_of_one_user_are_one_witness() -> None:
    gained = {MODEL_NAME: np.zeros(40), "markov": np.ones(40)}
    of_two = against_baselines("hr@10", gained, np.repeat([1, 2], 20), seed=1)
    assert (of_two["verdict"], of_two["users"], of_two["targets"]) == ("lower", 2, 40)


def test_nothing_to_compare_is_said_to_be_unchecked() -> None:
    nothing = np.zeros(0)
    for gained in ({MODEL_NAME: nothing, "markov": nothing}, {MODEL_NAME: np.ones(40)}):
        found = against_baselines("hr@10", gained, EVERY_USER, seed=1)
        assert (found["verdict"], found["baselines"]) == ("unchecked", {})
    assert against_baselines("hr@10", {MODEL_NAME: nothing}, EVERY_USER, seed=1)["model"] is None


def test_a_lower_loss_is_better_and_is_shown_with_its_own_sign() -> None:
    found = against_baselines(
        "log_loss",
        {MODEL_NAME: np.full(40, -0.7), "item_rate": np.full(40, -0.5)},
        EVERY_USER,
        seed=1,
    )
    assert found["verdict"] == "beaten" and found["model"] == pytest.approx(0.7)
    lead = found["baselines"]["item_rate"]
    assert (lead["value"], lead["lead"]) == (pytest.approx(0.5), pytest.approx(0.2))
