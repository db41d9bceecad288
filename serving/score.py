"""Score all users with Ray: open dataset and model, distribute the parts, check, commit."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from conf.contract import (
    AUDIENCES,
    SIMILAR_ITEMS,
    Bundle,
    DataFile,
    ListsManifest,
    Manifest,
    ScenarioLists,
    catalogue_size,
    lists_key,
)
from conf.masking.origins import public_config
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.workspace.folders import own_folder
from conf.workspace.json_files import is_there
from conf.workspace.publications import ShownLists
from conf.workspace.versions import commit, new_folder, read_manifest, version_id
from serving.audiences.items import items_of_audiences
from serving.audiences.merged import write_audiences
from serving.audiences.worker import PARTS, AudienceScorer
from serving.carrying.attempts import finish, remove_work, work_folder
from serving.carrying.earlier import Base, base_of
from serving.carrying.merged import NotKeptError
from serving.gates.rule_checks import RuleCheck
from serving.kinds.bases import bases
from serving.kinds.prepared import Prepared, Source, prepared, prepared_similar
from serving.kinds.scorable import require_scorable
from serving.kinds.written import described
from serving.publishing.parts import missing_parts, read_item_ids
from serving.scoring.list_model import ListModel, load_model
from serving.scoring.pool import Worker, score_parts, shown_progress
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
    files: Mapping[str, Sequence[InputFile]] = MappingProxyType({}),
    shown: Sequence[ShownLists] = (),
    shown_in: Mapping[str, Sequence[ShownLists]] = MappingProxyType({}),
) -> str:
    """Write, check and commit the lists of all users; return the version's id.

    Complete parts of an interrupted run with the same request are reused.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        model_id: The main model.
        request: Key of the lists.
        models: Models of other roles that candidates need, by role.
        files: Of `conf.runs.inputs.list_files.list_files`.
        shown: Of `conf.runs.lineage.shown_lists`.
        shown_in: Of `conf.runs.lineage.shown_in_scenarios`.

    Raises:
        VersionError: When dataset and model do not belong together, or one is damaged.
        ConfigError: When a rule or the condition of a scenario cannot be evaluated, or leaves
            nothing.
    """
    workspace, score = Path(config.run.output).resolve(), config.score
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    require_same_vocabulary(read_manifest(workspace, "models", model_id, Bundle), manifest)
    model = load_model(workspace, model_id, manifest)
    require_scorable(score, manifest, model)
    item_ids = read_item_ids(workspace / "datasets" / dataset_id, manifest)
    source = Source(config, manifest, model, item_ids, models or {}, files)
    kinds = prepared(source, shown, shown_in)
    basis, base = bases(source, kinds), None
    folder = workspace / "lists" / version_id(config.run.name, manifest.logical_date, request)
    if score.keep_unchanged and not is_there(folder):  # see `serving.carrying.attempts`
        base = base_of(workspace, manifest, basis)
    job = job_of(source, kinds, request=request, folder=folder, base=base)
    _score_all(config, job, manifest, model)
    commit(workspace, "lists", checked(source, kinds, job, basis))
    return folder.name


def job_of(
    source: Source, kinds: Sequence[Prepared], *, request: str, folder: Path, base: Base | None
) -> ScoringJob:
    """Return what workers need to make lists.

    Args:
        source: What the lists are made from.
        kinds: All kinds of lists, the default ones first.
        request: Key of the lists.
        folder: Folder of the version.
        base: The earlier version whose lists users may keep; None: all lists are made.

    Raises:
        ConfigError: When a rule or an audience cannot be evaluated, or leaves nothing.
    """
    config, manifest, model = source.config, source.manifest, source.model
    default, *scenarios = (one.kind for one in kinds)
    of_items = (source.item_ids, default.given, source.files)
    return ScoringJob(
        source.workspace, manifest.id, model.bundle.id, request, folder, config.score,
        umask=config.run.umask,
        stages=default.stages,
        templates=default.templates,
        given=default.given,
        scenarios=tuple(scenarios),
        similar=prepared_similar(source, default.given),
        audiences=items_of_audiences(config, manifest, model, *of_items),
        seed=config.run.seed,
        base=base,
    )  # fmt: skip


def _score_all(config: Config, job: ScoringJob, manifest: Manifest, model: ListModel) -> None:
    """Score what is missing; without the earlier version if its lists cannot be kept."""
    work = work_folder(job.folder, job.request)
    if job.base is not None:
        remove_work(job.folder.parent, but=work)
        try:
            _score_missing(config, replace(job, folder=own_folder(work)), manifest, model)
        except NotKeptError as error:
            log.warning(
                "score: lists of %s cannot be reused: %s; all lists are made again",
                job.base.lists_id,
                error,
            )
        else:
            finish(work, job.folder)
            return
    new_folder(job.workspace, "lists", job.folder.name)  # from now on no list is kept
    remove_work(job.folder.parent)
    _score_missing(config, replace(job, base=None), manifest, model)


def _score_missing(config: Config, job: ScoringJob, manifest: Manifest, model: ListModel) -> None:
    """Score the users, and the items if that is asked for, whose parts are not written yet."""
    works = [_Work("users", PartScorer, _rows(manifest), _missing_users(config, job, manifest))]
    if has_similar(config.score, model):
        items = rows_of_parts(catalogue_size(manifest))
        folder = own_folder(job.folder / SIMILAR_ITEMS)
        missing = missing_parts(folder, items, job.request)
        works.append(_Work("items", SimilarScorer, items, missing))
    if job.audiences:
        folder = own_folder(own_folder(job.folder / AUDIENCES) / PARTS)
        rows = _rows(manifest)
        missing = missing_parts(folder, rows, job.request)
        works.append(_Work("users for audiences", AudienceScorer, rows, missing))
    if not any(work.missing for work in works):
        return
    num_kept = 0
    with ray_session(config):
        for work in works:
            there = len(work.rows) - len(work.missing)
            if there:
                log.info("score: %d of %d parts exist already", there, len(work.rows))
            if work.missing:
                count = sum(work.rows[part] for part in work.missing)
                with shown_progress(count, work.what) as progress:
                    num_kept += score_parts(work.worker, job, work.missing, progress)
    if num_kept and job.base is not None:
        log.info(
            "score: reused %s unchanged lists of %s",
            f"{num_kept:,}",
            job.base.lists_id,
        )


def _missing_users(config: Config, job: ScoringJob, manifest: Manifest) -> list[int]:
    """Return the parts of users that lack lists of some kind."""
    rows, found = _rows(manifest), set[int]()
    for kind in job.kinds:
        folder = own_folder(kind.folder_in(job.folder))
        keep = (SIMILAR_ITEMS, AUDIENCES, *config.score.scenarios) if kind.scenario is None else ()
        found.update(missing_parts(folder, rows, job.request, keep=keep))
    return sorted(found)


class _Work(NamedTuple):
    """What workers of one kind do."""

    what: str
    worker: type[Worker]
    rows: list[int]
    """Users or items of each part."""
    missing: list[int]
    """Parts to be written."""


def _rows(manifest: Manifest) -> list[int]:
    return [group.rows for group in manifest.row_groups("histories")]


def checked(
    source: Source,
    kinds: Sequence[Prepared],
    job: ScoringJob,
    basis: Mapping[str | None, str],
) -> ListsManifest:
    """Read the lists back, write the tables of users without one, and return the manifest."""
    manifest, score, folder = source.manifest, source.config.score, job.folder
    similar: dict[str, int] | None = None
    files: dict[str, tuple[DataFile, ...]] = {}
    if has_similar(score, source.model, quiet=True):
        check = None
        if job.similar is not None:
            check = RuleCheck(source.dataset, manifest, job.similar.score, job.similar.given)
        similar, files = check_similar(folder, source.item_ids, score, check)
    audiences, of_audiences = write_audiences(folder, manifest, score, job.audiences)
    files |= of_audiences
    figures: dict[str, Any] = {}
    scenarios: dict[str, ScenarioLists] = {}
    for one in kinds:
        found, parts = described(source, one, folder)
        name = one.kind.scenario
        files[lists_key(name)] = parts
        if name is None:
            figures = dict(found)
        else:
            scenarios[name] = ScenarioLists(
                **dict(found), list_length=one.score.list_length, users_where=one.kind.users_where
            )
    return ListsManifest(
        id=folder.name,
        request=job.request,
        logical_date=manifest.logical_date,
        dataset_id=manifest.id,
        model_id=source.model.bundle.id,
        models=_other_models(source, kinds),
        config=public_config(source.config),
        files=files,
        similar_items=similar,
        audiences=audiences,
        scenarios=scenarios,
        basis={lists_key(name): key for name, key in basis.items()},
        **figures,
    )


def _other_models(source: Source, kinds: Sequence[Prepared]) -> dict[str, str]:
    """Return the models that the lists are made with besides the main one, by role."""
    found = {
        role: model
        for one in kinds
        if one.kind.stages is not None
        for role, model in one.kind.stages.models.items()
    }
    return {role: one for role, one in found.items() if one != source.model.bundle.id}
