"""Resources of this machine: cores, memory, GPUs, and the speed of matrix products."""

import contextlib
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

_SIZE = 1024
_SECONDS = 0.5
_CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"amx_bf16", "avx512_bf16"}
"""Instructions with which PyTorch multiplies several times faster in bfloat16. Without them it is
no faster."""

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
    """Whether the GPUs or, without a GPU, the cores have instructions for bfloat16."""
    gflops: float
    """Speed of single-precision matrix products in 10^9 operations per second: of one GPU or,
    without a GPU, of all cores together."""


def this_machine() -> Machine:
    """Measure this machine; takes about a second."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device("cuda" if gpus else "cpu")
    return Machine(
        cores=num_cores(),
        memory_gib=psutil.virtual_memory().available / 2**30,
        gpus=gpus,
        gpu_memory_gib=torch.cuda.get_device_properties(0).total_memory / 2**30 if gpus else 0.0,
        has_bf16=gains_from_bf16(device),
        gflops=_gflops(device, torch.float32),
    )


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def gains_from_bf16(device: torch.device) -> bool:
    """Return whether training on a device of this machine is faster in bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        return has_bf16_instructions(_CPUINFO.read_text())
    except OSError:  # not Linux
        return False


def has_bf16_instructions(cpuinfo: str) -> bool:
    """Return whether every core has AMX or AVX-512 instructions for bfloat16.

    Args:
        cpuinfo: The text of `/proc/cpuinfo`.
    """
    lines = [line for line in cpuinfo.splitlines() if line.startswith("flags")]
    return bool(lines) and all(_BF16_FLAGS & set(line.split()) for line in lines)


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
