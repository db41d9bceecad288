import numpy as np
import pytest

from trainer.choosing.choice import choose, standard_error

ORDER = ("popularity", "markov", "ease", "hybrid")


def chosen(gained: dict[str, list[float]], users: list[int] | None = None) -> str:
    arrays = {name: np.array(values) for name, values in gained.items()}
    count = len(next(iter(arrays.values())))
    owners = np.arange(count) if users is None else np.array(users)
    return choose("hr@10", arrays, owners, from_simplest=ORDER, seed=1).name


def test_the_standard_error_is_that_of_the_mean_over_users() -> None:
    """Values 0, 0, 1, 1: deviation .5, and .5 * sqrt(4 / 3) / sqrt(4) with the sample's."""
    values = np.array([0.0, 0.0, 1.0, 1.0])
    assert standard_error(values, np.arange(4)) == pytest.approx(np.std(values, ddof=1) / 2)
    assert standard_error(values, np.array([1, 1, 1, 1])) == 0.0


def test_events_of_one_user_count_once() -> None:
    each = np.array([0.0, 1.0, 1.0, 0.0])
    twice, owners = np.repeat(each, 2), np.repeat(np.arange(4), 2)
    assert standard_error(twice, owners) == pytest.approx(standard_error(each, np.arange(4)))


def test_the_best_is_chosen_where_it_is_clearly_better() -> None:
    assert chosen({"popularity": [0.0] * 40, "ease": [1.0] * 30 + [0.0] * 10}) == "ease"


def test_the_simpler_one_is_chosen_within_the_noise() -> None:
    """They disagree about 21 of 40 users, 11 to 10: a lead of .025, standard error .115."""
    one = [1.0] * 10 + [0.0] * 11 + [1.0] * 19
    other = [0.0] * 10 + [1.0] * 11 + [1.0] * 19
    assert chosen({"markov": one, "hybrid": other}) == "markov"
    assert chosen({"markov": other, "hybrid": one}) == "markov"
    assert chosen({"hybrid": other, "markov": one}) == "markov"  # the order given does not matter


def test_a_small_lead_that_is_certain_is_no_noise() -> None:
    """The best one is right about 10 users more, and never wrong where the other is right."""
    assert chosen({"markov": [0.0] * 500, "ease": [1.0] * 10 + [0.0] * 490}) == "ease"


def test_of_equal_ones_the_simplest_is_chosen() -> None:
    assert chosen({name: [0.0] * 5 for name in ORDER}) == "popularity"
    assert chosen({name: [1.0] for name in ORDER[1:]}) == "markov"


def test_figures_say_how_far_each_model_is_behind() -> None:
    found = choose(
        "hr@10",
        {"markov": np.array([0.0, 1.0, 0.0, 0.0]), "ease": np.array([1.0, 1.0, 1.0, 0.0])},
        np.arange(4),
        from_simplest=ORDER,
        seed=1,
    )
    assert (found.figures["markov"]["value"], found.figures["ease"]["value"]) == (0.25, 0.75)
    assert (found.figures["markov"]["behind"], found.figures["ease"]["behind"]) == (0.5, 0.0)
    assert found.name == "ease" and "highest hr@10" in found.reason
