"""What a figure was measured on."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = ("torch", "ray", "pyspark", "pyarrow", "numpy", "implicit")


def machine() -> str:
    """Return cores, processor and memory as one line."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    return f"{cores} cores of {_processor()}, {memory:.0f} GiB"


def versions() -> dict[str, str]:
    """Return the versions of Python and of what computes."""
    found = {name: version(name) for name in _PACKAGES}
    return {"python": ".".join(map(str, sys.version_info[:3])), **found}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
