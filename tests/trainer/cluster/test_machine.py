"""What the machine is: instructions for bfloat16."""

import sys
from pathlib import Path

import pytest
import torch

from trainer.cluster.machine import gains_from_bf16, has_bf16_instructions

CPU = torch.device("cpu")


def cpuinfo(*flags: str) -> str:
    return "\n".join(f"processor\t: {n}\nflags\t\t: fpu {each}\n" for n, each in enumerate(flags))


def test_every_core_needs_instructions_for_bfloat16() -> None:
    assert has_bf16_instructions(cpuinfo("avx512f avx512_bf16", "avx512f avx512_bf16"))
    assert has_bf16_instructions(cpuinfo("amx_bf16 amx_tile"))
    assert not has_bf16_instructions(cpuinfo("avx2 avx512f", "avx2 avx512f"))
    assert not has_bf16_instructions(cpuinfo("avx512_bf16", "avx2"))
    assert not has_bf16_instructions("")
    assert not has_bf16_instructions("model name\t: Imaginary avx512_bf16\nflags\t\t: fpu\n")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_this_machine_is_asked() -> None:
    assert gains_from_bf16(CPU) is has_bf16_instructions(Path("/proc/cpuinfo").read_text())
