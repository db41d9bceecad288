"""Read written lists back: what is counted in those of each kind, and what the gates say of it."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from conf.contract import WHY_ABSENT, DataFile, ListFigures
from serving.gates.list_counts import Checked, check_parts
from serving.gates.losses import losses
from serving.gates.overlap import CurrentLists, Overlap, current_lists, overlap_with_current
from serving.gates.rule_checks import RuleCheck
from serving.gates.verdicts import figures_of, judged
from serving.kinds.index_recall import index_counts
from serving.kinds.prepared import Prepared, Source
from serving.kinds.recall import recall_counts
from serving.publishing.parts import describe_parts, read_ledger, write_absent
from serving.scoring.arranged import DIVERSITY, diversity_figures
from serving.scoring.list_model import is_personal

log = logging.getLogger(__name__)


def described(
    source: Source, one: Prepared, version: Path
) -> tuple[ListFigures, tuple[DataFile, ...]]:
    """Read lists of one kind back and write the table of the users without one.

    Args:
        source: What they are made from.
        one: How they are made.
        version: Folder of the version.

    Returns:
        The figures, and the manifest's entries of the parts.
    """
    manifest, score, folder = source.manifest, one.score, one.kind.folder_in(version)
    parts = len(manifest.row_groups("histories"))
    found = _checked(source, one, folder)
    current = current_lists(source.workspace, manifest.logical_date, one.kind.scenario)
    overlap = overlap_with_current(
        current, folder, parts=parts, item_ids=source.item_ids, length=score.list_length
    )
    ledger = read_ledger(folder, parts)
    diverse = ledger.pop(DIVERSITY, None)
    _warn_of_pins(ledger, one.told)
    counts = _counts(source, one, found, current, overlap, folder)
    reasons = Counter(found.absent[WHY_ABSENT].to_pylist())
    made = ListFigures(
        counts=counts,
        short_lists=found.short_lists,
        fallbacks=found.fallbacks,
        users_without_lists=dict(sorted(reasons.items())),
        rules=_rules_told(one, ledger),
        figures=figures_of(counts, overlap.mean),
        diversity={} if diverse is None else diversity_figures(diverse),
        previous_id=overlap.previous_id,
        context_without_value=() if one.staged is None else one.staged.without_value,
        channels=found.channels,
        gates={},
        absent=write_absent(folder, found.absent, version),
    )
    gates = {one.name: not one.refuses for one in judged(made.model_dump(), score)}
    return made.model_copy(update={"gates": gates}), describe_parts(folder, parts, version)


def _counts(
    source: Source,
    one: Prepared,
    found: Checked,
    current: CurrentLists | None,
    overlap: Overlap,
    folder: Path,
) -> dict[str, int | None]:
    """Return all counts of lists, those that need other lists or models too."""
    return {
        **found.counts,
        "compared_users": overlap.users,
        **losses(
            current,
            folder,
            parts=len(source.manifest.row_groups("histories")),
            length=one.score.list_length,
            listed_items=found.counts["listed_items"],
        ),
        **recall_counts(source, one),
        **index_counts(source, one),
    }


def _rules_told(
    one: Prepared, ledger: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """Return what each rule did, by its dotted name."""
    return {
        one.told(name): {**one.rules.get(name, {}), **ledger.get(name, {})}
        for name in {**one.rules, **ledger}
    }


def _warn_of_pins(ledger: Mapping[str, Mapping[str, int]], told: Callable[[str], str]) -> None:
    for name, counts in ledger.items():
        if counts.get("skipped_pins") and not counts.get("pinned_places"):
            log.warning(
                "score: the item of %s is in no list: none of the %d users it counts for may get "
                "it; look at the other rules",
                told(name),
                counts["skipped_pins"],
            )


def _checked(source: Source, one: Prepared, folder: Path) -> Checked:
    """Count what is in the written parts."""
    score, staged, manifest = one.score.with_list_rules(), one.staged, source.manifest
    check = None
    if score.rules is not None:
        check = RuleCheck(source.dataset, manifest, score, one.kind.given)
    model = source.model
    return check_parts(
        source.workspace,
        manifest,
        folder,
        score,
        model.pools if staged is None else staged.pools,
        is_personal=is_personal(model.scorer) if staged is None else staged.is_personal,
        guaranteed=None if staged is None else staged.guaranteed,
        check=check,
        members=one.members,
    )
