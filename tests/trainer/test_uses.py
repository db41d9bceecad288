"""The table of who uses which setting is true: change each key, train, and compare."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conf.contract import Manifest
from conf.errors import ConfigError
from conf.settings.config import Config
from conf.settings.key_tree import dotted_keys, known_keys
from conf.settings.load import load_config
from conf.settings.rules.uses import EVERY, USES, kinds_of, use_of, without_effect
from conf.settings.train import Train
from tests.trainer import impression_log
from tests.trainer.deliveries import NEXT, OLD, ROUND, job_of, trained
from tests.trainer.small_parts import ragged, write_config, write_dataset
from trainer.evaluation.figures import source_of
from trainer.models.counting import COUNTING, fit_counting
from trainer.training.learner import Cursor
from trainer.training.loop import _finish_epoch, train_epoch

ROOT = Path(__file__).parents[2]
OTHER: dict[str, Any] = {
    "precision": "bf16", "epochs": 3, "batch_rows": 5, "shuffle_block_rows": 3,
    "metric": "hr@2", "refit": "everything", "save_optimizer": True,
    "counting.recent_popularity.half_life_days": 1.0, "counting.item_knn.neighbours": 1,
    "counting.item_knn.similarity": "jaccard", "counting.item_knn.shrinkage": 0.5,
    "counting.item_knn.history_decay": 0.3, "counting.ease.regularisation": 2.0,
    "counting.ease.history_decay": 0.3, "counting.ease.weights_per_item": 1,
    "counting.ease.max_items": 5, "counting.als.factors": 2, "counting.als.regularisation": 7.0,
    "counting.als.alpha": 2.0, "counting.als.iterations": 1, "counting.als.history_decay": 0.3,
    "hybrid.members": ["neural", "ease"], "hybrid.grid_parts": 2, "hybrid.halvings": 1,
    "model.encoder": "mean", "model.width": 4, "model.blocks": 2, "model.heads": 2,
    "model.feedforward_factor": 2, "model.positions": "none", "model.gated": True,
    "model.kernel_size": 2, "model.dilations": [2], "model.window": 3,
    "model.vertical_filters": 2, "model.horizontal_filters": 3, "model.mask_share": 0.9,
    "model.dropout": 0.5, "model.history_length": 3, "model.event_types": True,
    "model.time_gaps": True, "model.calendar": True, "model.content.dropout": 0.5,
    "model.content.id_dropout": 0.5, "model.similarity": "cosine", "model.temperature": 0.5,
    "model.init": "kaiming_normal", "model.init_std": 0.5, "model.embedding_std": 0.5,
    "loss.kind": "bpr", "loss.num_negatives": 3, "loss.negatives_for": "batch",
    "loss.sampling": "popularity", "loss.calibration": 0.1,
    "optimizer.kind": "adagrad", "optimizer.learning_rate": 0.1, "optimizer.weight_decay": 0.5,
    "optimizer.decay_all": True, "optimizer.betas": [0.5, 0.6], "optimizer.momentum": 0.1,
    "optimizer.embeddings": "rowwise_adagrad", "optimizer.embedding_learning_rate": 0.5,
    "optimizer.warmup_steps": 4, "optimizer.decay": "cosine", "optimizer.plateau_factor": 0.1,
    "optimizer.plateau_epochs": 9, "optimizer.clip_norm": 0.01, "optimizer.ema_decay": 0.9,
    "warm_start.new_items": "mean", "warm_start.neighbour_distance": 3,
    "warm_start.keep_optimizer": False, "warm_start.warmup_steps": 3,
    "ranking.interaction": "dlrm", "ranking.width": 3, "ranking.hidden": [6],
    "ranking.second_hidden": [4], "ranking.heads": 2, "ranking.gate_width": 2,
    "ranking.cross_layers": 1, "ranking.dropout": 0.4, "ranking.batch_norm": True,
    "ranking.history": "none", "ranking.history_length": 2, "ranking.attention_width": 3,
    "ranking.labels": {"bought": 2.0}, "ranking.multi_task": "mmoe", "ranking.experts": 2,
    "ranking.tower_hidden": [3], "ranking.sampling": "weight",
    "ranking.features_left_out": ["item_price"], "ranking.unknown_share": 0.5,
    "ranking.init": "kaiming_normal", "ranking.embedding_std": 0.5, "ranking.embedding_l2": 0.1,
}  # fmt: skip
"""Another value for each key whose effect shows in a training of one worker."""
ELSEWHERE = {
    "algorithm": "trainer/algorithms/launch.py",
    **dict.fromkeys(("baselines", "metrics_at"), "trainer/evaluation/figures.py"),
    "eval_batch_rows": "trainer/evaluation/figures.py",
    **dict.fromkeys(
        ("workers", "cpus_per_worker", "gpus_per_worker"), "trainer/cluster/ray_session.py"
    ),
    "max_workers": "etl/dataset/parts.py",
    "stream_threads": "trainer/training/loop.py",
    "checkpoint_every_rounds": "trainer/training/loop.py",
    "patience_epochs": "trainer/training/loop.py",
    "gate": "conf/runs/stages.py",
    "auto.max_minutes": "trainer/choosing/candidates.py",
    **dict.fromkeys(("max_failures", "collective_timeout_seconds"), "trainer/training/workers.py"),
    "hybrid.neural": "trainer/algorithms/blended.py",
    "model.event_features": "trainer/retrieval/task.py",
    "model.content.features": "trainer/data/item_features.py",
    "warm_start.model": "trainer/retrieval/task.py",
    "ranking.calibration": "trainer/ranking/train.py",
    "ranking.baselines": "trainer/ranking/figures.py",
    "ranking.item_rate_prior_rows": "trainer/ranking/figures.py",
    "ranking.loss": "trainer/ranking/task.py",
}
"""Where the other keys are read; trainings with them have tests of their own."""
NEURAL: dict[str, tuple[str, ...]] = {
    "attention": ("loss.kind=sampled_softmax", "loss.num_negatives=4"),
    "bidirectional": (
        "model.encoder=bidirectional", "loss.kind=bce", "optimizer.kind=sgd",
        "optimizer.learning_rate=0.5",
    ),
    "gru": ("model.encoder=gru", "loss.kind=sampled_softmax", "loss.sampling=in_batch"),
    "cnn": ("model.encoder=cnn", "optimizer.decay=plateau", "optimizer.plateau_epochs=1"),
    "caser": (
        "model.encoder=caser", "loss.kind=gbce", "loss.num_negatives=4",
        "optimizer.weight_decay=0.1", "model.init=normal",
    ),
    "mean": ("model.encoder=mean", "model.event_types=true", "loss.kind=bpr"),
}  # fmt: skip
RANKING: dict[str, dict[str, Any]] = {
    "linear": {"interaction": "linear", "history": "none"},
    "finalmlp": {"interaction": "finalmlp", "hidden": [8, 4], "labels": {"liked": 1, "bought": 1}},
    "dcnv2": {
        "interaction": "dcnv2", "history": "target_attention", "multi_task": "mmoe",
        "labels": {"liked": 1.0, "bought": 1.0},
    },
}  # fmt: skip
_OF_PLATEAUS = ("optimizer.plateau_factor", "optimizer.plateau_epochs")
_OF_WARM_STARTS = ("warm_start.new_items", "warm_start.neighbour_distance",
                   "warm_start.keep_optimizer", "warm_start.warmup_steps")  # fmt: skip


def leaves() -> list[str]:
    every = list(dotted_keys(Train))
    return [key for key in every if not known_keys(Train, key.split("."))]


def test_the_table_knows_every_key_and_no_other() -> None:
    known = set(dotted_keys(Train))
    assert [key for use in USES for key in use.keys if key not in known] == []
    assert [key for key in leaves() if use_of(key) is None] == []
    named = [key for use in USES for key in use.keys]
    assert len(named) == len(set(named))
    assert {kind for use in USES for kind in use.kinds} == EVERY


def test_each_key_is_changed_here_or_read_where_we_say() -> None:
    """A new setting fails here until somebody says who uses it."""
    assert sorted([*OTHER, *ELSEWHERE]) == sorted(leaves())
    for key, path in ELSEWHERE.items():
        name = key.rpartition(".")[2]
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), (key, path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("uses")
    rows = [[*row, row[0], row[1 + user % 3]] for user, row in enumerate(ROUND)]
    return folder, write_dataset(folder, rows, NEXT, NEXT[::-1], items=OLD)


def configured(folder: Path, overrides: list[str], baselines: str = "[]") -> Config:
    base = (
        f"train.baselines={baselines}", "train.epochs=2", "train.batch_rows=8",
        "train.optimizer.learning_rate=0.02", "train.optimizer.warmup_steps=0",
        "train.metric=hr@1",
    )  # fmt: skip
    return load_config(write_config(folder), [*base, *overrides])


def differs(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() != other.keys() or any(
        not np.array_equal(one[name], other[name], equal_nan=True)
        if isinstance(one[name], np.ndarray)
        else one[name] != other[name]
        for name in one
    )


def as_text(value: Any) -> str:
    return str(value).replace("'", "").replace("True", "true").replace("False", "false")


def compare_with_table(train: Any, base: Config, changed: Any, skip: tuple[str, ...] = ()) -> None:
    """Change each key and train: what the table says must come of it."""
    before, wrong = train(base), []
    for key, value in OTHER.items():
        try:
            config = changed(key, value)
        except (ConfigError, ValueError) as error:
            use = use_of(key)
            refuses = use is not None and use.refused and not use.kinds & kinds_of(base.train)
            if not refuses:
                wrong.append(f"{key} is refused: {error}")
            continue
        if config.train == base.train:
            continue
        why = without_effect(key, config.train)
        if why is None and key in skip:
            continue
        has_effect = differs(before, train(config))
        if has_effect != (why is None):
            wrong.append(f"{key}: {'an effect' if has_effect else 'no effect'}, table says {why}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", COUNTING)
def test_counting_models(dataset: tuple[Path, Manifest], name: str) -> None:
    folder, manifest = dataset

    def train(config: Config) -> dict[str, Any]:
        source = source_of(config, manifest, refit=config.train.refit != "none")
        try:
            model = fit_counting(name, source)
        except ConfigError as error:
            return {"error": str(error)}
        scores = model.scores(ragged(ROUND), np.arange(len(ROUND))).numpy()
        return {"scores": scores, **{key: w.numpy() for key, w in model.weights().items()}}

    def changed(key: str, value: Any) -> Config:
        return configured(folder, [f"train.algorithm={name}", f"train.{key}={as_text(value)}"])

    base = configured(folder, [f"train.algorithm={name}"])
    compare_with_table(train, base, changed, skip=("metric",))


@pytest.mark.slow
@pytest.mark.parametrize("name", NEURAL)
def test_networks_over_the_catalogue(
    dataset: tuple[Path, Manifest], name: str, tmp_path: Path
) -> None:
    folder, manifest = dataset
    own = [f"train.{override}" for override in NEURAL[name]]
    works = iter(range(10_000))

    def train(config: Config) -> dict[str, Any]:
        learner, cursor = trained(job_of(config, manifest, tmp_path / str(next(works))))
        weights = {key: tensor.numpy() for key, tensor in learner.best.items()}
        keep = ("loss", config.train.metric)
        curve = [list(keep), *([one[name] for name in keep] for one in cursor.curve)]
        return {"curve": str(curve), "state": sorted(learner.best_state or {}), **weights}

    def changed(key: str, value: Any) -> Config:
        return configured(folder, [*own, f"train.{key}={as_text(value)}"])

    skip = ("refit", *_OF_WARM_STARTS, *_OF_PLATEAUS)
    if name == "mean":  # it has weights outside of its tables only with features
        skip += ("model.init", "optimizer.weight_decay")
    compare_with_table(train, configured(folder, own), changed, skip)


@pytest.mark.slow
@pytest.mark.parametrize("name", RANKING)
def test_networks_of_impressions(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "datasets/impressions"
    plain = impression_log.config_for(tmp_path, {})
    manifest = impression_log.write_impressions(folder, plain)
    works = iter(range(10_000))

    def train(config: Config) -> dict[str, Any]:
        work = tmp_path / str(next(works))
        job = impression_log.job_of(config, manifest, folder, work)
        learner, cursor = job.task.learner(job), Cursor()
        while not cursor.finished:
            train_epoch(job, learner, cursor)
            _finish_epoch(job, learner, cursor)
        return {
            "losses": str([(one["loss"], one.get("auc")) for one in cursor.curve]),
            **{key: tensor.numpy() for key, tensor in learner.best.items()},
        }

    def changed(key: str, value: Any) -> Config:
        sections: dict[str, Any] = {
            "ranking": dict(RANKING[name]), "epochs": 2, "batch_rows": 500,
            "optimizer": {"learning_rate": 0.02, "warmup_steps": 0},
        }  # fmt: skip
        *path, last = key.split(".")
        inner = sections
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = "log_loss" if key == "metric" else value
        return impression_log.config_for(tmp_path, sections.pop("ranking"), **sections)

    base = impression_log.config_for(tmp_path, RANKING[name], epochs=2, batch_rows=500)
    compare_with_table(train, base, changed, skip=("metric", "warm_start.warmup_steps"))
