"""About what a training that is advised costs.

Estimates are of the order of magnitude: products that an epoch takes over the speed that was
measured.
"""

from typing import Any

from trainer.dataset_profile import Profile
from trainer.machine import Machine

BYTES_PER_WEIGHT = 16
"""Weight, gradient and Adam's two moments in single precision."""
_SHARE_OF_PEAK = {"cpu": 0.35, "gpu": 0.15}
"""Of the measured speed that training reaches, as seen with networks of these sizes."""
_BF16_GAIN = 1.7
"""Of a CPU's training: the products alone gain more, but half of the time is not theirs."""
_EPOCHS = 30


def expected_cost(
    profile: Profile, machine: Machine, settings: dict[str, Any]
) -> dict[str, float] | None:
    """Return about what a training of retrieval costs: seconds, and GiB of one worker.

    None for other algorithms, which take seconds to minutes.
    """
    if settings["train.algorithm"] != "neural":
        return None
    width, blocks = settings["train.model.width"], settings["train.model.blocks"]
    scored = profile.items
    if settings["train.loss.kind"] != "cross_entropy":
        scored = settings["train.loss.num_negatives"]
    inner = {"attention": 12, "gru": 6}.get(settings["train.model.encoder"], 0)
    layers = blocks * inner * width**2  # multiplications of one event
    products = profile.events * (layers + scored * width)
    peak = machine.gflops * 1e9 * _SHARE_OF_PEAK["gpu" if machine.gpus else "cpu"]
    if not machine.gpus and settings.get("train.precision") == "bf16":
        peak *= _BF16_GAIN
    epoch = 3 * 2 * products / peak / max(settings["train.workers"], 1)
    weights = profile.items * width * BYTES_PER_WEIGHT / 2**30
    return {
        "seconds_per_epoch": round(epoch, 1),
        "minutes": round(_EPOCHS * epoch / 60, 1),
        "memory_gib": round(1.0 + weights, 1),
    }
