"""Score all users with Ray: open dataset and model, distribute the parts, check, commit."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from conf.contract import (
    AUDIENCES,
    NUM_RESERVED,
    SIMILAR_ITEMS,
    WHY_ABSENT,
    Bundle,
    DataFile,
    ListsManifest,
    Manifest,
    catalogue_size,
)
from conf.errors import ConfigError, InputError, VersionError
from conf.masking.origins import public_config
from conf.runs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.score import Score
from conf.workspace.folders import own_folder
from conf.workspace.versions import commit, new_folder, read_manifest, version_id
from serving.audiences.members import items_of_audiences
from serving.audiences.merged import write_audiences
from serving.audiences.worker import PARTS, AudienceScorer
from serving.gates.list_counts import Checked, check_parts
from serving.gates.overlap import overlap_with_current
from serving.gates.rule_checks import RuleCheck
from serving.gates.verdicts import figures_of, judged
from serving.publishing.parts import (
    describe_parts,
    missing_parts,
    read_item_ids,
    read_ledger,
    write_absent,
)
from serving.reasons.templates import load_templates
from serving.rules.book import RuleBook
from serving.rules.reading.given import Given, read_given
from serving.rules.shown import shown_version
from serving.scoring.arranged import DIVERSITY, diversity_figures, require_arrangeable
from serving.scoring.list_model import ListModel, is_personal, load_model
from serving.scoring.pool import Worker, score_parts, shown_progress
from serving.scoring.staged import Staged, Stages, load_staged, stages_of
from serving.scoring.worker import PartScorer, ScoringJob
from serving.similar.check import check_similar
from serving.similar.worker import SimilarScorer, has_similar, rows_of_parts
from trainer.cluster.ray_session import ray_session
from trainer.models.bundle import require_same_vocabulary

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Lists:
    """The lists that are made, and all that they are made from."""

    config: Config
    manifest: Manifest
    """The dataset."""
    model: ListModel
    stages: Stages | None
    staged: Staged | None
    """Channels and ranker; None: the lists are those of the main model alone."""
    given: Given
    """What rules read besides the dataset."""
    audiences: dict[str, np.ndarray]  # numbers of the items
    rules: dict[str, dict[str, int]]
    """What each rule excludes for all users."""
    version: str
    request: str

    @property
    def workspace(self) -> Path:
        return Path(self.config.run.output).resolve()

    @property
    def folder(self) -> Path:
        return self.workspace / "lists" / self.version


def run(
    config: Config,
    *,
    dataset_id: str,
    model_id: str,
    request: str,
    models: Mapping[str, str] | None = None,
    files: Mapping[str, Sequence[InputFile]] = MappingProxyType({}),
    shown: Sequence[str] = (),
) -> str:
    """Write, check and commit the lists of all users; return the version's id.

    Complete parts of an interrupted run with the same request are reused.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        model_id: The main model.
        request: Key of the lists.
        models: Models of other roles that candidates need, by role.
        files: Of `conf.runs.list_files.list_files`.
        shown: Of `conf.runs.shown_lists.shown_lists`.

    Raises:
        VersionError: When dataset and model do not belong together, or one is damaged.
        ConfigError: When a rule cannot be evaluated, or leaves no item.
    """
    workspace, score = Path(config.run.output).resolve(), config.score.with_list_rules()
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    require_same_vocabulary(read_manifest(workspace, "models", model_id, Bundle), manifest)
    model = load_model(workspace, model_id, manifest)
    _require_scorable(score, manifest)
    stages = stages_of(config, manifest, model, models or {}, files)
    staged = None
    if stages is not None:
        cpu = torch.device("cpu")
        staged = load_staged(workspace, manifest, model, stages, score, cpu)
        _warn_of_context(staged)
    dataset = workspace / "datasets" / dataset_id
    item_ids = read_item_ids(dataset, manifest)
    given = _given(config, manifest, item_ids, files, shown)
    rules = _item_rules(dataset, manifest, score, given)
    require_arrangeable(score, model, dataset, manifest, given)
    templates = load_templates(score.texts)
    audiences = items_of_audiences(config, manifest, model, item_ids, given, files)
    version = version_id(config.run.name, manifest.logical_date, request)
    folder = new_folder(workspace, "lists", version)
    from_them = (request, folder, score, config.run.umask, stages, templates, given)
    job = ScoringJob(workspace, dataset_id, model_id, *from_them, audiences, seed=config.run.seed)
    _score_missing(config, job, manifest, model)
    found = (stages, staged, given, audiences, rules)
    lists = _Lists(config, manifest, model, *found, version, request)
    commit(workspace, "lists", _checked(lists, item_ids))
    return version


def _given(
    config: Config,
    manifest: Manifest,
    item_ids: pa.Array,
    files: Mapping[str, Sequence[InputFile]],
    shown: Sequence[str],
) -> Given:
    """Return what rules read besides the dataset; the arguments are those of `run`."""
    given = read_given(config, manifest, item_ids, files)
    if not shown:
        return given
    versions = [shown_version(Path(config.run.output).resolve(), one) for one in shown]
    return given._replace(shown=versions, item_ids=item_ids)


def _score_missing(config: Config, job: ScoringJob, manifest: Manifest, model: ListModel) -> None:
    """Score the users, and the items if that is asked for, whose parts are not written yet."""
    others, rows = (SIMILAR_ITEMS, AUDIENCES), _rows(manifest)
    works = [_Work("users", PartScorer, job.folder, rows, others)]
    if has_similar(config.score, model):
        items = rows_of_parts(catalogue_size(manifest))
        folder = own_folder(job.folder / SIMILAR_ITEMS)
        works.append(_Work("items", SimilarScorer, folder, items, ()))
    if job.audiences:
        folder = own_folder(own_folder(job.folder / AUDIENCES) / PARTS)
        works.append(_Work("users for audiences", AudienceScorer, folder, rows, ()))
    missing = [missing_parts(w.folder, w.rows, job.request, keep=w.keep) for w in works]
    if not any(missing):
        return
    with ray_session(config):
        for work, parts in zip(works, missing, strict=True):
            there = len(work.rows) - len(parts)
            if there:
                log.info("score: %d of %d parts exist already", there, len(work.rows))
            if parts:
                with shown_progress(sum(work.rows[part] for part in parts), work.what) as progress:
                    score_parts(work.worker, job, parts, progress)


class _Work(NamedTuple):
    """Lists of one kind, and who makes them."""

    what: str
    worker: type[Worker]
    folder: Path
    rows: list[int]
    """Users or items of each part."""
    keep: tuple[str, ...]
    """Names of other files in the folder."""


def _rows(manifest: Manifest) -> list[int]:
    return [group.rows for group in manifest.row_groups("histories")]


def _warn_of_context(staged: Staged) -> None:
    if staged.without_value:
        log.warning(
            "score: the ranker takes %s, of which nothing is known when lists are made: it is "
            "given a missing value; set score.context, or train without them: "
            "ranker.ranking.features_left_out (train.ranking.features_left_out if the main model "
            "ranks)",
            ", ".join(staged.without_value),
        )


def _checked(lists: _Lists, item_ids: pa.Array) -> ListsManifest:
    """Read the lists back, write the table of users without one, and return the manifest."""
    manifest, score, folder = lists.manifest, lists.config.score, lists.folder
    parts = len(_rows(manifest))
    found = _counted(lists)
    overlap = overlap_with_current(
        lists.workspace,
        folder,
        parts=parts,
        logical_date=manifest.logical_date,
        item_ids=item_ids,
        length=score.list_length,
    )
    similar: dict[str, int] | None = None
    similar_files: dict[str, tuple[DataFile, ...]] = {}
    if has_similar(score, lists.model, quiet=True):
        similar, similar_files = check_similar(folder, item_ids, score)
    audiences, more_files = write_audiences(folder, manifest, score, lists.audiences)
    ledger, excluded = read_ledger(folder, parts), lists.rules
    diverse = ledger.pop(DIVERSITY, None)
    _warn_of_pins(ledger)
    counts = {**found.counts, "compared_users": overlap.users}
    reasons = Counter(found.absent[WHY_ABSENT].to_pylist())
    made = ListsManifest(
        id=lists.version,
        request=lists.request,
        logical_date=manifest.logical_date,
        dataset_id=manifest.id,
        model_id=lists.model.bundle.id,
        models=_other_models(lists),
        config=public_config(lists.config),
        counts=counts,
        short_lists=found.short_lists,
        fallbacks=found.fallbacks,
        users_without_lists=dict(sorted(reasons.items())),
        rules={one: excluded.get(one, {}) | ledger.get(one, {}) for one in {**excluded, **ledger}},
        diversity={} if diverse is None else diversity_figures(diverse),
        figures=figures_of(counts, overlap.mean),
        previous_id=overlap.previous_id,
        context_without_value=() if lists.staged is None else lists.staged.without_value,
        channels=found.channels,
        gates={},
        files={"lists": describe_parts(folder, parts), **similar_files, **more_files},
        absent=write_absent(folder, found.absent),
        similar_items=similar,
        audiences=audiences,
    )
    gates = {v.name: not v.refuses for v in judged(made.model_dump(), score)}
    return made.model_copy(update={"gates": gates})


def _warn_of_pins(ledger: Mapping[str, Mapping[str, int]]) -> None:
    for name, counts in ledger.items():
        if counts.get("skipped_pins") and not counts.get("pinned_places"):
            log.warning(
                "score: the item of %s is in no list: none of the %d users it counts for may get "
                "it; look at the other rules",
                name,
                counts["skipped_pins"],
            )


def _other_models(lists: _Lists) -> dict[str, str]:
    """Return the models that the lists are made with besides the main one, by role."""
    models = {} if lists.stages is None else lists.stages.models
    return {role: one for role, one in models.items() if one != lists.model.bundle.id}


def _counted(lists: _Lists) -> Checked:
    """Count what is in the written parts."""
    staged, manifest = lists.staged, lists.manifest
    score = lists.config.score.with_list_rules()
    dataset = lists.workspace / "datasets" / manifest.id
    check = None if score.rules is None else RuleCheck(dataset, manifest, score, lists.given)
    personal = is_personal(lists.model.scorer) if staged is None else staged.is_personal
    return check_parts(
        lists.workspace,
        manifest,
        lists.folder,
        score,
        lists.model.pools if staged is None else staged.pools,
        is_personal=personal,
        guaranteed=None if staged is None else staged.guaranteed,
        check=check,
    )


def _item_rules(
    dataset: Path, manifest: Manifest, score: Score, given: Given
) -> dict[str, dict[str, int]]:
    """Evaluate the rules that are the same for all users; return what each excludes.

    Raises:
        ConfigError: When a rule cannot be evaluated, or when no item is left.
    """
    if score.rules is None:
        return {}
    book = RuleBook(dataset, manifest, score, given)
    counts = book.item_counts()
    if not len(book.kept):
        told = ", ".join(f"{name} ({found['excluded_items']:,})" for name, found in counts.items())
        raise ConfigError(
            f"the rules exclude all {catalogue_size(manifest) - NUM_RESERVED:,} items of dataset "
            f"{manifest.id} for everybody: {told}; correct the rules, or the fields that they use"
        )
    return {
        name: {**given.counts.get(name, {}), **counts.get(name, {})}
        for name in [*given.counts, *counts]
    }


def _require_scorable(score: Score, manifest: Manifest) -> None:
    items = catalogue_size(manifest) - NUM_RESERVED
    if score.list_length > items:
        log.warning(
            "score: score.list_length=%d, but dataset %s has %d items; no list has more",
            score.list_length,
            manifest.id,
            items,
        )
    groups = {part: manifest.row_groups(part) for part in ("histories", "users")}
    rows = {part: [group.rows for group in found] for part, found in groups.items()}
    if rows["histories"] != rows["users"]:
        raise VersionError(
            f"users/ and histories/ of dataset {manifest.id} have different row "
            "groups; build the dataset again"
        )
    if not sum(rows["users"]):
        raise InputError(
            f"dataset {manifest.id} has no users, so there are no lists to make; "
            "build it again from a log with users"
        )
