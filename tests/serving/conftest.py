from collections.abc import Iterator

import pytest

from tests.serving.tiny_shop import tiny_config
from trainer.cluster.ray_session import ray_session


@pytest.fixture(scope="module")
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests that score in this process."""
    with ray_session(tiny_config(tmp_path_factory.mktemp("ray"))):
        yield
