"""MovieLens 100K with a random quarter of each user's ratings held out, and its figures.

All of a user's held-out items are targets at once and count the same, whatever the rating; items
of the training part are left out of the ranking. This is how the published figures were made; one
row a target, as elsewhere here, would be another question.

Legend of shapes: U users, V catalogue, K positions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from conf.contract import MODEL_NAME, NUM_RESERVED, TARGET_ITEM, USER_IDX, Manifest
from conf.settings.load import load_config
from conf.workspace.pointers import current_version
from conf.workspace.versions import read_manifest
from trainer.data.batches import histories_of
from trainer.data.columns import concatenate, events_of, numbers_of
from trainer.data.stream import read_row_groups
from trainer.evaluation.figures import source_of
from trainer.evaluation.held_out import COLUMNS
from trainer.models.bundle import load_scorer
from trainer.models.counting import fit_counting
from trainer.models.scorer import Scorer

TEST_SHARE = 0.25
TOP = 10


def write_parts(ratings: Path, folder: Path, seed: int) -> None:
    """Write train.tsv and test.tsv, which has a quarter of each user's lines, drawn by the seed."""
    names = ["user", "item", "rating", "time"]
    rows = pd.read_csv(ratings, sep="\t", names=names).sort_values(names)
    draws = pd.Series(np.random.default_rng(seed).random(len(rows)), index=rows.index)
    place = draws.groupby(rows["user"]).rank(method="first")
    counts = rows.groupby("user")["user"].transform("size")
    is_test = place <= (counts * TEST_SHARE).round()
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", rows[~is_test]), ("test", rows[is_test])):
        part.to_csv(folder / f"{name}.tsv", sep="\t", header=False, index=False)


def user_figures(path: Path, overrides: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the current model's figures and those of the configured baselines, by name."""
    config = load_config(path, overrides)
    workspace = Path(config.run.output)
    dataset = current_version(workspace, "datasets")
    manifest = read_manifest(workspace, "datasets", dataset, Manifest)
    _, scorer = load_scorer(workspace, current_version(workspace, "models"))
    source = source_of(config, manifest)
    scorers: dict[str, Scorer] = {MODEL_NAME: scorer}
    scorers |= {name: fit_counting(name, source) for name in config.train.baselines}
    return figures_of_users(workspace / "datasets" / dataset, manifest, scorers)


def figures_of_users(
    folder: Path, manifest: Manifest, scorers: Mapping[str, Scorer]
) -> dict[str, dict[str, float]]:
    """Return NDCG and precision over the users of the test part."""
    groups = manifest.row_groups("test")
    columns = concatenate([block for _, block in read_row_groups(folder, groups, COLUMNS)])
    histories, targets = histories_of(columns), numbers_of(columns, TARGET_ITEM)
    _, rows, owner = np.unique(
        numbers_of(columns, USER_IDX), return_index=True, return_inverse=True
    )
    num_targets = np.bincount(owner)  # [U]
    seen = events_of(histories, rows)
    found = {}
    for name, scorer in scorers.items():
        with torch.no_grad():
            scores = scorer.scores(histories, rows)  # [U, V]
        scores[:, :NUM_RESERVED] = -torch.inf
        scores[torch.from_numpy(seen.row), torch.from_numpy(seen.item)] = -torch.inf
        wanted = torch.zeros(scores.shape, dtype=torch.bool)
        wanted[torch.from_numpy(owner), torch.from_numpy(targets.astype(np.int64))] = True
        wanted[:, :NUM_RESERVED] = False  # cannot be recommended, yet was to be
        hits = wanted.gather(1, scores.topk(TOP).indices).numpy()  # [U, K]
        found[name] = {
            f"ndcg@{TOP}": float(ndcg(hits, num_targets).mean()),
            f"precision@{TOP}": float(hits.mean()),
        }
    return found


def ndcg(hits: np.ndarray, num_targets: np.ndarray) -> np.ndarray:
    """Return each user's NDCG of targets that all count the same: [U, K], [U] -> [U].

    Source: Järvelin & Kekäläinen 2002, the discount log2(position + 1).
    """
    discount = 1 / np.log2(np.arange(hits.shape[1]) + 2)  # [K]
    ideal = np.cumsum(discount)[np.minimum(num_targets, hits.shape[1]) - 1]  # [U]
    gained: np.ndarray = (hits * discount).sum(1) / ideal
    return gained
