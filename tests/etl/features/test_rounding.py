import math

from etl.features.fitting import few_digits


def test_the_last_bits_of_a_sum_do_not_count_half_way_between_two_numbers() -> None:
    mean = 149.95125  # of 800 prices, 119,961 together
    around = {mean, math.nextafter(mean, 0), math.nextafter(mean, 200)}
    assert len({f"{figure:.7g}" for figure in around}) == 2
    assert len({few_digits(figure) for figure in around}) == 1
    assert few_digits(2 / 3) == 0.6666667
