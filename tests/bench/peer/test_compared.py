"""What is worked out of two curves, and that both trainings are one."""

import pytest

from tests.bench.peer.compared import compared, merged, time_to


def curve(*figures: float, seconds: float, lower: float = 0.0) -> list[dict[str, float]]:
    return [
        {"seconds": seconds, "cpu_seconds": seconds / 2, "dropped": figure, "kept": figure - lower}
        for figure in figures
    ]


def test_time_runs_to_the_end_of_the_first_epoch_at_the_target() -> None:
    found = curve(0.030, 0.045, 0.044, 0.050, seconds=8.0)

    assert time_to(found, 0.0450, "dropped", "seconds") == 16.0
    assert time_to(found, 0.0496, "dropped", "cpu_seconds") == 16.0
    assert time_to(found, 0.0600, "dropped", "seconds") is None


def test_ratio_is_of_the_mean_of_ours_over_the_peer() -> None:
    ours = [curve(0.046, 0.050, seconds=8.0, lower=0.01), curve(0.046, 0.050, seconds=12.0)]
    peer = curve(0.03, 0.046, 0.047, seconds=40.0)

    found = compared(ours, peer)

    # Means of 8 and 12 seconds, and the peer's second epoch.
    wanted = {"ours": 10.0, "peer": 80.0, "ratio": 0.125}
    assert found["seconds to 0.0450, seen items dropped"] == wanted
    assert found["cpu_seconds to 0.0450, seen items dropped"]["ratio"] == 0.125
    assert found["seconds to 0.0496, seen items dropped"]["ratio"] is None  # the peer is not there
    assert found["seconds to 0.0450, seen items kept"]["ours"] is None  # one of ours is not


def test_trainings_that_differ_are_not_taken_for_one() -> None:
    epochs = [{"epoch": 0, "ndcg@10": 0.0301, "seconds": 7.0}]
    again = curve(0.03014, seconds=9.0)

    assert merged(epochs, again)[0] == {**again[0], "seconds": 7.0}
    with pytest.raises(ValueError, match=r"0\.0301 by headrace train and 0\.0310"):
        merged(epochs, curve(0.031, seconds=9.0))
