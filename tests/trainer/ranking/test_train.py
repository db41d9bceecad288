"""The training loop on impressions with a right answer, without Ray."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conf.contract import Manifest, RowGroup
from conf.errors import InputError
from conf.settings.config import Config
from tests.trainer.impression_log import PARTS, config_for, job_of, write_impressions
from trainer.cluster.shares import in_order
from trainer.data.columns import concatenate
from trainer.data.plan import plan_epoch
from trainer.data.stream import read_row_groups
from trainer.networks.ranking_objective import row_logits
from trainer.ranking.counts import count_training
from trainer.ranking.impressions import read_impressions, sampling_of
from trainer.ranking.layout import layout_of, section_of
from trainer.ranking.metrics import auc, log_loss, rmse
from trainer.ranking.scores import ScoredRows, _score_share, together
from trainer.training.job import TrainingJob
from trainer.training.learner import Cursor, Learner
from trainer.training.loop import _finish_epoch, train_epoch


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    workspace = tmp_path_factory.mktemp("impressions")
    manifest = write_impressions(workspace / "datasets/impressions", config_for(workspace, {}))
    return workspace, manifest


def trained(
    made: tuple[Path, Manifest], work: Path, ranking: dict[str, Any], **train: Any
) -> tuple[TrainingJob, Learner, Cursor]:
    workspace, manifest = made
    torch.set_num_threads(1)
    config = config_for(workspace, ranking, **train)
    job = job_of(config, manifest, workspace / "datasets/impressions", work)
    learner, cursor = job.task.learner(job), Cursor()
    while not cursor.finished:
        train_epoch(job, learner, cursor)
        _finish_epoch(job, learner, cursor)
    return job, learner, cursor


def scored(job: TrainingJob, learner: Learner, part: str = "test") -> ScoredRows:
    section = section_of(job.config, job.manifest, layout_of(job.config, job.manifest))
    groups = job.manifest.row_groups(f"{part}_impressions")
    return together(rows_of((job.config, job.manifest, section, learner.best), groups))


def rows_of(shared: Any, groups: Sequence[RowGroup]) -> list[ScoredRows]:
    return [rows for rows, _ in _score_share(shared, groups)]


def mean_of_training(job: TrainingJob, label: int = 0) -> float:
    layout = layout_of(job.config, job.manifest)
    sampling = sampling_of(job.dataset, job.manifest, job.config.train.ranking.sampling)
    is_rating = job.config.train.ranking.loss == "mse"
    counts = count_training(job.dataset, job.manifest, layout, sampling, is_rating=is_rating)
    return float(counts.means()[label])


def test_training_starts_at_the_same_chances_whatever_the_correction(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    """What the loss takes from the logits, uniform here, is in the first bias."""
    workspace, manifest = made
    folder, chances = workspace / "datasets/impressions", []
    for how in ("none", "logit"):
        config = config_for(workspace, {"sampling": how})
        job = job_of(config, manifest, folder, tmp_path)
        model, layout = job.task.learner(job).model, layout_of(config, manifest)
        groups = manifest.row_groups("train_impressions")[:1]
        sampling = sampling_of(folder, manifest, how)
        (batch,) = read_impressions(folder, groups, manifest, layout, sampling)
        with torch.no_grad():
            chances.append(row_logits(model.eval()(batch).float(), batch))

    torch.testing.assert_close(chances[0], chances[1])


@pytest.mark.parametrize(
    "ranking",
    [
        {"interaction": "linear", "history": "none"},
        {"interaction": "wide_deep", "history": "mean"},
        {"interaction": "deepfm", "history": "target_attention", "batch_norm": True},
        {"interaction": "dcnv2", "history": "none", "embedding_l2": 1e-4},
        {"interaction": "dlrm", "history": "mean", "unknown_share": 0.1},
        {"interaction": "finalmlp", "history": "none", "heads": 2, "dropout": 0.1},
    ],
    ids=lambda ranking: ranking["interaction"],
)
def test_each_interaction_learns_more_than_the_mean(
    made: tuple[Path, Manifest], tmp_path: Path, ranking: dict[str, Any]
) -> None:
    job, learner, cursor = trained(made, tmp_path, ranking)
    rows = scored(job, learner)
    said = rows.of_model(0, is_rating=False)
    mean = rows.predictions(0, np.full(len(rows.users), mean_of_training(job)))
    is_linear = ranking["interaction"] == "linear"
    assert log_loss(said) < log_loss(mean) - (0.015 if is_linear else 0.1)
    assert auc(said) > (0.6 if is_linear else 0.78) > 0.5 == auc(mean)
    assert all(record["rows"] == PARTS["train"] for record in cursor.curve)
    assert cursor.curve[-1]["loss"] < cursor.curve[0]["loss"]


def test_several_labels_are_learned_by_experts(made: tuple[Path, Manifest], tmp_path: Path) -> None:
    ranking = {"labels": {"bought": 1.0, "liked": 0.5}, "multi_task": "mmoe", "experts": 2,
               "tower_hidden": [4], "history": "none"}  # fmt: skip
    job, learner, _ = trained(made, tmp_path, ranking)
    rows = scored(job, learner)
    for label, name in enumerate(("bought", "liked")):
        said = rows.of_model(label, is_rating=False)
        mean = rows.predictions(label, np.full(len(rows.users), mean_of_training(job, label)))
        assert log_loss(said) < log_loss(mean) - 0.04, name
        assert auc(said) > 0.75, name


def test_ratings_are_learned_and_stopped_by_the_least_error(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    ranking = {"labels": {"stars": 1.0}, "loss": "mse", "history": "none", "interaction": "dcnv2"}
    job, learner, cursor = trained(made, tmp_path, ranking, metric="rmse")
    rows = scored(job, learner)
    mean = rows.predictions(0, np.full(len(rows.users), mean_of_training(job)))
    assert rmse(rows.of_model(0, is_rating=True)) < 0.9 * rmse(mean)
    curve = [record["rmse"] for record in cursor.curve]
    assert cursor.best_epoch == int(np.argmin(curve)) and -cursor.best_figure == min(curve)


def test_validation_is_measured_on_all_rows_and_takes_the_best_epoch(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    job, learner, cursor = trained(made, tmp_path, {"history": "none"}, epochs=3)
    rows = scored(job, learner, "valid")
    assert len(rows.users) == PARTS["valid"]
    assert auc(rows.of_model(0, is_rating=False)) == pytest.approx(cursor.best_figure, abs=1e-12)
    assert cursor.best_figure == max(record["auc"] for record in cursor.curve)


def test_workers_together_say_to_the_last_digit_what_one_says(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    job, learner, _ = trained(made, tmp_path, {"batch_norm": True}, epochs=1)
    section = section_of(job.config, job.manifest, layout_of(job.config, job.manifest))
    shared = (job.config, job.manifest, section, learner.best)
    groups = job.manifest.row_groups("test_impressions")
    alone = together(rows_of(shared, groups))
    for workers in (2, 3):
        parts = [rows_of(shared, groups[worker::workers]) for worker in range(workers)]
        for one, other in zip(together(in_order(parts)), alone, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_ranks_batches_hold_each_row_once(made: tuple[Path, Manifest], tmp_path: Path) -> None:
    workspace, manifest = made
    config = config_for(workspace, {})
    job = job_of(config, manifest, workspace / "datasets/impressions", tmp_path)
    task = job.task
    seen: list[tuple[int, int, float]] = []
    (round_,) = plan_epoch(
        job.train_groups, seed=1, epoch=0, world_size=1, batch_rows_per_rank=64, block_rows=9999
    )
    stream = read_row_groups(job.dataset, round_.groups_by_rank[0], task.columns(job))
    rows = concatenate([columns for _, columns in stream])
    batches = list(task.batches(job, Cursor(), round_, rows))
    assert len(batches) == round_.steps == -(-PARTS["train"] // 64)
    for batch in batches:
        keys = zip(batch.user_idx, batch.item_idx, batch.numbers[:, 0], strict=True)
        seen += [(int(user), int(item), float(number)) for user, item, number in keys]
    layout = layout_of(config, manifest)
    whole = read_impressions(
        job.dataset, job.train_groups, manifest, layout, sampling_of(job.dataset, manifest, "none")
    )
    expected = [
        (int(user), int(item), float(number))
        for batch in whole
        for user, item, number in zip(
            batch.user_idx, batch.item_idx, batch.numbers[:, 0], strict=True
        )
    ]
    assert sorted(seen) == sorted(expected) and seen != expected


def test_a_moving_mean_of_weights_goes_with_norms_and_marks(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    options = {"learning_rate": 0.02, "warmup_steps": 0, "ema_decay": 0.9}
    ranking = {"batch_norm": True, "history": "none"}
    job, learner, cursor = trained(made, tmp_path, ranking, optimizer=options, epochs=2)
    assert int(learner.best["known_users"].sum()) == 39
    assert auc(scored(job, learner, "valid").of_model(0, is_rating=False)) == pytest.approx(
        cursor.best_figure, abs=1e-12
    )
    own = learner.model.state_dict()["user_embedding.weight"]
    assert float((own - learner.best["user_embedding.weight"]).abs().max()) > 1e-4


def test_a_label_that_is_no_class_is_refused(made: tuple[Path, Manifest], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"label stars is .* use mse with train.metric=rmse"):
        trained(made, tmp_path, {"labels": {"stars": 1.0}})


def test_a_rank_without_rows_has_no_loss_and_takes_part(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    workspace, manifest = made
    config: Config = config_for(workspace, {"embedding_l2": 0.1})
    job = job_of(config, manifest, workspace / "datasets/impressions", tmp_path)
    task = job.task
    learner, batch = task.learner(job), task.empty_batch(job)
    loss = learner.objective(batch)
    loss.backward()
    assert float(loss.detach()) == float(batch.weight) == batch.num_rows == batch.num_padding == 0
    assert all(parameter.grad is not None for parameter in learner.model.parameters())
