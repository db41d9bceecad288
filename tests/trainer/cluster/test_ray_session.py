from pathlib import Path

import pytest
import ray

from conf.errors import ConfigError
from conf.settings.load import load_config
from tests.packaging.checkout import CHECKOUT
from trainer.cluster.lasting import one_ray
from trainer.cluster.machine import num_cores
from trainer.cluster.ray_session import cpus_of_worker, ray_session


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:1"])
def test_a_ray_that_does_not_answer_is_named_at_once(address: str) -> None:
    config = load_config(Path(CHECKOUT) / "conf/demo.yaml", [f"ray.address={address}"])

    with pytest.raises(ConfigError, match="does not answer"), ray_session(config):
        pytest.fail("there is no Ray")


def test_stages_of_one_command_share_a_ray_that_starts_when_it_is_needed() -> None:
    config = load_config(Path(CHECKOUT) / "conf/demo.yaml", ["ray.object_store_mib=100"])
    jobs = []

    with pytest.raises(ValueError, match="of a stage"), one_ray():
        assert not ray.is_initialized()
        for _stage in range(2):
            with ray_session(config):
                jobs.append(ray.get_runtime_context().get_job_id())
        assert ray.is_initialized()
        raise ValueError("of a stage")

    assert len(jobs) == 2 and len(set(jobs)) == 1
    assert not ray.is_initialized()


def test_the_workers_of_one_machine_share_its_cores() -> None:
    def cpus(*changes: str) -> int:
        return cpus_of_worker(load_config(Path(CHECKOUT) / "conf/demo.yaml", changes))

    assert cpus() == cpus("train.cpus_per_worker=auto") == num_cores()
    assert cpus("ray.num_cpus=1") == 1
    assert cpus("train.workers=2") == max(num_cores() // 2, 1)
    assert cpus("train.max_workers=999", "train.workers=999") == 1
    assert cpus("train.cpus_per_worker=3", "ray.num_cpus=1") == 3
    assert cpus("ray.address=10.0.0.1:6379") == 1  # nobody knows the machine yet
