"""What a model costs: its training, the operations of one example, and its scoring speed.

Legend of shapes: B rows, H heads, L length, E width of a head, D width, V catalogue.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from conf.runs.results import metrics_of
from trainer.data.columns import Ragged
from trainer.models.hybrid import Hybrid
from trainer.models.scorer import ModelScorer, Scorer

COSTS = ("parameters", "seconds", "rows_per_second", "peak_memory_bytes")
"""Keys of `metrics.json` with the cost of a training."""


def training_cost(model: Path) -> dict[str, Any]:
    """Return `COSTS` of the model in a folder, None for each that its figures lack."""
    told = metrics_of(model).get("training", {})
    return {name: told.get(name) for name in COSTS}


def scored_per_second(examples: int, seconds: float) -> float | None:
    """Return how many users, or impressions, one worker scores in a second; None without any.

    Args:
        examples: Targets or impressions of the test part.
        seconds: The time that the model took for them, summed over its workers: from the rows in
            memory to scores, and to ranks if it ranks a catalogue. Reading is not included.
    """
    return round(examples / max(seconds, 1e-9), 1) if examples else None


def flops_of_example(scorer: Scorer, histories: Ragged) -> int | None:
    """Return the floating point operations for one user: encode the history, score all items.

    Additions and multiplications of matrix products, convolutions and attention count;
    element-wise operations do not. Work that is done once for all users, such as scaling the
    item vectors, is not included. For a blend, the networks with a weight above 0 count.

    Args:
        scorer: The model.
        histories: Real histories; the longest one is repeated or cut to the network's length.

    Returns:
        None for counting models, which only sum up table entries, and None if no history has an
        event.
    """
    if isinstance(scorer, Hybrid):
        each = (flops_of_example(member, histories) for _, member in scorer.asked())
        found = [flops for flops in each if flops]
        return sum(found) if found else None
    if not isinstance(scorer, ModelScorer) or not histories.lengths.any():
        return None
    batch = scorer.batch(_full_history(histories, scorer.model.history_length), np.array([0]))
    with torch.no_grad():
        items = scorer.model.item_vectors()  # [V, D]
        with flop_counter() as counter:
            scorer.model.encode(batch) @ items.T  # [1, V]
    return int(counter.get_total_flops())


def flop_counter() -> FlopCounterMode:
    """Return a context manager that counts operations, also those of attention on a CPU."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={attention: _attention_flops})


def _attention_flops(
    query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any
) -> int:
    """Return the operations of attention's two products; the arguments are shapes [B, H, L, E]."""
    rows, heads, length, width = query
    return 2 * rows * heads * length * key[2] * (width + value[3])


def _full_history(histories: Ragged, length: int) -> Ragged:
    """Return the longest history alone, repeated or cut to a length."""
    row = int(histories.lengths.argmax())
    places = np.arange(histories.offsets[row], histories.offsets[row + 1])
    kept = np.resize(places, length)
    beside = {name: values[kept] for name, values in (histories.beside or {}).items()}
    return Ragged(histories.values[kept], np.array([0, length]), beside)
