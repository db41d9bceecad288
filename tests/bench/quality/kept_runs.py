"""One training as `tests.bench.quality` keeps it: a small JSON file for each study and seed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "quality"
OURS = "model"
"""What the trained model is called beside its baselines."""
Figures = dict[str, float]


@dataclass(frozen=True)
class Run:
    """What one `headrace train` came to."""

    study: str
    config: str
    """File of the checkout."""
    changes: list[str]
    """Changes to it, the seed and the paths apart."""
    configuration: str
    """Hash of all of it, to tell whether the file has changed since."""
    seed: int
    valid: Figures
    """Of the chosen weights on the validation part."""
    test: dict[str, Figures]
    """Of the chosen weights, not refitted, and of the baselines of the same run, by name."""
    refit: dict[str, Any] | None
    """What was trained on, epochs, seconds and test figures of weights that were refitted."""
    blend: Figures | None
    """Weights of a hybrid's members."""
    best_epoch: int | None
    epochs: int | None
    training_seconds: float | None
    """Of the first training, its validation included; the refit tells its own."""
    cpu_seconds: float | None
    """Of the whole command and all its processes; None: the model was there already."""
    parameters: int | None
    machine: str
    versions: dict[str, str]
    date: str

    @property
    def refitted(self) -> Figures | None:
        """Return the test figures of the refitted weights, where they did not see the test part."""
        figures: Figures | None = ((self.refit or {}).get("test") or {}).get(OURS)
        return figures

    def told(self, names: Sequence[str]) -> str:
        """Return the run's figures as one line."""
        ways = {"test": self.test[OURS], "refitted": self.refitted}
        return ", ".join(
            f"{way} {name} {figures[name]:.4f}"
            for way, figures in ways.items()
            if figures
            for name in names
        )


def keep(run: Run, folder: Path = RESULTS) -> None:
    """Write a run, in place of one of the same study and seed."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(run), indent=1)
    (folder / f"{run.study}-{run.seed}.json").write_text(text + "\n")


def kept_runs(folder: Path = RESULTS) -> list[Run]:
    """Return all runs that are kept, by study and seed."""
    runs = [Run(**json.loads(path.read_text())) for path in folder.glob("*.json")]
    return sorted(runs, key=lambda run: (run.study, run.seed))
