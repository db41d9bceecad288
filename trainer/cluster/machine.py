"""Resources of this machine: cores, memory, GPUs, and the speed of matrix products."""

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
"""Least speed-up that counts: with bfloat16 instructions a CPU is several times faster, without
them it is no faster."""

_FORGET_PEAK = "5"  # see proc(5)
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # unit of `ru_maxrss`: bytes, or KiB on Linux


@dataclass(frozen=True)
class Machine:
    """Resources of one training machine."""

    cores: int
    memory_gib: float
    """Memory that is available to a new process now."""
    gpus: int
    gpu_memory_gib: float
    """Memory of one GPU; 0 without a GPU."""
    has_bf16: bool
    """Whether the GPUs support bfloat16 or, without a GPU, whether it makes the cores faster."""
    gflops: float
    """Speed of single-precision matrix products in 10^9 operations per second: of one GPU or,
    without a GPU, of all cores together."""


def this_machine() -> Machine:
    """Measure this machine; takes about two seconds."""
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
    """Return the speed of [_SIZE, _SIZE] matrix products in 10^9 operations per second.

    It is the best of several products, so that other work on the machine has little effect.
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
    """Return the peak memory: of tensors on the GPU, otherwise of this process's resident set.

    The peak is counted since the process started; on the CPU, since `forget_peak_memory` if that
    was called.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE


def forget_peak_memory() -> None:
    """Reset the CPU peak of `peak_memory_bytes` to the memory that the process holds now.

    Only Linux allows this. Elsewhere the peak remains that of the process's lifetime, which is an
    upper bound.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_FORGET_PEAK)
