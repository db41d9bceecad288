"""Estimates of what a training costs on a machine; each is an order of magnitude only."""

from typing import Any

from conf.settings.train import Train
from trainer.choosing.dataset_profile import Profile
from trainer.cluster.machine import Machine

BYTES_PER_WEIGHT = 16
"""Weight, gradient and Adam's two moments in single precision."""
_SHARE_OF_PEAK = {"cpu": 0.35, "gpu": 0.15}
"""Share of the machine's measured speed that training reached with networks of these sizes."""
_BF16_GAIN = 1.7
"""Speed-up of training on a CPU: matrix products gain more, but take only half of the time."""
EPOCHS = 30
"""Epochs that are advised for a network."""
_SOLVED_SHARE = 0.1
"""Share of the machine's speed that the many small equations of ALS reach."""
_SCORED_PER_SECOND = 1e8
"""Scores of items that validation computes and ranks in a second."""
_PAIRS_PER_SECOND = 2e7
"""Pairs of a user's items that are counted in a second."""


def expected_cost(
    profile: Profile, machine: Machine, settings: dict[str, Any]
) -> dict[str, float] | None:
    """Estimate the cost of training a `neural` model: its time, and the memory of one worker.

    None for other algorithms, which take seconds to minutes.

    Args:
        profile: Figures of the dataset.
        machine: Where it is trained.
        settings: By dotted key. The time is for all `train.epochs`; if `train.patience_epochs` is
            given, `fewest_minutes` is for a training whose first epoch is the best one.
    """
    if settings["train.algorithm"] != "neural":
        return None
    width, blocks = settings["train.model.width"], settings["train.model.blocks"]
    scored = profile.items
    if settings["train.loss.kind"] != "cross_entropy":
        scored = settings["train.loss.num_negatives"]
    inner = {"attention": 12, "bidirectional": 12, "gru": 6, "cnn": 6}.get(
        settings["train.model.encoder"], 0
    )
    layers = blocks * inner * width**2  # multiplications of one event
    products = profile.events * (layers + scored * width)
    peak = machine.gflops * 1e9 * _SHARE_OF_PEAK["gpu" if machine.gpus else "cpu"]
    is_bf16 = machine.has_bf16 and settings.get("train.precision", "fp32") != "fp32"
    if not machine.gpus and is_bf16:
        peak *= _BF16_GAIN
    epoch = 3 * 2 * products / peak / max(settings["train.workers"], 1)
    weights = profile.items * width * BYTES_PER_WEIGHT / 2**30
    epochs = settings.get("train.epochs", EPOCHS)
    fewest = min(epochs, settings.get("train.patience_epochs", epochs) + 1)
    return {
        "seconds_per_epoch": round(epoch, 1),
        "epochs": epochs,
        "minutes": round(epochs * epoch / 60, 1),
        "fewest_minutes": round(fewest * epoch / 60, 1),
        "memory_gib": round(1.0 + weights, 1),
    }


def counting_minutes(name: str, profile: Profile, machine: Machine, train: Train) -> float:
    """Estimate the minutes of fitting a counting model and scoring the validation part twice.

    Args:
        name: The model.
        profile: Figures of the dataset.
        machine: Where it is fitted, always on the cores; a GPU's speed does not count.
        train: The section with the settings of the counting models.
    """
    speed = (50.0 * machine.cores if machine.gpus else machine.gflops) * 1e9
    seconds = 2 * profile.users * profile.items / _SCORED_PER_SECOND
    if name in ("item_knn", "ease"):
        seconds += profile.events * max(profile.long_length, 1) / _PAIRS_PER_SECOND
    if name == "ease":
        seconds += 2 * profile.items**3 / (speed * _SHARE_OF_PEAK["cpu"])
    if name == "als":
        width, rounds = train.counting.als.factors, train.counting.als.iterations
        of_events = 2 * profile.events * width**2
        of_solving = (profile.users + profile.items) * width**3
        seconds += (rounds + 2) * (of_events + of_solving) / (speed * _SOLVED_SHARE)
    return float(seconds / 60)


def ease_memory_gib(items: int) -> float:
    """Return the memory that fitting EASE takes: 12 bytes times the square of the items."""
    return float(12 * items**2 / 2**30)
