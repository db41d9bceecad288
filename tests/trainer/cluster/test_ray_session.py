from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.load import load_config
from tests.packaging.checkout import CHECKOUT
from trainer.cluster.ray_session import ray_session


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:1"])
def test_a_ray_that_does_not_answer_is_named_at_once(address: str) -> None:
    config = load_config(Path(CHECKOUT) / "conf/demo.yaml", [f"ray.address={address}"])

    with pytest.raises(ConfigError, match="does not answer"), ray_session(config):
        pytest.fail("there is no Ray")
