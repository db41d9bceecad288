"""The basis of each kind of lists of a run, see `serving.carrying.basis`."""

import logging
from collections.abc import Sequence

from conf.contract import lists_key
from serving.carrying.basis import basis_of, why_not_kept
from serving.kinds.prepared import Prepared, Source
from serving.reasons.sentences import Sentences

log = logging.getLogger(__name__)


def bases(source: Source, kinds: Sequence[Prepared]) -> dict[str | None, str]:
    """Return the basis of each kind of lists that has one, by its scenario.

    It is also needed with `score.keep_unchanged: false`: the next run compares its own with it.

    Args:
        source: What the lists are made from.
        kinds: All kinds of lists.

    Raises:
        ConfigError: When the dataset lacks the field of `score.texts.field`.
    """
    found = {}
    for one in kinds:
        why = why_not_kept(one.score, has_stages=one.kind.stages is not None)
        if why is None:
            found[one.kind.scenario] = _basis(source, one)
        elif source.config.score.keep_unchanged:
            text = one.told(f"no list is reused, because {why} may change every list")
            log.info("score: %s: %s", lists_key(one.kind.scenario), text)
    return found


def _basis(source: Source, one: Prepared) -> str:
    model, kind = source.model, one.kind
    score = kind.score.with_list_rules()
    assert model.scorer is not None  # else there are stages
    sentences = None
    if kind.templates:
        field, algorithm = score.texts.field, model.bundle.algorithm
        sentences = Sentences(kind.templates, field, source.dataset, source.manifest, algorithm)
    return basis_of(
        score,
        bundle=model.bundle,
        scorer=model.scorer,
        num_items=model.num_items,
        pools=model.pools,
        manifest=source.manifest,
        book=one.book,
        sentences=sentences,
    )
