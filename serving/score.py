"""Score all users with Ray: open dataset and model, distribute the parts, check, commit."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util import ActorPool
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from conf.contract import (
    NUM_RESERVED,
    WHY_ABSENT,
    Bundle,
    ListsManifest,
    Manifest,
    catalogue_size,
)
from conf.errors import ConfigError, HeadraceError, InputError, VersionError
from conf.masking.origins import public_config
from conf.runs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.score import Score
from conf.workspace.versions import commit, new_folder, read_manifest, version_id
from serving.gates.list_counts import check_parts
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
from serving.rules.book import RuleBook
from serving.rules.given import Given, read_given
from serving.rules.shown import shown_version
from serving.scoring.list_model import ListModel, is_personal, load_model
from serving.scoring.worker import PartScorer, ScoringJob
from trainer.cluster.ray_session import ray_session
from trainer.models.bundle import require_same_vocabulary

log = logging.getLogger(__name__)
MAX_WORKER_DEATHS = 3
"""How many deaths of one worker, and retries of one part, a run survives."""
LOG_EVERY_SECONDS = 30


def run(
    config: Config,
    *,
    dataset_id: str,
    model_id: str,
    request: str,
    files: Mapping[str, Sequence[InputFile]] = MappingProxyType({}),
    shown: Sequence[str] = (),
) -> str:
    """Write, check and commit the lists of all users; return the version's id.

    Complete parts of an interrupted run with the same request are reused.

    Args:
        config: The configuration.
        dataset_id: The dataset.
        model_id: The model.
        request: Key of the lists.
        files: Of `conf.runs.list_files.list_files`.
        shown: Of `conf.runs.shown_lists.shown_lists`.

    Raises:
        VersionError: When dataset and model do not belong together, or one is damaged.
    """
    workspace = Path(config.run.output).resolve()
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    require_same_vocabulary(read_manifest(workspace, "models", model_id, Bundle), manifest)
    model = load_model(workspace, model_id, manifest)
    _require_scorable(config.score, manifest)
    dataset = workspace / "datasets" / dataset_id
    item_ids = read_item_ids(dataset, manifest)
    given = read_given(config, manifest, item_ids, files)
    if shown:
        versions = [shown_version(workspace, one) for one in shown]
        given = given._replace(shown=versions, item_ids=item_ids)
    rules = _item_rules(dataset, manifest, config.score, given)
    version = version_id(config.run.name, manifest.logical_date, request)
    folder = new_folder(workspace, "lists", version)
    groups = manifest.row_groups("histories")
    missing = missing_parts(folder, groups, request)
    if len(missing) < len(groups):
        log.info("score: %d of %d parts exist already", len(groups) - len(missing), len(groups))
    if missing:
        job = ScoringJob(
            workspace, dataset_id, model_id, request, folder, config.score, config.run.umask, given
        )
        num_users = sum(groups[part].rows for part in missing)
        with ray_session(config), _progress(num_users) as progress:
            _score_parts(job, missing, progress)
    commit(workspace, "lists", _checked(config, manifest, model, version, request, given, rules))
    return version


def _checked(
    config: Config,
    manifest: Manifest,
    model: ListModel,
    version: str,
    request: str,
    given: Given,
    rules: dict[str, dict[str, int]],
) -> ListsManifest:
    """Read the lists back, write the table of users without one, and return the manifest."""
    workspace, score = Path(config.run.output).resolve(), config.score
    folder, parts = workspace / "lists" / version, len(manifest.row_groups("histories"))
    dataset = workspace / "datasets" / manifest.id
    found = check_parts(
        workspace,
        manifest,
        folder,
        score,
        model.pools,
        is_personal=is_personal(model.scorer),
        check=None if score.rules is None else RuleCheck(dataset, manifest, score, given),
    )
    overlap = overlap_with_current(
        workspace,
        folder,
        parts=parts,
        logical_date=manifest.logical_date,
        item_ids=read_item_ids(dataset, manifest),
        length=score.list_length,
    )
    ledger = read_ledger(folder, parts)
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
        rules={name: rules.get(name, {}) | ledger.get(name, {}) for name in {**rules, **ledger}},
        figures=figures_of(counts, overlap.mean),
        previous_id=overlap.previous_id,
        gates={},
        files={"lists": describe_parts(folder, parts)},
        absent=write_absent(folder, found.absent),
    )
    gates = {v.name: not v.refuses for v in judged(lists.model_dump(), score)}
    return lists.model_copy(update={"gates": gates})


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


class _Shown(Protocol):
    def add(self, users: int) -> None:
        """Count users whose lists have been written."""


def _score_parts(job: ScoringJob, parts: list[int], progress: _Shown) -> None:
    """Score the parts on workers; each takes the next part when it has finished one.

    Ray restarts a worker that died and repeats its part, up to `MAX_WORKER_DEATHS` times.
    """
    actor = ray.remote(PartScorer).options(
        num_cpus=job.score.cpus_per_worker,
        num_gpus=job.score.gpus_per_worker,
        max_restarts=MAX_WORKER_DEATHS,
        max_task_retries=MAX_WORKER_DEATHS,
    )
    pool = ActorPool([actor.remote(job) for _ in range(_num_workers(job.score, len(parts)))])
    try:
        for users in pool.map_unordered(lambda worker, part: worker.score.remote(part), parts):
            progress.add(users)
    except RayTaskError as error:
        if isinstance(error.cause, HeadraceError):
            raise error.cause from error
        raise
    except RayActorError as error:
        raise HeadraceError(
            f"a scoring worker died {MAX_WORKER_DEATHS + 1} times; the usual cause is too little "
            "memory: lower score.block_users, score.block_items or score.workers. Finished parts "
            f"are kept for the next run. Ray says: {error}"
        ) from error


def _num_workers(score: Score, num_parts: int) -> int:
    """Return how many workers have a part and resources: more would wait forever."""
    asked_for = {"CPU": score.cpus_per_worker, "GPU": score.gpus_per_worker}
    has = ray.cluster_resources()  # type: ignore[no-untyped-call]
    room = min(int(has.get(name, 0) // count) for name, count in asked_for.items() if count)
    if room == 0:
        raise ConfigError(
            f"score.cpus_per_worker={score.cpus_per_worker} and score.gpus_per_worker="
            f"{score.gpus_per_worker} ask for more than Ray has (CPU {has.get('CPU', 0):.0f}, GPU "
            f"{has.get('GPU', 0):.0f}); lower them or raise ray.num_cpus"
        )
    if room < score.workers:
        log.warning(
            "score: score.workers=%d, but Ray has resources for only %d, which are used",
            score.workers,
            room,
        )
    return min(score.workers, room, num_parts)


class _Log:
    """Progress in the log: a line every `LOG_EVERY_SECONDS`, and one at the end."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.started = self.shown = time.monotonic()

    def add(self, users: int) -> None:
        self.done += users
        now = time.monotonic()
        if self.done == self.total or now - self.shown >= LOG_EVERY_SECONDS:
            self.shown = now
            log.info(
                "score: %d of %d users, %.0f users/s",
                self.done,
                self.total,
                self.done / max(now - self.started, 1e-9),
            )


class _Bar(_Log):
    """Progress in a terminal: a bar in addition to the log lines."""

    def __init__(self, total: int, bar: Progress) -> None:
        super().__init__(total)
        self.bar = bar
        self.task = bar.add_task("", total=total, rate=0.0)

    def add(self, users: int) -> None:
        rate = (self.done + users) / max(time.monotonic() - self.started, 1e-9)
        self.bar.update(self.task, advance=users, rate=rate)
        super().add(users)


@contextmanager
def _progress(total: int) -> Iterator[_Shown]:
    if not sys.stderr.isatty():
        yield _Log(total)
        return
    with Progress(
        TextColumn("scoring"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} users"),
        TextColumn("{task.fields[rate]:,.0f} users/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        yield _Bar(total, bar)
