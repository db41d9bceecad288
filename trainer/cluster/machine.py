"""What the machine is like: cores, memory, GPUs, and how fast it multiplies matrices."""

import contextlib
import os
import resource
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import torch

_SIZE = 1024
_SECONDS = 0.5
_GAIN = 2.0
"""A CPU without instructions for bfloat16 is no faster with it; with them it is several times."""


@dataclass(frozen=True)
class Machine:
    """One machine of those that train."""

    cores: int
    memory_gib: float
    """Free for a new process now."""
    gpus: int
    gpu_memory_gib: float
    """Of one GPU; 0 where there is none."""
    has_bf16: bool
    """Whether the GPUs, or without them the cores, multiply in bfloat16 with a gain."""
    gflops: float
    """Of single-precision products, of all cores together or of one GPU, in thousand millions a
    second."""


def this_machine() -> Machine:
    """Measure the machine that this runs on; takes about two seconds."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device("cuda" if gpus else "cpu")
    return Machine(
        cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        memory_gib=psutil.virtual_memory().available / 2**30,
        gpus=gpus,
        gpu_memory_gib=torch.cuda.get_device_properties(0).total_memory / 2**30 if gpus else 0.0,
        has_bf16=torch.cuda.is_bf16_supported(including_emulation=False)
        if gpus
        else cores_gain_from_bf16(),
        gflops=_gflops(device, torch.float32),
    )


@cache
def cores_gain_from_bf16() -> bool:
    """Measure, once in a process, whether the cores multiply much faster in bfloat16."""
    device = torch.device("cpu")
    return _gflops(device, torch.bfloat16) > _GAIN * _gflops(device, torch.float32)


def _gflops(device: torch.device, numbers: torch.dtype) -> float:
    """Return thousand millions of operations a second of [_SIZE, _SIZE] products of such numbers.

    The best of several products, so that other work on the machine counts little.
    """
    left, right = (torch.randn(_SIZE, _SIZE, device=device).to(numbers) for _ in range(2))
    best, begun = float("inf"), time.monotonic()
    while time.monotonic() - begun < _SECONDS:
        started = time.perf_counter()
        product = left @ right
        float(product[0, 0])  # waits for a GPU
        best = min(best, time.perf_counter() - started)
    return 2 * _SIZE**3 / best / 1e9


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory so far: of the GPU in tensors, else this process's resident set.

    So far is since the process began, or since `forget_peak_memory`.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE


def forget_peak_memory() -> None:
    """Begin the mark of `peak_memory_bytes` on the CPU anew, from what the process holds now.

    Only Linux lets a process do that; elsewhere the mark stays that of the process's lifetime,
    which is at least what is asked for.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_FORGET_PEAK)


_FORGET_PEAK = "5"  # see proc(5)
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # what macOS counts in, and Linux
