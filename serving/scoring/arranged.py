"""What arranges the lists besides rules: `score.diversity` and `score.exploration`.

Legend of shapes: B users of a batch, K list length, N candidates of each user.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from conf.contract import Manifest
from conf.errors import ConfigError
from conf.settings.lists.diversity import VECTORS
from conf.settings.score import Score
from serving.arranging.arrange import Arranged, Arranging
from serving.arranging.chances import item_chances, require_types
from serving.arranging.diversity import (
    Diversifying,
    Similarity,
    pairwise_similarity,
    relevance,
    similarity_of,
)
from serving.arranging.exploring import Chance, Exploring, ItemClasses, exact_share
from serving.ranking.rankers import users_at_once
from serving.ranking.vectors import pair_scores
from serving.rules.book import RuleBook
from serving.rules.compiled import with_now
from serving.rules.reading.given import Given
from serving.rules.reading.tables import read_item_fields
from serving.scoring.list_model import ListModel
from trainer.models.scorer import ModelScorer, Scorer

DIVERSITY = "score.diversity"
"""Entry of the ledger with sums over sampled lists, in millionths: whole numbers add up exactly."""
_PARTS = 1_000_000


def diversifying_of(
    score: Score, model: ListModel, scorer: Scorer | None, dataset: Path, manifest: Manifest,
    given: Given,
) -> Diversifying | None:  # fmt: skip
    """Return what `score.diversity` chooses with; None: the score alone decides.

    Raises:
        ConfigError: When the model has no vectors, or items have no such field.
    """
    spec = score.diversity
    if spec is None:
        return None
    items = read_item_fields(dataset, manifest)
    if spec.by != VECTORS:
        items = with_now(items, given)
    name = f"{model.bundle.id} ({model.bundle.algorithm})"
    similarity = similarity_of(spec, scorer, name, items, manifest)
    return Diversifying(spec.weight, spec.among, similarity)


def exploring_of(
    score: Score, scorer: Scorer | None, num_items: int, book: RuleBook, dataset: Path, seed: int
) -> Exploring | None:
    """Return what `score.exploration` draws with; None: nothing is drawn.

    Args:
        score: The section.
        scorer: The main model, on its device.
        num_items: Size of its catalogue.
        book: The rules.
        dataset: Folder of the dataset.
        seed: `run.seed`

    Raises:
        ConfigError: When the dataset lacks the events that count as successes.
    """
    spec, manifest = score.exploration, book.manifest
    if spec is None:
        return None
    assert scorer is not None  # a rule of the configuration
    at_once = score.block_users
    if not isinstance(scorer, ModelScorer):
        at_once = users_at_once(score, num_items)
    return Exploring(
        exact_share(spec.share),
        Chance(seed, manifest.id, manifest.logical_date),
        item_chances(spec, dataset, manifest),
        ItemClasses(book),
        partial(pair_scores, scorer, num_items=num_items, users_at_once=at_once),
    )


def require_arrangeable(
    score: Score, model: ListModel, dataset: Path, manifest: Manifest, given: Given
) -> None:
    """Refuse settings that do not fit model or dataset, before anything is scored.

    Raises:
        ConfigError: See `diversifying_of` and `exploring_of`.
    """
    for name in ("diversity", "exploration"):
        if getattr(score, name) is not None and model.scorer is None:
            raise ConfigError(
                f"score.{name} is set, but model {model.bundle.id} ({model.bundle.algorithm}) "
                f"orders candidates, and {name} acts on the lists of a model over the catalogue "
                f"alone; set score.{name} to null, or train.algorithm to another one"
            )
    diversifying_of(score, model, model.scorer, dataset, manifest, given)
    if score.exploration is not None:
        require_types(score.exploration, manifest)


def compared(with_it: Arranging, without: Arranging, batches: Iterable[np.ndarray]) -> Counter[str]:
    """Return sums over lists with and without `score.diversity`, in millionths.

    Args:
        with_it: Makes lists with it, and without exploration.
        without: The same without it.
        batches: Rows of the part, [B] each.
    """
    found: Counter[str] = Counter()
    spec = with_it.diversifying
    assert spec is not None  # else there is nothing to compare
    for rows in batches:
        for kind, arranging in (("", with_it), ("_without", without)):
            made = arranging.arrange(rows)
            differs, has_pairs = dissimilarity(spec.similarity, made.item_idx)
            found[f"dissimilarity{kind}"] += _in_parts(differs[has_pairs])
            kept = _relevance(arranging, made, spec.count)
            found[f"relevance{kind}"] += _in_parts(kept)
        found["lists"] += int(has_pairs.sum())
    return found


def dissimilarity(similarity: Similarity, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 minus the mean similarity of the pairs of each list, and which lists have pairs.

    Args:
        similarity: Of the items.
        items: [B, K], negative for empty places.

    Returns:
        [B] float64, and [B] bool.
    """
    there = items >= 0
    is_pair = there[:, :, None] & there[:, None, :] & ~np.eye(items.shape[1], dtype=bool)
    pairs = is_pair.sum((1, 2))
    total = np.where(is_pair, pairwise_similarity(similarity, items), 0.0).sum((1, 2))
    return 1.0 - total / np.maximum(pairs, 1), pairs > 0


def _relevance(arranging: Arranging, made: Arranged, count: int) -> np.ndarray:
    """Return the sum of relevance of each list's items that the model chose: [B] float64."""
    best = arranging.ranker.rank(
        arranging.histories, made.rows, k=count, rules=arranging.rules
    ).best
    candidates = best.item_idx.cpu().numpy()  # [B, N]
    values = relevance(best.scores.float().cpu().numpy())
    own = np.where(made.is_pinned | made.is_refill, -1, made.item_idx)
    is_it = (own[:, :, None] == candidates[:, None, :]) & (own >= 0)[:, :, None]
    found: np.ndarray = (is_it * values[:, None, :]).sum((1, 2))
    return found


def _in_parts(values: np.ndarray) -> int:
    return int(np.rint(values * _PARTS).sum())


def diversity_figures(sums: Mapping[str, int]) -> dict[str, float | None]:
    """Return what `lists.json` says of `score.diversity`, from the sums of all parts."""
    lists, before = sums.get("lists", 0), sums.get("relevance_without", 0)
    return {
        "sampled_lists": lists,
        "dissimilarity": sums["dissimilarity"] / lists / _PARTS if lists else None,
        "dissimilarity_without": sums["dissimilarity_without"] / lists / _PARTS if lists else None,
        "relevance_kept": sums["relevance"] / before if before else None,
    }
