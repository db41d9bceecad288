"""Two deliveries, the second with new items, and the training loop without Ray."""

from pathlib import Path

import torch

from conf.contract import NUM_RESERVED, Manifest
from conf.runs.inputs.request_keys import model_request
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.pointers import publish
from tests.trainer.small_parts import write_config, write_dataset
from trainer.models.bundle import Trained, model_section, save_bundle
from trainer.retrieval.task import RetrievalTask
from trainer.training.checkpoint import load_checkpoint
from trainer.training.job import TrainingJob
from trainer.training.learner import Cursor, Learner
from trainer.training.loop import _finish_epoch, train_epoch

OLD, NEW = 12, 2
NEW_ONE, NEW_TWO = OLD + NUM_RESERVED, OLD + NUM_RESERVED + 1
ROUND = [[2 + (user + step) % OLD for step in range(6)] for user in range(24)]
NEXT = [2 + (user + 6) % OLD for user in range(24)]
# The first new item comes between 2 and 3, and after 5; the second one between 13 and 2.
LATER = [*ROUND, [2, NEW_ONE, 3], [5, NEW_ONE], [13, NEW_TWO, 2], [13, NEW_TWO, 2]]
SETTINGS = (
    "train.batch_rows=8", "train.epochs=3", "train.optimizer.learning_rate=0.02",
    "train.optimizer.warmup_steps=0", "train.save_optimizer=true", "train.model.dropout=0.1",
    "train.warm_start.neighbour_distance=1", "train.shuffle_block_rows=10", "train.metric=hr@1",
)  # fmt: skip


def make_deliveries(folder: Path) -> tuple[Path, Manifest, str]:
    """Return a workspace with two datasets, the second one, and a model of the first."""
    first = write_dataset(folder, ROUND, NEXT, NEXT, items=OLD)
    torch.set_num_threads(1)
    config = configured(folder)
    learner, _ = trained(job_of(config, first, folder / "work"))
    model = saved(config, first, learner)
    targets = [*NEXT, 3, 3, 3, 3]
    second = write_dataset(
        folder, LATER, targets, targets, items=OLD + NEW, name="later", base=first
    )
    return folder, second, model


def configured(workspace: Path, *overrides: str) -> Config:
    return load_config(write_config(workspace), [*SETTINGS, *overrides])


def saved(config: Config, manifest: Manifest, learner: Learner) -> str:
    section = model_section(config, manifest)
    trained = Trained(section, learner.best, {}, learner.best_state)
    model = save_bundle(config, manifest, model_request(config, manifest.id), trained)
    publish(Path(config.run.output), "models", model, manifest.logical_date)
    return model


def job_of(config: Config, manifest: Manifest, work: Path) -> TrainingJob:
    work.mkdir(exist_ok=True)
    dataset = Path(config.run.output) / "datasets" / manifest.id
    return TrainingJob(config, manifest, dataset, work, 0, 1, torch.device("cpu"), RetrievalTask())


def trained(job: TrainingJob, most_epochs: int = 99) -> tuple[Learner, Cursor]:
    """Do what a worker does, Ray apart."""
    learner = job.task.learner(job)
    state = load_checkpoint(job.work)
    cursor = learner.load(state) if state else Cursor()
    while not cursor.finished and cursor.epoch < most_epochs:
        train_epoch(job, learner, cursor)
        _finish_epoch(job, learner, cursor)
    return learner, cursor
