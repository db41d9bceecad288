import pytest

from conf.runs.results import cost_of_lists
from conf.settings.score import Score


def test_the_cost_of_lists_is_that_of_all_cores_of_the_workers() -> None:
    score = Score(workers=4, cpus_per_worker=2)
    found = cost_of_lists(score, users=500_000, seconds=1_800)
    assert found["users_per_second"] == pytest.approx(277.8)
    assert found["core_hours_per_million_users"] == 8 * 0.5 * 2  # half an hour for half a million


def test_no_users_cost_nothing() -> None:
    assert cost_of_lists(Score(), users=0, seconds=3) == {}
