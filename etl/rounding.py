"""Figures whose last bits depend on the order in which rows were added up."""

_DIGITS, _STEP_DIGITS = 7, 12


def few_digits(figure: float) -> float:
    """Round to seven significant digits, so that the last bits do not count.

    In two steps: the mean of prices may lie half-way between two numbers of few digits, where
    the last bits alone would say which of them it becomes.
    """
    return float(f"{float(f'{figure:.{_STEP_DIGITS}g}'):.{_DIGITS}g}")
