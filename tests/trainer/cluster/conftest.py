import pytest


@pytest.fixture(scope="module", autouse=True)
def _own_ray(without_ray: None) -> None:
    """Each test here starts the Ray that it needs."""
