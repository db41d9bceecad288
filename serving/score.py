"""Score all users with Ray: open dataset and model, distribute the parts, check, commit."""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from conf.contract import (
    NUM_RESERVED,
    SIMILAR_ITEMS,
    WHY_ABSENT,
    Bundle,
    DataFile,
    ListsManifest,
    Manifest,
    catalogue_size,
)
from conf.errors import InputError, VersionError
from conf.masking.origins import public_config
from conf.settings.config import Config
from conf.settings.score import Score
from conf.workspace.folders import own_folder
from conf.workspace.versions import commit, new_folder, read_manifest, version_id
from serving.gates.list_counts import Checked, check_parts
from serving.gates.overlap import overlap_with_current
from serving.gates.verdicts import figures_of, judged
from serving.publishing.parts import describe_parts, missing_parts, read_item_ids, write_absent
from serving.reasons.templates import load_templates
from serving.scoring.list_model import ListModel, is_personal, load_model
from serving.scoring.pool import Worker, score_parts, shown_progress
from serving.scoring.staged import Staged, load_staged, stages_of
from serving.scoring.worker import PartScorer, ScoringJob
from serving.similar.check import check_similar
from serving.similar.worker import SimilarScorer, has_similar, rows_of_parts
from trainer.cluster.ray_session import ray_session
from trainer.models.bundle import require_same_vocabulary

log = logging.getLogger(__name__)


def run(
    config: Config,
    *,
    dataset_id: str,
    model_id: str,
    request: str,
    models: Mapping[str, str] | None = None,
) -> str:
    """Write, check and commit the lists of all users; return the version's id.

    Complete parts of an interrupted run with the same request are reused.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        model_id: The main model.
        request: Key of the lists.
        models: Models of other roles that candidates need, by role.

    Raises:
        VersionError: When dataset and model do not belong together, or one is damaged.
    """
    workspace = Path(config.run.output).resolve()
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    require_same_vocabulary(read_manifest(workspace, "models", model_id, Bundle), manifest)
    model = load_model(workspace, model_id, manifest)
    _require_scorable(config.score, manifest)
    stages = stages_of(config, manifest, model, models or {})
    staged = None
    if stages is not None:
        cpu = torch.device("cpu")
        staged = load_staged(workspace, manifest, model, stages, config.score, cpu)
        _warn_of_context(staged)
    version = version_id(config.run.name, manifest.logical_date, request)
    job = ScoringJob(
        workspace,
        dataset_id,
        model_id,
        request,
        new_folder(workspace, "lists", version),
        config.score,
        config.run.umask,
        stages,
        load_templates(config.score.texts),
    )
    _score_missing(config, job, manifest, model)
    made = _checked(config, manifest, model, staged, version, request)
    if stages is not None:
        others = {role: one for role, one in stages.models.items() if one != model_id}
        made = made.model_copy(update={"models": others})
    commit(workspace, "lists", made)
    return version


def _score_missing(config: Config, job: ScoringJob, manifest: Manifest, model: ListModel) -> None:
    """Score the users, and the items if that is asked for, whose parts are not written yet."""
    works = [_Work("users", PartScorer, job.folder, _rows(manifest), ())]
    if has_similar(config.score, model):
        items = rows_of_parts(catalogue_size(manifest))
        folder = own_folder(job.folder / SIMILAR_ITEMS)
        works[0] = works[0]._replace(keep=(SIMILAR_ITEMS,))
        works.append(_Work("items", SimilarScorer, folder, items, ()))
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
            "given a missing value; set score.context, or leave them out with "
            "ranking.features_left_out",
            ", ".join(staged.without_value),
        )


def _checked(
    config: Config,
    manifest: Manifest,
    model: ListModel,
    staged: Staged | None,
    version: str,
    request: str,
) -> ListsManifest:
    """Read the lists back, write the table of users without one, and return the manifest."""
    workspace, score = Path(config.run.output).resolve(), config.score
    folder, parts = workspace / "lists" / version, len(manifest.row_groups("histories"))
    item_ids = read_item_ids(workspace / "datasets" / manifest.id, manifest)
    found = _counted(workspace, manifest, folder, score, model, staged)
    overlap = overlap_with_current(
        workspace,
        folder,
        parts=parts,
        logical_date=manifest.logical_date,
        item_ids=item_ids,
        length=score.list_length,
    )
    similar: dict[str, int] | None = None
    similar_files: dict[str, tuple[DataFile, ...]] = {}
    if has_similar(score, model, quiet=True):
        similar, similar_files = check_similar(folder, item_ids, score)
    counts = {**found.counts, "compared_users": overlap.users}
    reasons = Counter(found.absent[WHY_ABSENT].to_pylist())
    lists = ListsManifest(
        id=version,
        request=request,
        logical_date=manifest.logical_date,
        dataset_id=manifest.id,
        model_id=model.bundle.id,
        config=public_config(config),
        counts=counts,
        short_lists=found.short_lists,
        fallbacks=found.fallbacks,
        users_without_lists=dict(sorted(reasons.items())),
        figures=figures_of(counts, overlap.mean),
        previous_id=overlap.previous_id,
        context_without_value=() if staged is None else staged.without_value,
        channels=found.channels,
        gates={},
        files={"lists": describe_parts(folder, parts), **similar_files},
        absent=write_absent(folder, found.absent),
        similar_items=similar,
    )
    gates = {v.name: not v.refuses for v in judged(lists.model_dump(), score)}
    return lists.model_copy(update={"gates": gates})


def _counted(
    workspace: Path,
    manifest: Manifest,
    folder: Path,
    score: Score,
    model: ListModel,
    staged: Staged | None,
) -> Checked:
    """Count what is in the written parts."""
    if staged is None:
        personal = is_personal(model.scorer)
        return check_parts(workspace, manifest, folder, score, model.pools, is_personal=personal)
    return check_parts(
        workspace,
        manifest,
        folder,
        score,
        staged.pools,
        is_personal=staged.is_personal,
        guaranteed=staged.guaranteed,
    )


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
