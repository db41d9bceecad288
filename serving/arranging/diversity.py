"""Lists of items that differ: maximal marginal relevance, for all users of a batch at once.

Source: Carbonell & Goldstein 1998, "The use of MMR", with the model's scores as relevance.

Legend of shapes: B users of a batch, C candidates, N candidates with a relevance, K places,
V catalogue, D width, T tags.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED, Manifest
from conf.errors import ConfigError
from conf.settings.lists.diversity import VECTORS, Diversity
from serving.ranking.vectors import raw_vectors
from trainer.models.scorer import Scorer

SimilarTo = Callable[[np.ndarray], np.ndarray]
"""Takes an item of each user, -1 for none: [B]; returns its similarity to the items: [B, N]."""


class Similarity(Protocol):
    """How similar items are to each other, at most 1."""

    def to(self, items: np.ndarray) -> SimilarTo:
        """Return what compares others with these items: [B, N]."""


class CosineSimilarity:
    """Cosine of the items' vectors; 0 for items that the model does not know."""

    def __init__(self, vectors: Tensor, unknown: np.ndarray | None) -> None:
        """Take the vectors: [V, D], and the unknown items: [V] bool."""
        self.vectors = vectors
        known = np.ones(len(vectors), dtype=bool) if unknown is None else ~unknown
        self.known = torch.from_numpy(known).to(vectors.device)

    def to(self, items: np.ndarray) -> SimilarTo:
        """See `Similarity`."""
        directions = self._directions(items)  # [B, N, D]

        def similar_to(others: np.ndarray) -> np.ndarray:
            found = torch.bmm(directions, self._directions(others[:, None]).transpose(1, 2))
            similarity: np.ndarray = found[:, :, 0].cpu().numpy()
            return similarity

        return similar_to

    def _directions(self, items: np.ndarray) -> Tensor:
        number = torch.from_numpy(items).to(self.vectors.device)
        place = number.clamp(0, len(self.vectors) - 1)
        known = (number >= 0) & (number < len(self.vectors)) & self.known[place]
        directions = torch.nn.functional.normalize(self.vectors[place].float(), dim=-1)
        return directions * known[..., None]


class FieldSimilarity:
    """1 for the same value of a field, else 0, also where an item has none."""

    def __init__(self, codes: np.ndarray) -> None:
        """Take a number for each value, -1 for none: [V]."""
        self.codes = codes

    def to(self, items: np.ndarray) -> SimilarTo:
        """See `Similarity`."""
        codes = np.where(items >= 0, self.codes[items], -1)  # [B, N]

        def similar_to(others: np.ndarray) -> np.ndarray:
            code = np.where(others >= 0, self.codes[others], -1)[:, None]
            same: np.ndarray = ((codes == code) & (code >= 0)).astype(np.float32)
            return same

        return similar_to


class TagSimilarity:
    """Common tags as a share of all tags of both items (Jaccard); 0 where an item has none."""

    def __init__(self, tags: np.ndarray) -> None:
        """Take the numbers of each item's tags, -1 after the last: [V, T]."""
        self.tags, self.counts = tags, (tags >= 0).sum(1)

    def to(self, items: np.ndarray) -> SimilarTo:
        """See `Similarity`."""
        there = items >= 0
        tags = np.where(there[..., None], self.tags[items], -1)  # [B, N, T]
        counts = np.where(there, self.counts[items], 0)  # [B, N]

        def similar_to(others: np.ndarray) -> np.ndarray:
            other = np.where((others >= 0)[:, None], self.tags[others], -1)  # [B, T]
            common = np.zeros(items.shape, dtype=np.int64)
            for place in range(other.shape[1]):
                tag = other[:, place, None, None]
                common += ((tags == tag) & (tag >= 0)).any(2)
            of_both = counts + (other >= 0).sum(1)[:, None] - common
            shared: np.ndarray = (common / np.maximum(of_both, 1)).astype(np.float32)
            return shared

        return similar_to


def similarity_of(
    spec: Diversity, scorer: Scorer | None, model: str, items: pa.Table, manifest: Manifest
) -> Similarity:
    """Return the similarity that `score.diversity.by` names.

    Args:
        spec: The section.
        scorer: The main model.
        model: Its id and algorithm, for messages.
        items: Fields of the items, without the reserved numbers.
        manifest: The dataset.

    Raises:
        ConfigError: When the model has no vectors, or items have no such field.
    """
    if spec.by == VECTORS:
        vectors = raw_vectors(scorer)
        if vectors is None or scorer is None:
            raise ConfigError(
                f"score.diversity.by is 'vectors', but model {model} has no vectors of items; name "
                "a field of items, or set train.algorithm to neural or als"
            )
        return CosineSimilarity(vectors, scorer.unknown)
    if spec.by not in items.schema.names:
        raise ConfigError(
            f"score.diversity.by: items have no field {spec.by}; there are "
            f"{', '.join(items.schema.names)}, and 'vectors'"
        )
    values = items.column(spec.by).combine_chunks()
    of_items = manifest.config.get("etl", {}).get("features", {}).get("items", {})
    encoding = of_items.get("encodings", {}).get(spec.by, {})
    if encoding.get("kind") == "tags":
        return TagSimilarity(tag_numbers(values.cast(pa.string()).to_pylist(),
                                         encoding["separator"]))  # fmt: skip
    codes = np.full(NUM_RESERVED + items.num_rows, -1, dtype=np.int64)
    numbers = pc.fill_null(values.dictionary_encode().indices, -1)
    codes[NUM_RESERVED:] = numbers.to_numpy(zero_copy_only=False)
    return FieldSimilarity(codes)


def tag_numbers(texts: list[str | None], separator: str) -> np.ndarray:
    """Return the numbers of each item's tags after the reserved items: [V, T], -1 after the last.

    Args:
        texts: Tags of each item, as `etl.features` reads them: between separators, or as a list.
        separator: Text between two tags.
    """
    numbers: dict[str, int] = {}
    rows: list[list[int]] = [[] for _ in range(NUM_RESERVED)]
    for text in texts:
        listed = text is not None and text.startswith("[") and text.endswith("]")
        parts = [] if text is None else text[1:-1].split(",") if listed else text.split(separator)
        tags = [part.strip().strip("'\"") if listed else part.strip() for part in parts]
        rows.append([numbers.setdefault(tag, len(numbers)) for tag in dict.fromkeys(tags) if tag])
    found = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found


def pairwise_similarity(similarity: Similarity, items: np.ndarray) -> np.ndarray:
    """Return the similarity of each list's items to each other: [B, K] -> [B, K, K]."""
    similar_to = similarity.to(items)
    return np.stack([similar_to(items[:, place]) for place in range(items.shape[1])], axis=2)


def relevance(scores: np.ndarray) -> np.ndarray:
    """Return scores as relevance: 0 for a user's lowest, 1 for the highest; 1 if all are equal.

    Args:
        scores: [B, N], -inf where there is no candidate.

    Returns:
        [B, N] float64, 0 where there is no candidate.
    """
    if not scores.shape[1]:
        return np.zeros(scores.shape)
    there, exact = np.isfinite(scores), scores.astype(np.float64)
    low = np.where(there, exact, np.inf).min(1, keepdims=True)
    high = np.where(there, exact, -np.inf).max(1, keepdims=True)
    spread = np.where(high > low, high - low, 1.0)
    of_range = np.where(there, exact - np.where(np.isfinite(low), low, 0.0), 0.0) / spread
    found: np.ndarray = np.where(there & (high <= low), 1.0, of_range)
    return found


@dataclass(frozen=True)
class Diversifying:
    """The weight of the difference, and what makes items similar."""

    weight: float
    count: int
    """N"""
    similarity: Similarity

    def chooser(self, candidates: np.ndarray, scores: np.ndarray, pinned: np.ndarray) -> "Marginal":
        """Return what chooses for each place.

        Args:
            candidates: [B, C] items, best first, and others after the first N; -1 for none.
            scores: [B, at least N]
            pinned: [B, K] items that are in the list from the start; -1 for none.
        """
        count = min(self.count, candidates.shape[1], scores.shape[1])
        chooser = Marginal(
            self.weight, relevance(scores[:, :count]), self.similarity.to(candidates[:, :count])
        )
        for place in np.flatnonzero((pinned >= 0).any(0)):
            chooser.put(pinned[:, place])
        return chooser


class Marginal:
    """Chooses the candidate with the highest marginal relevance."""

    def __init__(self, weight: float, relevance: np.ndarray, similar_to: SimilarTo) -> None:
        self.weight, self.relevance, self.similar_to = weight, relevance, similar_to
        self.nearest = np.full(relevance.shape, -np.inf)
        """[B, N] largest similarity to an item of the list; -inf for an empty one."""

    def best(self, fits: np.ndarray) -> np.ndarray:
        """Return the best candidate that fits; the first one if none of the first N does: [B].

        Args:
            fits: [B, C] bool
        """
        count = self.relevance.shape[1]
        if not count:
            first_fit: np.ndarray = fits.argmax(1)
            return first_fit
        likeness = np.where(np.isfinite(self.nearest), self.nearest, 0.0)
        value = (1 - self.weight) * self.relevance - self.weight * likeness
        first = np.where(fits[:, :count], value, -np.inf).argmax(1)
        column: np.ndarray = np.where(fits[:, :count].any(1), first, fits.argmax(1))
        return column

    def put(self, items: np.ndarray) -> None:
        """Take the items that have come into the lists: [B], -1 for none."""
        if self.weight > 0 and (items >= 0).any():
            closer = np.maximum(self.nearest, self.similar_to(items))
            self.nearest = np.where((items >= 0)[:, None], closer, self.nearest)
