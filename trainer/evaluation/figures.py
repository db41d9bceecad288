"""Rank the whole catalogue for every held-out event and count the ranks of the true items.

Batches never span row groups, so they are the same for any number of workers, and ranks are
counted as integers: several workers get exactly the same figures as one.

Legend of shapes: B rows, V catalogue, R largest rank counted.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conf.contract import MODEL_NAME, USER_IDX, Manifest
from conf.settings.config import Config
from trainer.cluster.ray_session import cpus_of_worker
from trainer.data.batches import histories_of
from trainer.data.columns import Columns, Ragged, numbers_of
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import read_train_events
from trainer.evaluation.against_baselines import validation_figures
from trainer.evaluation.efficiency import flops_of_example, scored_per_second
from trainer.evaluation.held_out import columns_of, each_row_group, held_out_batches
from trainer.evaluation.list_figures import list_figures
from trainer.evaluation.metrics import figure, figures, gains, rank_counts
from trainer.evaluation.ranks import Ranked, joined, rank_targets
from trainer.evaluation.segments import divisions_of, num_items, popularity_of, segment_figures
from trainer.models.counting import fit_counting
from trainer.models.fit_source import FitSource
from trainer.models.hybrid import Hybrid
from trainer.models.scorer import Scorer


def held_out_figures(
    config: Config, manifest: Manifest, scorer: Scorer, fitted: Mapping[str, Scorer] | None = None
) -> dict[str, Any]:
    """Return what a model and its baselines achieve on validation and test part.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        scorer: The model, fitted to the training part.
        fitted: Counting models by name that are fitted already; the other baselines are fitted.

    Returns:
        `valid` and `gate`, see `validation_figures`, and all that `test_figures` returns.
    """
    baselines = baselines_of(config, manifest, scorer, fitted)
    return {
        **test_figures(config, manifest, scorer, baselines),
        **validation_figures(config, manifest, scorer, baselines),
    }


def baselines_of(
    config: Config, manifest: Manifest, scorer: Scorer, fitted: Mapping[str, Scorer] | None = None
) -> dict[str, Scorer]:
    """Return the models of `train.baselines`.

    Those that are members of the model, a blend, or among the fitted ones are not fitted again.
    """
    members = scorer.members if isinstance(scorer, Hybrid) else {}
    known, source = {**members, **(fitted or {})}, source_of(config, manifest)
    return {
        name: known[name] if name in known else fit_counting(name, source)
        for name in config.train.baselines
    }


def test_figures(
    config: Config, manifest: Manifest, scorer: Scorer, baselines: Mapping[str, Scorer]
) -> dict[str, Any]:
    """Return the test figures of a model, of its members if it is a blend, and of the baselines.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        scorer: The model.
        baselines: Fitted baselines by name.

    Returns:
        `test` and `test_users`; `drop_seen`, whether seen items were left out; `segments` and
        `lists`, see `segments.py` and `list_figures.py`, with the k of `train.metric`; `scoring`,
        its cost.
    """
    members = scorer.members if isinstance(scorer, Hybrid) else {}
    scorers: dict[str, Scorer] = {MODEL_NAME: scorer, **members, **baselines}
    train, k = config.train, int(config.train.metric.partition("@")[2])
    rank = partial(
        rank_targets,
        batch_rows=train.eval_batch_rows,
        list_length=k,
        drop_seen=config.score.drop_seen,
    )
    ranked = joined(each_row_group(config, manifest, "test", scorers, rank), scorers)
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    events, largest = read_train_events(folder, manifest), max(train.metrics_at)
    kinds = popularity_of(events)
    return {
        "test": {
            name: figures(rank_counts(torch.from_numpy(ranks), largest), train.metrics_at)
            for name, ranks in ranked.ranks.items()
        },
        "test_users": len(ranked.users),
        "drop_seen": config.score.drop_seen,
        "segments": _segments(
            ranked, kinds, users_in(folder, manifest, "train"), k=k, seed=config.run.seed
        ),
        "lists": {
            "length": k,
            "items": num_items(kinds),
            **{name: list_figures(given, events, kinds) for name, given in ranked.given.items()},
        },
        "scoring": {
            "flops_per_example": flops_of_example(scorer, some_histories(folder, manifest)),
            "scored_per_second": scored_per_second(len(ranked.users), ranked.seconds[MODEL_NAME]),
        },
    }


def _segments(
    ranked: Ranked, kinds: np.ndarray, trained_users: np.ndarray, *, k: int, seed: int
) -> dict[str, Any]:
    """Return HR@k and NDCG@k of each model in each segment."""
    divisions = divisions_of(
        ranked.users,
        ranked.lengths,
        ranked.targets,
        trained_users=trained_users,
        kinds=kinds,
    )
    told = (f"hr@{k}", f"ndcg@{k}")
    gained = {
        name: {key: gains(ranks, key) for key in told} for name, ranks in ranked.ranks.items()
    }
    return segment_figures(gained, ranked.users, divisions, seed=seed)


def some_histories(folder: Path, manifest: Manifest) -> Ragged:
    """Return the histories of the test part's first row group."""
    groups = manifest.row_groups("test")[:1]
    for _, columns in read_row_groups(folder, groups, columns_of(manifest, "test"), threads=1):
        return histories_of(columns)
    return Ragged(np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64))


def users_in(folder: Path, manifest: Manifest, part: str) -> np.ndarray:
    """Return the users that occur in a part, ascending."""
    blocks = read_row_groups(folder, manifest.row_groups(part), (USER_IDX,))
    found = [np.unique(numbers_of(columns, USER_IDX)) for _, columns in blocks]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *found]))


def validation_figure(
    config: Config, manifest: Manifest, scorer: Scorer
) -> dict[str, float | None]:
    """Return `train.metric` of a model on the validation part; None without a validation part."""
    metric = config.train.metric
    if not manifest.row_groups("valid"):
        return {metric: None}
    largest = int(metric.partition("@")[2])
    count = partial(
        count_each,
        batch_rows=config.train.eval_batch_rows,
        largest=largest,
        drop_seen=config.score.drop_seen,
    )
    counts = count_on_workers(config, manifest, "valid", {MODEL_NAME: scorer}, count)
    return {metric: figure(counts[0], metric)}


def refit_figures(
    config: Config, manifest: Manifest, scorer: Scorer, seconds: float
) -> dict[str, Any]:
    """Return the figures of a model that was fitted again with the data that `train.refit` adds.

    Test figures are included only if the model was not fitted to the test part.
    """
    kind = config.train.refit
    figures = {"trained_on": kind, "seconds": round(seconds, 1)}
    if kind == "with_valid":
        figures |= test_figures(config, manifest, scorer, {})
    return figures


def source_of(config: Config, manifest: Manifest, *, refit: bool = False) -> FitSource:
    """Return the data for counting models: the training part, with `refit` also what that adds."""
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    threads = cpus_of_worker(config)
    return FitSource(config.train, config.run.seed, folder, manifest, refit, threads)


def count_ranks(
    scorer: Scorer, blocks: Iterable[Columns], *, batch_rows: int, largest: int, drop_seen: bool
) -> np.ndarray:
    """Count the ranks of all targets in row groups of a held-out part.

    Args:
        scorer: The model.
        blocks: Row groups with the columns `trainer.evaluation.held_out.columns_of`.
        batch_rows: Rows scored together.
        largest: R
        drop_seen: Whether the ranking leaves out what the user has seen.

    Returns:
        [R + 1] int64; entry 0 counts the ranks above R.
    """
    counts = np.zeros(largest + 1, dtype=np.int64)
    for columns in blocks:
        for batch in held_out_batches(columns, batch_rows, drop_seen=drop_seen):
            with torch.no_grad():
                scores = scorer.scores(batch.histories, batch.rows)  # [B, V]
                counts += rank_counts(batch.ranks(scores), largest)
    return counts


Count = Callable[[Mapping[str, Scorer], Columns], np.ndarray]
"""Counts ranks in one row group with the columns `trainer.evaluation.held_out.columns_of`."""


def count_on_workers(
    config: Config, manifest: Manifest, part: str, scorers: Mapping[str, Scorer], count: Count
) -> np.ndarray:
    """Return the sum of `count` over the row groups of a held-out part."""
    total: np.ndarray = np.sum(each_row_group(config, manifest, part, scorers, count), axis=0)
    return total


def count_each(
    scorers: Mapping[str, Scorer],
    columns: Columns,
    *,
    batch_rows: int,
    largest: int,
    drop_seen: bool,
) -> np.ndarray:
    """Count the ranks of one row group for each scorer: [scorers, R + 1]."""
    counts = [
        count_ranks(scorer, [columns], batch_rows=batch_rows, largest=largest, drop_seen=drop_seen)
        for scorer in scorers.values()
    ]
    return np.stack(counts)
