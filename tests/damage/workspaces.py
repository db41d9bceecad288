"""Two small workspaces with every kind of file, and functions that read all that is in them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch

from conf.contract import Bundle, ListsManifest, Manifest
from conf.erasure.erase import run as erase
from conf.erasure.receipts import is_genuine
from conf.errors import VersionError
from conf.privacy.erased import read_erased
from conf.privacy.identities import labels_of
from conf.privacy.keys import load_keys
from conf.privacy.quarantine import read_quarantine
from conf.runs.inputs.input_files import fingerprint_inputs
from conf.runs.looking import run_show, run_status
from conf.runs.managing import run_rollback
from conf.runs.stages import run_score
from conf.settings.choosing import Dimension, Tune
from conf.settings.config import Config
from conf.workspace.lock import workspace_lock
from conf.workspace.parquet import open_parquet
from conf.workspace.pointers import publish, rollback
from conf.workspace.versions import commit, new_folder, read_manifest, version_id
from serving.gates.list_counts import check_parts
from serving.kinds.prepared import Source, prepared
from serving.publishing.parts import read_item_ids
from serving.score import checked, job_of
from serving.scoring.list_model import is_personal, load_model
from serving.scoring.worker import PartScorer
from tests.conf import erasable
from tests.serving import tiny_shop
from trainer.choosing.study import Outcome, ask, open_study, outcomes, settings_of, tell
from trainer.data.stream import read_row_groups
from trainer.models.bundle import load_scorer
from trainer.training.checkpoint import load_checkpoint, save_checkpoint

LENGTHS = ("", "score.list_length=3", "score.list_length=2")
_VARIES = re.compile(r'"(number|seconds|modified_at)": ')
TUNE = Tune(
    trials=3, sampler="random", space={"optimizer.learning_rate": Dimension(low=0.1, high=0.5)}
)


class Reader(NamedTuple):
    """A use of a workspace, and what it reads there."""

    name: str
    read: Callable[[Path], Any]
    writes: bool = False
    """Whether it changes the workspace, so that it comes last."""


def make_shop(workspace: Path) -> None:
    """Write a shop with three lists, checkpoints, a search and a cache; nothing runs on Ray."""
    config = tiny_shop.tiny_config(workspace)
    manifest = tiny_shop.write_dataset(workspace, tiny_shop.HISTORIES, items=tiny_shop.ITEMS)
    model_id = tiny_shop.write_model(config, manifest)
    for more in LENGTHS:
        _write_lists(_config(workspace, more), manifest, model_id)
    (workspace / "events.csv").write_text("user,item\nu1,i2\n")
    fingerprint_inputs(_with_input(workspace))
    for number in range(3):
        save_checkpoint(_work(workspace), number, {"weights": torch.full((9,), number)})
    study = open_study(_search(workspace))
    for number in range(TUNE.trials):
        trial = ask(study, TUNE)
        settings = settings_of(trial.params, TUNE)
        tell(_search(workspace), study, trial, Outcome("done", settings, str(number), 0.25))
    with workspace_lock(workspace, 60):
        rollback(workspace, "lists")


def make_erasable(workspace: Path) -> None:
    """Write a workspace in which somebody was erased already."""
    erasable.write_workspace(workspace, erasable.NAMES, erasable.REPORT)
    erasable.write_identities(workspace, erasable.NAMES, erasable.NAMES)
    _erase(workspace, "gone-before")


def shop_readers() -> list[Reader]:
    """Return what the commands read of the shop."""
    return [
        Reader("status", lambda w: _told(run_status(_config(w)), w)),
        Reader("show", lambda w: _told(run_show(_config(w), "u1"), w)),
        Reader("model", _read_model),
        Reader("train's rows", _read_rows),
        Reader("lists", _read_lists),
        Reader("checkpoint", lambda w: load_checkpoint(_work(w))),
        Reader("search", lambda w: outcomes(open_study(_search(w))), writes=True),
        Reader("input files", lambda w: _told(fingerprint_inputs(_with_input(w)), w), writes=True),
        Reader("score", lambda w: _told(run_score(_config(w)), w), writes=True),
        Reader("rollback", lambda w: _told(run_rollback(_config(w), "lists"), w), writes=True),
    ]


def erasable_readers() -> list[Reader]:
    """Return what an erasure and the privacy of a run read."""
    return [
        Reader("quarantine", _read_quarantine),
        Reader(
            "erased", lambda w: [(one.key, sorted(one.hashes)) for one in read_erased(w, _keys(w))]
        ),
        Reader("receipts", _read_receipts),
        Reader("identities", lambda w: labels_of(w, erasable.DATASET, set(erasable.NAMES))),
        Reader("erase", _read_after_erasure, writes=True),
    ]


def tiny_shop_lists(workspace: Path, more: str) -> str:
    """Return the id of one of the lists."""
    request = tiny_shop.request_of(_config(workspace, more), "tiny-dataset", _model_id(workspace))
    return version_id("tiny", tiny_shop.DAY, request)


def _write_lists(config: Config, manifest: Manifest, model_id: str) -> None:
    workspace = Path(config.run.output).resolve()
    request = tiny_shop.request_of(config, manifest.id, model_id)
    version = version_id(config.run.name, manifest.logical_date, request)
    folder = new_folder(workspace, "lists", version)
    model = load_model(workspace, model_id, manifest)
    item_ids = read_item_ids(workspace / "datasets" / manifest.id, manifest)
    source = Source(config, manifest, model, item_ids, {}, {})
    kinds = prepared(source, (), {})
    job = job_of(source, kinds, request=request, folder=folder, base=None)
    scorer = PartScorer(job)
    for part in range(len(manifest.row_groups("histories"))):
        scorer.score(part)
    commit(workspace, "lists", checked(source, kinds, job, {}))
    publish(workspace, "lists", version, manifest.logical_date)


def _config(workspace: Path, more: str = "") -> Config:
    """Return the shop's configuration, which takes a while to load, for a workspace."""
    if more not in _CONFIGS:
        _CONFIGS[more] = tiny_shop.tiny_config(workspace, *filter(None, [more]))
    config = _CONFIGS[more]
    run = config.run.model_copy(update={"output": str(workspace)})
    return config.model_copy(update={"run": run})


_CONFIGS: dict[str, Config] = {}


def _with_input(workspace: Path) -> Config:
    config = _config(workspace)
    logs = {
        name: source.model_copy(update={"paths": ["events.csv"]})
        for name, source in config.input.events.items()
    }
    changed = config.input.model_copy(update={"root": str(workspace), "events": logs})
    return config.model_copy(update={"input": changed})


def _work(workspace: Path) -> Path:
    return workspace / "models/.work-0123456789ab"


def _search(workspace: Path) -> Path:
    return workspace / "tuning/tiny-search"


def _told(result: Any, workspace: Path) -> str:
    """Return a result as text, without what differs from run to run."""
    text = json.dumps(result, default=str, sort_keys=True)
    text = text.replace(str(workspace.resolve()), "W").replace(str(workspace), "W")
    kept = [part for part in text.split(", ") if not _VARIES.search(part)]
    return ", ".join(kept)


def _model_id(workspace: Path) -> str:
    found = sorted(p.name for p in (workspace / "models").glob("[!.]*") if p.is_dir())
    return found[0]


def _read_model(workspace: Path) -> Any:
    bundle, scorer = load_scorer(workspace, _model_id(workspace))
    weights = getattr(scorer, "model").state_dict()  # noqa: B009
    return bundle.model_dump(), {name: tensor.tolist() for name, tensor in weights.items()}


def _read_rows(workspace: Path) -> Any:
    manifest = read_manifest(workspace, "datasets", "tiny-dataset", Manifest)
    columns = ["user_idx", "history_item_idx", "history_time"]
    folder = workspace / "datasets" / manifest.id
    stream = read_row_groups(folder, manifest.row_groups("histories"), columns, threads=1)
    return [repr(found) for _, found in stream]


def _read_lists(workspace: Path) -> Any:
    manifest = read_manifest(workspace, "datasets", "tiny-dataset", Manifest)
    version = tiny_shop_lists(workspace, LENGTHS[0])
    lists = read_manifest(workspace, "lists", version, ListsManifest)
    model = load_model(workspace, lists.model_id, manifest)
    found = check_parts(
        workspace, manifest, workspace / "lists" / version, _config(workspace).score, model.pools,
        is_personal=is_personal(model.scorer),
    )  # fmt: skip
    return found.counts, found.short_lists, found.fallbacks, lists.model_dump()


def _keys(workspace: Path) -> Any:
    return load_keys(erasable.config_of(workspace).privacy)


def _erase(workspace: Path, user: str) -> dict[str, Any]:
    users = workspace / "users.txt"
    users.write_text(user)
    return erase(erasable.config_of(workspace), users=users)


def _read_quarantine(workspace: Path) -> Any:
    return read_quarantine(workspace, erasable.DATASET, _keys(workspace)).to_pylist()


def _read_receipts(workspace: Path) -> Any:
    for path in sorted((workspace / "erased").glob("receipt-*")):
        if not is_genuine(path, _keys(workspace)):
            raise VersionError(f"{path} is not genuine")
    return "genuine"


def _read_after_erasure(workspace: Path) -> Any:
    """Return all rows and numbers that are left when a user has been erased."""
    result = _erase(workspace, erasable.NAMES[2])
    folder, found = workspace / "datasets" / erasable.DATASET, []
    for path in sorted(folder.rglob("*.parquet")):
        with open_parquet(path) as file:
            found.append((path.name, file.read().to_pylist()))
    bundle = read_manifest(workspace, "models", erasable.MODEL, Bundle)
    lists = read_manifest(workspace, "lists", erasable.LISTS, ListsManifest)
    path = workspace / "models" / erasable.MODEL / "weights.safetensors"
    weights = path.read_bytes() if path.is_file() else None  # a forged bundle may name none
    encoders = [p.read_text() for p in sorted(folder.glob("encoders/*.json"))]
    parts = [pq.read_table(p).to_pylist() for p in sorted((workspace / "lists").rglob("*.parquet"))]
    manifest = read_manifest(workspace, "datasets", erasable.DATASET, Manifest)
    told = {key: result[key] for key in ("users", "found", "not_found", "removed")}
    return told, found, bundle, lists, weights, encoders, parts, manifest
