"""Find the earlier version of lists whose users may keep theirs."""

import logging
from collections.abc import Sequence

from conf.contract import lists_key
from serving.carrying.basis import basis_of, why_not_kept
from serving.kinds.prepared import Prepared, Source
from serving.reasons.sentences import Sentences
from serving.rules.book import RuleBook

log = logging.getLogger(__name__)


def bases(source: Source, kinds: Sequence[Prepared]) -> dict[str | None, str]:
    """Return the basis of each kind of lists that has one, by its scenario.

    Args:
        source: What the lists are made from.
        kinds: All kinds of lists.
    """
    found = {}
    for one in kinds:
        why = why_not_kept(one.score, has_stages=one.kind.stages is not None)
        if why is None:
            found[one.kind.scenario] = _basis(source, one)
        elif source.config.score.keep_unchanged:
            told = one.told(f"none are reused, because {why} may change all of them")
            log.info("score: %s: %s", lists_key(one.kind.scenario), told)
    return found


def _basis(source: Source, one: Prepared) -> str:
    model, kind = source.model, one.kind
    score = kind.score.with_list_rules()
    assert model.scorer is not None  # else there are stages
    book = sentences = None
    if score.rules is not None:
        book = RuleBook(source.dataset, source.manifest, score, kind.given)
    if kind.templates:
        field, algorithm = score.texts.field, model.bundle.algorithm
        sentences = Sentences(kind.templates, field, source.dataset, source.manifest, algorithm)
    return basis_of(
        score,
        model_id=model.bundle.id,
        scorer=model.scorer,
        num_items=model.num_items,
        pools=model.pools,
        manifest=source.manifest,
        book=book,
        sentences=sentences,
    )
