"""`python -m tests.bench.quality`: accuracy of the named studies over several seeds, kept for good.

Each run is the product's own commands: `headrace etl` once for a study, then `headrace train` for
each seed. What a run comes to stands in one small file of `results/quality/`; a run that stands
there is not made again. `--table` prints all of them beside their baselines and what others have
published.
"""

import argparse
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conf.settings.load import load_config
from conf.workspace.hashes import canonical_hash
from tests.bench.machine_facts import machine, versions
from tests.bench.quality.cold_beauty import figures_by_kind, write_cold_beauty
from tests.bench.quality.kept_runs import Run, keep, kept_runs
from tests.bench.quality.random_quarter import user_figures, write_parts
from tests.bench.quality.studies import Study, chosen
from tests.bench.quality.table import tables
from tests.bench.runs import CHECKOUT, timed_headrace

DATA = CHECKOUT.parent / "shared" / "data"
WORKSPACES = CHECKOUT / "workspace" / "quality"


def main(arguments: list[str]) -> None:
    """Do what the command line asks for."""
    asked = _parsed(arguments)
    if asked.table:
        print(tables(kept_runs()))
        return
    try:
        studies = chosen(asked.only)
    except ValueError as error:
        sys.exit(str(error))
    for study in studies:
        if not (asked.data / study.data).is_dir():
            print(f"{study.name}: left out, as {asked.data / study.data} is absent", flush=True)
            continue
        measure(study, asked.seeds or list(study.seeds), data=asked.data, again=asked.again)
    print(tables(kept_runs()))


def measure(study: Study, seeds: list[int], *, data: Path, again: bool) -> None:
    """Make and keep the runs of a study that are not kept yet; all of them with `again`."""
    kept = {run.seed: run for run in kept_runs() if run.study == study.name}
    asked_for = configuration(study)
    for seed in seeds:
        if seed in kept and not again:
            is_same = kept[seed].configuration == asked_for
            told = "kept" if is_same else "kept, of another configuration: --again makes it anew"
            print(f"{study.name}, seed {seed}: {told}", flush=True)
            continue
        run = train(study, seed, data=data / study.data, again=again)
        keep(run)
        print(f"{study.name}, seed {seed}: {run.told(study.figures)}", flush=True)


def train(study: Study, seed: int, *, data: Path, again: bool = False) -> Run:
    """Make the study's dataset where it is not there yet, and train on it from a seed.

    A model that an interrupted benchmark has left is taken as it is, unless `again`. So is the
    network that a blend takes, which is trained where it is not there.
    """
    workspace = WORKSPACES / study.folder
    if study.log == "random_quarter":
        workspace = workspace / f"seed-{seed}"
        write_parts(data / "u.data", workspace / "log", seed)
        data = workspace / "log"
    if study.log == "cold_items":
        write_cold_beauty(data, workspace / "log")
        data = workspace / "log"
    if again:
        shutil.rmtree(workspace / "models", ignore_errors=True)
    # A model is measured here whatever its baselines are.
    places = [f"input.root={data}", f"run.output={workspace}", "train.gate=none"]
    timed_headrace("etl", places, path=study.config)
    changes = [*places, *study.changes, f"run.seed={seed}"]
    if study.network:
        (base,) = chosen([study.network])
        begun, _, _ = timed_headrace("train", [*places, *base.changes, f"run.seed={seed}"],
                                     path=base.config)  # fmt: skip
        changes.append(f"train.hybrid.neural={begun['id']}")
    # Figures of one row a target are another question: of the drawn ones all are measured below.
    alone = ["train.baselines=[]"] if study.log == "random_quarter" else []
    result, _, cpu = timed_headrace("train", [*changes, *alone], path=study.config)
    metrics = result["metrics"]
    if study.log == "random_quarter":
        metrics["test"] = user_figures(CHECKOUT / study.config, changes)
    if study.log == "cold_items":
        metrics["test"] |= figures_by_kind(metrics["segments"]["popularity"], study.figures)
    return _run(study, seed, metrics, cpu if result["status"] == "done" else None)


def configuration(study: Study) -> str:
    """Return a hash of all that a study's figures depend on, the seed apart.

    Keys that stand at what they are by themselves have no part in it: new ones leave it as it is.
    """
    config = load_config(CHECKOUT / study.config, study.changes)
    parts = config.model_dump(mode="json", include={"input", "etl", "train"}, exclude_defaults=True)
    parts["input"].pop("root")
    if config.train.algorithm == "neural":
        parts["train"].pop("algorithm")  # the default when the first runs were kept
    return canonical_hash(parts)[:12]


def _run(study: Study, seed: int, metrics: dict[str, Any], cpu: float | None) -> Run:
    """Return what is kept of a training that has ended."""
    curve, training = metrics.get("epochs", []), metrics.get("training", {})
    return Run(
        study=study.name,
        config=study.config,
        changes=list(study.changes),
        configuration=configuration(study),
        seed=seed,
        valid=metrics.get("valid", {}),
        test=metrics["test"],
        refit=metrics.get("refit"),
        blend=metrics.get("blend"),
        best_epoch=metrics.get("best_epoch"),
        epochs=len(curve) or None,
        training_seconds=training.get("seconds"),
        cpu_seconds=None if cpu is None else round(cpu, 1),
        parameters=training.get("parameters"),
        machine=machine(),
        versions=versions(),
        date=datetime.now(UTC).date().isoformat(),
    )


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="names or groups of studies")
    parser.add_argument("--seeds", nargs="+", type=int, default=[], help="the study's own, else")
    parser.add_argument("--again", action="store_true", help="also what is kept already")
    parser.add_argument("--table", action="store_true", help="print what is kept, run nothing")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the data: {DATA}")
    return parser.parse_args(arguments)
