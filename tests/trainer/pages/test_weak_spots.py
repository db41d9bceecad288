"""Each rule finds what it says, and nothing else, in figures written out by hand."""

from typing import Any

from trainer.pages.weak_spots import far_from_the_whole, weak_spots, worse_than_a_baseline

Figures = dict[str, dict[str, float]]


def bounded(value: float, width: float = 0.01, name: str = "hr@10") -> Figures:
    return {name: {"value": value, "low": value - width, "high": value + width}}


def segment(targets: int, model: Figures, popularity: Figures) -> dict[str, Any]:
    return {"targets": targets, "model": model, "popularity": popularity}


def metrics_of(**divisions: Any) -> dict[str, Any]:
    whole = segment(1000, bounded(0.30), bounded(0.10))
    return {"segments": {"all": {"all": whole}, **divisions}}


def test_a_good_model_has_no_weak_spot() -> None:
    fine = segment(500, bounded(0.28), bounded(0.10))
    lists = {"length": 10, "model": {"coverage": 0.5, "shares": {"head": 0.5}}}
    curve = [{"epoch": 0}, {"epoch": 1}, {"epoch": 2}]
    test = {"model": {"hr@10": 0.3, "ece": 0.01}}
    metrics = metrics_of(users={"known": fine})
    assert (
        weak_spots({**metrics, "lists": lists, "epochs": curve, "best_epoch": 1, "test": test})
        == []
    )
    assert weak_spots({}) == []


def test_a_segment_where_a_baseline_is_better_is_named_with_both_figures() -> None:
    metrics = metrics_of(
        users={
            "new": segment(30, bounded(0.20), bounded(0.25)),
            "known": segment(970, bounded(0.31), bounded(0.31)),  # as good is no weakness
        },
        activity={"1-4": segment(29, bounded(0.0), bounded(0.9))},  # too few to say
    )
    (spot,) = worse_than_a_baseline(metrics)
    assert spot.what == "new users: hr@10 is below that of popularity"
    assert spot.figures == "0.2000 against 0.2500, 30 targets; the intervals do not overlap"


def test_of_a_loss_less_is_better() -> None:
    whole = segment(500, bounded(0.4, name="log_loss"), bounded(0.5, name="log_loss"))
    new = segment(50, bounded(0.9, 0.05, "log_loss"), bounded(0.6, 0.4, "log_loss"))
    metrics = {"segments": {"all": {"all": whole}, "users": {"new": new}}}
    (spot,) = worse_than_a_baseline(metrics)
    assert spot.what == "new users: log_loss is above that of popularity"
    assert spot.figures.endswith("the intervals overlap")
    (far,) = far_from_the_whole(metrics)  # 0.85 is more than twice 0.4
    assert far.figures == "0.9000 against 0.4000, 50 targets"


def test_what_is_served_far_worse_than_all_is_told_unless_it_may_be_chance() -> None:
    metrics = metrics_of(
        popularity={
            "tail": segment(300, bounded(0.13), bounded(0.01)),  # at most 0.14, half is 0.15
            "mid": segment(300, bounded(0.145), bounded(0.01)),  # it may be 0.155
        }
    )
    (spot,) = far_from_the_whole(metrics)
    assert spot.what == "tail items: hr@10 is far worse than that of all targets"


def test_narrow_lists_an_early_end_unsure_figures_and_wrong_probabilities_are_told() -> None:
    metrics = {
        "lists": {"length": 10, "model": {"coverage": 0.09, "shares": {"head": 0.76}}},
        "epochs": [{"epoch": 0}, {"epoch": 1}], "best_epoch": 1,
        "segments": {"all": {"all": segment(40, bounded(0.2, 0.06), bounded(0.1))}},
        "test": {"model": {"liked.ece": 0.03, "liked.auc": 0.9}},
    }  # fmt: skip
    assert [spot.what for spot in weak_spots(metrics)] == [
        "most of the catalogue is recommended to nobody",
        "lists contain mostly the most popular items",
        "hr@10 is uncertain",
        "training ended while validation was still improving",
        "predicted probabilities differ from observed rates",
    ]


def test_a_blends_network_that_ended_early_is_told_too() -> None:
    early = {"epochs": [{"epoch": 0}, {"epoch": 1}], "best_epoch": 1}
    late = {**early, "best_epoch": 0}
    for network, found in ((early, 1), (late, 0), ({"id": "published"}, 0)):
        members = {"popularity": {"training": {}}, "neural": network}
        assert len(weak_spots({"members": members})) == found


def test_figures_without_data_are_no_weak_spot_but_those_of_one_user_are() -> None:
    one = {"hr@10": {"value": 0.5, "low": None, "high": None}}
    less = {"hr@10": {"value": 0.75, "low": None, "high": None}}
    nothing = {"coverage": None, "shares": {"head": None}}
    metrics = {
        "segments": {"all": {"all": segment(40, one, less)}},
        "lists": {"length": 10, "model": nothing},
        "test": {"model": {"hr@10": 0.5, "ece": None}},
    }

    worse, unsure = weak_spots(metrics)

    assert worse.figures.endswith("40 targets; all of one user, so there are no intervals")
    assert unsure.figures == "0.5000, without an interval, 40 targets"
