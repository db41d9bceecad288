"""Every gate judges the lists of a scenario by the limits of the scenario."""

import pytest

from conf.errors import GateError
from conf.settings.lists.gates import Above, Gates
from conf.settings.score import Score
from serving.gates.verdicts import GATES, require_passed
from tests.serving.gates.test_gates import manifest_of

BROKEN: dict[str, dict[str, int]] = {
    "unexplained_short_lists": {"unexplained": 300}, "unknown_ids": {"unknown_ids": 1200},
    "duplicate_items": {"duplicate_items": 1200}, "seen_items": {"seen_items": 1200},
    "rule_violations": {"rule_violations": 1200}, "misplaced_rows": {"misplaced_rows": 1200},
    "bad_scores": {"bad_scores": 1200}, "bad_propensities": {"bad_propensities": 1200},
    "unscored_users": {"unscored_users": 300}, "users_without_lists": {"users_without_lists": 300},
    "short_lists": {"full_lists": 700}, "fallback_lists": {"fallback_lists": 300},
    "distinct_lists": {"distinct_lists": 100}, "catalogue_coverage": {"listed_items": 5},
    "overlap_with_previous": {"compared_users": 9},
    "users_lost": {"previous_users": 10, "lost_users": 3},
    "coverage_lost": {"previous_listed_items": 10, "fewer_listed_items": 3},
    "candidate_recall": {"best_items": 10, "recalled_items": 1},
    "index_recall": {"index_best_items": 10, "index_found_items": 1},
}  # fmt: skip


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_judges_the_lists_of_a_scenario_by_its_own_limit(gate: str) -> None:
    """Shares of 0.3 and 0.1 pass the default lists, and are too bad for the cart."""
    overlap = 0.1 if gate == "overlap_with_previous" else None
    lists = manifest_of(overlap, **BROKEN[gate])
    is_above = isinstance(getattr(Gates(), gate), Above)
    wide, tight = (
        ({"warn_above": None, "refuse_above": 1}, {"refuse_above": 0.2})
        if is_above
        else ({"warn_below": None, "refuse_below": 0}, {"refuse_below": 0.2})
    )
    score = Score.model_validate(
        {"gates": {gate: wide}, "scenarios": {"cart": {"gates": {gate: wide | tight}}, "home": {}}}
    )
    good = manifest_of()
    whole = {**lists, "scenarios": {"home": lists, "cart": good}}

    assert require_passed(whole, score)["scenarios"]["home"]["gates"][gate]
    with pytest.raises(GateError, match=rf"1 gate\(s\) failed\n  {gate}: scenario cart:") as error:
        require_passed({**whole, "scenarios": {"home": lists, "cart": lists}}, score)
    assert f"score.scenarios.cart.gates.{gate}.refuse_" in str(error.value)
    assert (error.value.made or {})["scenarios"]["cart"]["gates"][gate] is False
