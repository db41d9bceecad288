"""How the workers of a training find each other: on one machine through a file, not the network."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import (
    _set_torch_distributed_env_vars,
    _setup_torch_process_group,
    _TorchBackend,
)


@dataclass
class FileTorchConfig(TorchConfig):
    """Workers on one machine that meet in a file.

    The TCP store of Ray's configuration listens on every interface and obeys whoever connects.
    """

    folder: str = ""
    """Folder of the file, which only this user can open."""

    @property
    def backend_cls(self) -> type["_FileBackend"]:
        """The backend that Ray Train starts."""
        return _FileBackend


class _FileBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        uses_gpu = worker_group.get_resources_per_worker().get("GPU", 0) > 0
        meeting = Path(backend_config.folder) / f"rendezvous-{uuid.uuid4().hex}"
        worker_group.execute(_set_torch_distributed_env_vars)
        ray.get(
            [
                worker_group.execute_single_async(
                    rank,
                    _setup_torch_process_group,
                    backend="nccl" if uses_gpu else "gloo",
                    world_rank=rank,
                    world_size=len(worker_group),
                    init_method=meeting.as_uri(),
                    timeout_s=backend_config.timeout_s,
                )
                for rank in range(len(worker_group))
            ]
        )


def torch_config(timeout_seconds: int, private_folder: Path | None) -> TorchConfig:
    """Return how the workers meet.

    Args:
        timeout_seconds: Longest wait of a worker for the others.
        private_folder: Folder of a Ray of this machine alone; None: a cluster, where the workers
            meet over the network.
    """
    if private_folder is None:
        return TorchConfig(timeout_s=timeout_seconds)
    return FileTorchConfig(timeout_s=timeout_seconds, folder=str(private_folder))
