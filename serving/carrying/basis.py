"""What all lists of one kind depend on, as a hash: with another one no list is kept.

Legend of shapes: V catalogue of the model.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy
import torch

from conf.contract import NUM_RESERVED, Bundle, Manifest
from conf.runs.inputs.request_keys import LISTS_CODE, section_of_lists
from conf.settings.score import Score
from conf.workspace.hashes import canonical_hash
from serving.reasons.sentences import Sentences
from serving.rules.book import RuleBook
from serving.rules.possible import Pools
from trainer.data.event_features import HISTORIES, context_columns
from trainer.models.bundle import WEIGHTS_NAME
from trainer.models.scorer import ModelScorer, Scorer

_RELEASES = (torch.__version__, np.__version__, scipy.__version__, duckdb.__version__)
"""Of what computes scores and evaluates rules."""


def why_not_kept(score: Score, *, has_stages: bool) -> str | None:
    """Return the setting with which each list may change with every version; None: there is none.

    Args:
        score: The section as it is for these lists.
        has_stages: Whether the lists are made of candidates, or a ranking model orders them.
    """
    rules = score.rules
    changing = {
        "score.candidates": has_stages,
        "score.index": score.index is not None,  # its last digits follow from the batch
        "score.exploration": score.exploration is not None,
        "score.diversity": score.diversity is not None,
        "score.rules.fatigue": rules is not None and rules.fatigue is not None,
        "score.rules.caps": rules is not None and bool(rules.caps),
        "score.rules.pins": rules is not None and bool(rules.pins),
        "score.rules.shares": rules is not None and bool(rules.shares),
    }
    return next((name for name, is_set in changing.items() if is_set), None)


def basis_of(
    score: Score,
    *,
    bundle: Bundle,
    scorer: Scorer,
    num_items: int,
    pools: Pools,
    manifest: Manifest,
    book: RuleBook | None,
    sentences: Sentences | None,
) -> str:
    """Return the hash of everything that lists of a kind depend on.

    The users' own events and fields are not part of it. Items that the model does not know are left
    out: no list of the model contains them. Cores and GPUs of the workers are part of it, as others
    add up sums in another order.

    Args:
        score: The section as it is for these lists, for which `why_not_kept` names nothing.
        bundle: The main model; two trainings with one id may end with different weights.
        scorer: Its scorer, on the CPU.
        num_items: V
        pools: Items that lists may contain.
        manifest: The dataset.
        book: The rules; None: there are none.
        sentences: Writes the sentences; None: there are none.
    """
    digest = hashlib.sha256()
    weights = [file.sha256 for file in bundle.files["model"] if file.path == WEIGHTS_NAME]
    plain = [
        [LISTS_CODE, _RELEASES],
        [section_of_lists(score), score.cpus_per_worker, score.gpus_per_worker],
        [bundle.id, bundle.algorithm, bundle.model, weights],
        [manifest.event_types, context_columns(manifest, HISTORIES)],
        num_items,
    ]
    digest.update(canonical_hash(plain).encode())
    for values in _arrays(scorer, pools):
        _add(digest, values)
    if book is not None:
        _add_rules(digest, book, num_items)
    if sentences is not None:
        _add_sentences(digest, sentences, num_items)
    return digest.hexdigest()


def _arrays(scorer: Scorer, pools: Pools) -> Iterator[np.ndarray]:
    """Yield what the model takes from the dataset: which items it knows, and their features."""
    yield np.flatnonzero(pools.model)
    if scorer.unknown is not None:
        yield np.flatnonzero(scorer.unknown)
    if isinstance(scorer, ModelScorer):
        for tensor in scorer.model.items.state_dict().values():
            yield tensor.cpu().contiguous().view(torch.uint8).numpy()


def _add_rules(digest: Any, book: RuleBook, num_items: int) -> None:
    known = num_items - NUM_RESERVED
    _add(digest, book.kept[book.kept < num_items])
    for boost in book.boosts:
        _add(digest, boost.values[:num_items])
    used = [*book.by_group, *book.boosts_by_group]
    # The SQL has the day of the run in it, and names the fields by their places.
    rule_texts = [[one.key, one.sql, sorted(one.user_fields)] for one in used]
    types = {name: str(book.conditions.fields.user[name]) for name in book.user_fields}
    digest.update(canonical_hash([rule_texts, [*types.items()]]).encode())
    if used:
        names = set(book.conditions.marks).union(*(one.item_fields for one in used))
        _add_table(digest, book.conditions.items.select(sorted(names)).slice(0, known))


def _add_sentences(digest: Any, sentences: Sentences, num_items: int) -> None:
    templates: Mapping[str, Any] = sentences.templates
    texts = [
        sentences.algorithm,
        {name: repr(one) for name, one in templates.items()},
        sentences.titles[:num_items],
        sentences.groups[:num_items],
    ]
    digest.update(canonical_hash(texts).encode())
    _add(digest, sentences.weights)
    _add(digest, sentences.is_new[:num_items])


def _add(digest: Any, values: np.ndarray) -> None:
    digest.update(f"{values.dtype}{values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data)


def _add_table(digest: Any, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()  # as Parquet, which leaves out what is below missing values
    pq.write_table(table.combine_chunks(), sink, compression="none")
    digest.update(sink.getvalue())
