"""A signal at any moment of a process that starts Ray twice, as `headrace run` does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.checkout import CHECKOUT

SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path
import typer
from conf.command.stopping import stoppable
from conf.settings.load import load_config
from trainer.cluster.private_ray import private_folder
from trainer.cluster.ray_session import ray_session

moment, number, folders = sys.argv[1], int(sys.argv[2]), []
overrides = ["ray.num_cpus=1", "ray.object_store_mib=100"]
config = load_config(Path("conf/demo.yaml"), overrides)

def later(seconds):
    threading.Timer(seconds, lambda: os.kill(os.getpid(), number)).start()

try:
    with stoppable():
        with ray_session(config):
            folders.append(private_folder())
            if moment.startswith("stop"):
                later(float(moment.removeprefix("stop ")))
        if moment == "between":
            os.kill(os.getpid(), number)
        if moment == "second start":
            later(0.5)
        with ray_session(config):
            folders.append(private_folder())
except typer.Exit as stopped:
    print("left:", [str(f) for f in folders if f.exists()], flush=True)
    sys.exit(stopped.exit_code)
"""
TERM, INT, HUP = 15, 2, 1


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("between", TERM),
        pytest.param("second start", TERM, marks=pytest.mark.slow),
        pytest.param("stop 0.1", TERM, marks=pytest.mark.slow),
        pytest.param("stop 0.6", TERM, marks=pytest.mark.slow),
        pytest.param("stop 0.6", INT, marks=pytest.mark.slow),
        pytest.param("stop 0.6", HUP, marks=pytest.mark.slow),
        pytest.param("stop 1.0", TERM, marks=pytest.mark.slow),
    ],
)
def test_a_signal_between_two_sessions_stops_the_command(
    tmp_path: Path, moment: str, number: int
) -> None:
    script = tmp_path / "sessions.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), moment, str(number)],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=300,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT), "HOME": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == 128 + number, done.stderr
    assert "headrace: stopped by SIG" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] == "left: []"
