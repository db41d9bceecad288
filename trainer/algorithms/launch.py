"""Train and measure the model that `train.algorithm` names and commit its bundle."""

import shutil
from collections.abc import Callable
from pathlib import Path

from conf.contract import MAIN, Manifest
from conf.settings.config import Config
from conf.workspace.folders import own_folder
from conf.workspace.json_files import written_whole
from conf.workspace.versions import WORK_OWNER, read_manifest
from trainer.algorithms import blended, counted
from trainer.cluster.ray_session import ray_session, require_room
from trainer.data.trained_on import require_confidence
from trainer.models.bundle import Trained, save_bundle
from trainer.models.counting import COUNTING
from trainer.pages.card import card_of_trained
from trainer.ranking import train as ranking_train
from trainer.retrieval import train as retrieval_train
from trainer.training.progress import signs_of_life

_TRAINERS: dict[str, Callable[[Config, Manifest, Path], Trained]] = {
    "neural": retrieval_train.train,
    "ranking": ranking_train.train,
    "hybrid": blended.train,
    **dict.fromkeys(COUNTING, counted.train),
}
"""Training function by `train.algorithm`."""


def run(config: Config, *, dataset_id: str, request: str, role: str = MAIN) -> str:
    """Train, measure and commit a model of the given dataset and role; return its id.

    An interrupted run of the same request continues from its newest checkpoint.
    """
    manifest = read_manifest(Path(config.run.output), "datasets", dataset_id, Manifest)
    if config.train.algorithm != "ranking":
        require_confidence(Path(config.run.output) / "datasets" / dataset_id, manifest)
    if config.train.algorithm == "neural":
        retrieval_train.require_sound(config, manifest)  # before Ray starts
    work = work_folder(config, request)
    with signs_of_life("train"):
        with ray_session(config):
            require_room(config)
            trained = _TRAINERS[config.train.algorithm](config, manifest, work)
        return committed(config, manifest, request, trained, work, role=role)


def committed(
    config: Config,
    manifest: Manifest,
    request: str,
    trained: Trained,
    work: Path,
    *,
    role: str = MAIN,
) -> str:
    """Write the card of a trained model, commit its bundle, remove its work; return its id."""
    card = card_of_trained(config, manifest, request, trained)
    version = save_bundle(config, manifest, request, trained, card, role=role)
    shutil.rmtree(work, ignore_errors=True)
    return version


def work_folder(config: Config, request: str) -> Path:
    """Return the folder of checkpoints for `request`; create it if it does not exist."""
    workspace = Path(config.run.output).resolve()
    base = Path(config.ray.storage).resolve() if config.ray.storage else workspace / "models"
    folder = base / f".work-{request[:12]}"
    own_folder(folder)
    with written_whole(folder / WORK_OWNER) as stream:
        stream.write(str(workspace).encode())
    return folder
