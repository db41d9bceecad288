"""The training loop that every Ray Train worker runs: resume, then epoch after epoch.

Checkpoints are written at the end of a round. There all ranks together have consumed an exact
prefix of the epoch's order, so any number of workers can resume.
"""

import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from torch import Tensor

from conf.contract import Manifest
from conf.errors import DivergedError, HeadraceError, InputError
from conf.settings.config import Config
from conf.workspace.folders import set_umask
from conf.workspace.json_files import is_there, write_json
from conf.workspace.storage import storage_error
from trainer.cluster.machine import gains_from_bf16
from trainer.data.columns import Columns, concatenate
from trainer.data.plan import Round, plan_epoch
from trainer.data.stream import read_row_groups
from trainer.training.checkpoint import load_checkpoint, save_checkpoint
from trainer.training.job import (
    Batch,
    Refit,
    TrainingJob,
    even_out_norms,
    lower_rate_at_plateau,
    most_memory,
    precision_of,
    set_learning_rate,
    sum_over_ranks,
    to_device,
)
from trainer.training.learner import Cursor, Learner
from trainer.training.optimizers import clip_gradients
from trainer.training.progress import PROGRESS_NAME, ProgressWriter, write_epochs

FAILURE_NAME = "failure.json"


def train_worker(settings: dict[str, Any]) -> None:
    """Train until the validation figure stops growing; the newest checkpoint is the result.

    An error that a user must fix would occur in every retry. So it is recorded, and a worker that
    finds such a record ends normally.
    """
    job = _open_job(settings)
    if is_there(job.work / FAILURE_NAME):
        return
    try:
        _train(job)
    except HeadraceError as error:
        _record(job, error)
    except OSError as error:
        told = storage_error(error, [job.work])
        if told is None:
            raise
        _record(job, told)


def _record(job: TrainingJob, error: HeadraceError) -> None:
    """Record an error; fail if there are other workers, which would wait for this one.

    A disk may fail, or a part of the data be damaged, for one worker alone. Ray then starts all
    again, and they find the record.
    """
    write_json(job.work / FAILURE_NAME, {"message": str(error), "kind": type(error).__name__})
    if job.world_size > 1:
        raise error


def _train(job: TrainingJob) -> None:
    learner = job.task.learner(job)
    saved = load_checkpoint(job.work)
    cursor = learner.load(saved) if saved else Cursor()
    while not cursor.finished:
        train_epoch(job, learner, cursor)
        _finish_epoch(job, learner, cursor)
        ray.train.report(cursor.curve[-1])


def _open_job(settings: dict[str, Any]) -> TrainingJob:
    config = Config.model_validate(settings["config"])
    set_umask(config.run.umask)  # a worker of a cluster has another one
    context, refit = ray.train.get_context(), settings["refit"]
    torch.set_num_threads(settings["threads"])
    return TrainingJob(
        config=config,
        manifest=Manifest.model_validate(settings["manifest"]),
        dataset=Path(settings["dataset"]),
        work=Path(settings["work"]),
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=ray.train.torch.get_device(),
        task=settings["task"],
        refit=None if refit is None else Refit(**refit),
        bars=tuple(settings["bars"]),
    )


def train_epoch(job: TrainingJob, learner: Learner, cursor: Cursor) -> None:
    """Train on the rest of the cursor's epoch, with checkpoints between rounds."""
    cursor.precision = cursor.precision or precision_of(job, gains_from_bf16(job.device))
    learner.objective.train()
    rounds, started = _plan(job, cursor), time.monotonic()
    progress = ProgressWriter(job.work / PROGRESS_NAME, first_rank=job.rank == 0)
    for number, (part, columns) in enumerate(_read_rounds(job, rounds), start=1):
        torch.manual_seed(hash((job.config.run.seed, cursor.epoch, part.groups_done, job.rank)))
        sums = _train_round(job, learner, cursor, part, columns, progress=progress)
        _add_round(job, cursor, part, sums)
        even_out_norms(job, learner)
        _require_finite(cursor)
        cursor.seconds, started = cursor.seconds + time.monotonic() - started, time.monotonic()
        if number < len(rounds) and number % job.config.train.checkpoint_every_rounds == 0:
            _checkpoint(job, learner, cursor)


def _plan(job: TrainingJob, cursor: Cursor) -> list[Round]:
    return plan_epoch(
        job.task.planned(job),
        seed=job.config.run.seed,
        epoch=cursor.epoch,
        world_size=job.world_size,
        batch_rows_per_rank=job.batch_rows_per_rank,
        block_rows=job.config.train.shuffle_block_rows,
        groups_done=cursor.groups_done,
    )


def _read_rounds(job: TrainingJob, rounds: list[Round]) -> Iterator[tuple[Round, Columns | None]]:
    """Yield each round with this rank's rows of it, or None if it has none."""
    stored = {(group.path, group.index): group for group in job.train_groups}
    groups = [
        stored[group.path, group.index]
        for part in rounds
        for group in part.groups_by_rank[job.rank]
    ]
    columns, threads = job.task.columns(job), job.config.train.stream_threads
    stream = read_row_groups(job.dataset, groups, columns, threads=threads)
    with closing(stream):
        for part in rounds:
            blocks = [next(stream)[1] for _ in part.groups_by_rank[job.rank]]
            yield part, concatenate(blocks) if blocks else None


def _train_round(
    job: TrainingJob,
    learner: Learner,
    cursor: Cursor,
    part: Round,
    columns: Columns | None,
    *,
    progress: ProgressWriter,
) -> Tensor:
    """Take the round's steps; return this rank's sums for `_add_round`."""
    sums = torch.zeros(6, dtype=torch.float64)
    task = job.task
    if columns is None:
        batches = iter([task.empty_batch(job)] * part.steps)
    else:
        columns = task.prepared(job, columns)
        sums[5] = task.num_rows(columns)
        batches = task.batches(job, cursor, part, columns)
    for batch in batches:
        set_learning_rate(job, learner.optimizer, cursor)
        loss, weight = _step(job, learner, batch, bf16=cursor.precision == "bf16")
        cursor.step += 1
        sums[:5] += torch.tensor(
            [loss, weight, batch.num_rows, batch.num_cells, batch.num_padding], dtype=torch.float64
        )
        loss_sum, weight_sum, rows_done = sums[:3].tolist()
        progress.write(
            epoch=cursor.epoch,
            loss=loss_sum / max(weight_sum, 1e-12),
            rows=cursor.rows_seen + rows_done * job.world_size,
        )
    return sums


def _step(job: TrainingJob, learner: Learner, batch: Batch, *, bf16: bool) -> tuple[float, float]:
    """Take one optimiser step on the mean loss over all ranks; return this rank's sums."""
    batch = to_device(batch, job.device)
    weight = batch.weight
    everywhere = sum_over_ranks(job, weight.detach().clone())
    with torch.autocast(job.device.type, dtype=torch.bfloat16, enabled=bf16):
        loss = learner.objective(batch)
    learner.optimizer.zero_grad()
    # Data parallelism averages the ranks' gradients; this scale makes it the mean over all rows.
    (loss * (job.world_size / everywhere.clamp(min=1e-12))).backward()
    clip_gradients(learner.model.parameters(), job.config.train.optimizer.clip_norm)
    learner.optimizer.step()
    learner.update_mean(job.config.train.optimizer.ema_decay)
    return float(loss.detach()), float(weight)


def _add_round(job: TrainingJob, cursor: Cursor, part: Round, sums: Tensor) -> None:
    """Add a round's [loss, weight, rows, cells, padding, rows given] sums over all ranks."""
    loss, weight, rows, cells, padding, given = sum_over_ranks(job, sums.to(job.device)).tolist()
    cursor.loss_sum += loss
    cursor.weight_sum += weight
    cursor.rows_seen += round(rows)
    cursor.rows_given += round(given)
    cursor.cells += round(cells)
    cursor.padding += round(padding)
    cursor.groups_done = part.groups_done


def _require_finite(cursor: Cursor) -> None:
    if not math.isfinite(cursor.loss_sum):
        raise DivergedError(
            f"the loss of epoch {cursor.epoch} is {cursor.loss_sum}: training has diverged; "
            "lower train.optimizer.learning_rate"
        )


def _require_weight(cursor: Cursor) -> None:
    """Refuse an epoch in which nothing was learned; it would be the same in every other one."""
    if cursor.weight_sum <= 0:
        raise InputError(
            "no training target of the network has a confidence above 0, so there is nothing to "
            "learn from: a target is an event after another one of its user; correct weight and "
            "confidence in etl.event_types, or train a model that counts, such as "
            "train.algorithm=popularity"
        )


def _finish_epoch(job: TrainingJob, learner: Learner, cursor: Cursor) -> None:
    """Check that each row was seen once, validate, decide whether to continue, and save."""
    _require_weight(cursor)
    rows = sum(group.rows for group in job.task.planned(job))
    seen, given = cursor.rows_seen, cursor.rows_given
    assert seen == given == rows, f"{seen} of {given} rows ({rows} in the shards) seen in an epoch"
    record: dict[str, float | None] = {
        "epoch": cursor.epoch,
        "loss": cursor.loss_sum / max(cursor.weight_sum, 1e-12),
        "rows": rows,
        "seconds": cursor.seconds,
        "padding_share": cursor.padding / max(cursor.cells, 1),
        "rate_scale": cursor.rate_scale,
        "peak_memory_bytes": most_memory(job),
    }
    train = job.config.train
    learner.objective.eval()
    with learner.mean_weights():
        value = job.task.validate(job, learner)
        # Without a figure no epoch is better than another: the newest weights are kept.
        if value is None or cursor.best_figure is None or value > cursor.best_figure:
            cursor.best_epoch, cursor.best_figure = cursor.epoch, value
            learner.keep_best()
    if job.refit is None:  # without the sign that makes higher better
        record[train.metric] = None if value is None else abs(value)
    cursor.curve.append(record)
    lower_rate_at_plateau(job, cursor)
    patience_over = cursor.epoch - cursor.best_epoch >= train.patience_epochs
    epochs = train.epochs if job.refit is None else job.refit.epochs
    cursor.finished = patience_over or cursor.epoch + 1 >= epochs
    cursor.pruned = not cursor.finished and cursor.is_below(job.bars)
    cursor.finished |= cursor.pruned
    cursor.begin_epoch()
    _checkpoint(job, learner, cursor)
    if job.rank == 0:
        write_epochs(job.work, cursor.curve)


def _checkpoint(job: TrainingJob, learner: Learner, cursor: Cursor) -> None:
    if job.rank == 0:
        number = cursor.epoch * (len(job.train_groups) + 1) + cursor.groups_done
        save_checkpoint(job.work, number, learner.state(cursor))
