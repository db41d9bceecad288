"""Training time to a validation figure on Beauty, beside RecBole's SASRec on the same machine.

Ours is the network of conf/beauty.yaml, over fewer epochs: what counts is the time to a quality.
Both train on the same file with the same number of threads, one after the other, ours before and
after the peer, so that neither has the quieter machine. Only training is counted, not validation
and not the start; the whole command stands beside it. RecBole ranks with the items of the history
among the candidates, we without them: each is measured in both ways.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.peer.environment import PEER, environment
from tests.bench.quality.studied import DATA
from tests.bench.runs import CHECKOUT, timed_headrace, timed_python

LOG = DATA / "s3rec_beauty" / "Beauty.txt.gz"
CONFIG = "conf/beauty.yaml"
TARGETS = (0.0450, 0.0496)
THREADS, SEED, MOST_EPOCHS = 1, 1, 20
WAYS = ("dropped", "kept")
"""Items of the history left out of the ranking, or kept in it."""
QUICK = (
    "train.refit=none", "train.epochs=8", "train.patience_epochs=8", "train.precision=fp32",
    "train.model.width=128", "train.model.dropout=0.5",
    "train.loss.kind=sampled_softmax", "train.loss.num_negatives=2048",
    "train.loss.negatives_for=batch",
)  # fmt: skip
"""What of conf/beauty.yaml is changed: fewer epochs, over which the learning rate goes down, fewer
weights, drawn negatives, and the peer's single precision."""
Curve = Sequence[Mapping[str, float]]


def measure(folder: Path) -> dict[str, Any]:
    """Run ours, the peer and ours again; return the seconds to each target and their ratios."""
    if not LOG.is_file():
        return {"left out": f"{LOG} is absent"}
    python = environment()
    made = folder / "made"
    timed_headrace("etl", [f"input.root={LOG.parent}", f"run.output={made}"], path=CONFIG)
    first = _ours(shutil.copytree(made, folder / "first"))
    peer = _peer(python, folder / "peer")
    second = _ours(shutil.copytree(made, folder / "second"))
    found = {
        "ours": {"changes": list(QUICK), "runs": [first, second]},
        PEER: peer,
        "threads": THREADS,
    }
    return {**found, **compared([first["curve"], second["curve"]], peer["curve"])}


def compared(ours: Sequence[Curve], peer: Curve) -> dict[str, Any]:
    """Return for each target and way of ranking the seconds of both, and ours over the peer's.

    Args:
        ours: Curves of several runs, of which the mean is taken.
        peer: The peer's.
    """
    figures: dict[str, Any] = {}
    for clock in ("seconds", "cpu_seconds"):
        for target in TARGETS:
            for way in WAYS:
                each = [time_to(curve, target, way, clock) for curve in ours]
                theirs = time_to(peer, target, way, clock)
                own = None if None in each else sum(filter(None, each)) / len(each)
                ratio = round(own / theirs, 3) if own and theirs else None
                name = f"{clock} to {target:.4f}, seen items {way}"
                figures[name] = {"ours": own, "peer": theirs, "ratio": ratio}
    return figures


def time_to(curve: Curve, target: float, way: str, clock: str) -> float | None:
    """Return the training time up to the first epoch with the figure; None: it is not reached."""
    spent = 0.0
    for record in curve:
        spent += record[clock]
        if record[way] >= target:
            return round(spent, 1)
    return None


def _ours(workspace: Path) -> dict[str, Any]:
    """Train by the product's command, and again here for the other way of ranking."""
    own = (f"train.cpus_per_worker={THREADS}", f"run.seed={SEED}", *QUICK)
    overrides = [f"input.root={LOG.parent}", f"run.output={workspace}", *own]
    result, command_seconds, _ = timed_headrace("train", overrides, path=CONFIG)
    script = ["-m", "tests.bench.peer.both_rankings", CONFIG, str(workspace), *overrides]
    again, _, _ = timed_python(script)
    curve = merged(result["metrics"]["epochs"], again)
    return {"command_seconds": round(command_seconds, 1), "curve": curve}


def merged(epochs: Curve, again: Curve) -> list[dict[str, float]]:
    """Return the command's epochs and seconds, with what only the second training tells.

    Raises:
        ValueError: When the two did not come to the same figures.
    """
    curve = []
    for record, other in zip(epochs, again, strict=True):
        if abs(record["ndcg@10"] - other["dropped"]) > 1e-4:
            raise ValueError(
                f"epoch {record['epoch']}: NDCG@10 is {record['ndcg@10']:.4f} by headrace train "
                f"and {other['dropped']:.4f} in a second training with the same seed"
            )
        curve.append({**other, "seconds": record["seconds"]})
    return curve


def _peer(python: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    limits = [str(value) for value in (SEED, THREADS, max(TARGETS), MOST_EPOCHS)]
    script = CHECKOUT / "tests/bench/peer/with_recbole.py"
    command, lines = [str(python), str(script), str(LOG), str(folder), *limits], []
    with subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", file=sys.stderr, flush=True)  # what a run that is cut off leaves
            lines.append(json.loads(line))
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    settings, *curve = lines
    return {**settings, "curve": curve}
