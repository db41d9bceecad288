from collections.abc import Iterator

import pytest

from tests.serving.scoring_here import scoring_here


@pytest.fixture
def scored_here() -> Iterator[None]:
    """Score in this process."""
    with scoring_here():
        yield
