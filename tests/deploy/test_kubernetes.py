import importlib.metadata
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.examples import DEPLOY, read_crontab

FOLDER = DEPLOY / "kubernetes"
Tree = dict[str, Any]


def manifest(name: str) -> Tree:
    tree: Tree = yaml.safe_load((FOLDER / name).read_text())
    return tree


def pod_specs(tree: Tree) -> list[Tree]:
    """Return every pod's specification in a manifest."""
    found = [tree["spec"]] if "containers" in tree.get("spec", {}) else []
    for value in tree.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                found += pod_specs(part)
    return found


def job() -> Tree:
    spec: Tree = manifest("cronjob.yaml")["spec"]["jobTemplate"]["spec"]
    return spec


def test_every_volume_that_is_mounted_is_there() -> None:
    pods = [pod for name in ("cronjob.yaml", "ray-job.yaml") for pod in pod_specs(manifest(name))]
    assert len(pods) == 3
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    spark = manifest("spark-application.yaml")["spec"]
    for role in ("driver", "executor"):
        names = {mount["name"] for mount in spark[role]["volumeMounts"]}
        assert names == {volume["name"] for volume in spark["volumes"]}


def test_cronjob_runs_one_at_a_time_and_fails_at_once_where_a_person_is_needed() -> None:
    tree = manifest("cronjob.yaml")
    assert (tree["apiVersion"], tree["kind"]) == ("batch/v1", "CronJob")
    assert tree["spec"]["concurrencyPolicy"] == "Forbid"
    assert tree["spec"]["schedule"].split() == list(
        read_crontab((DEPLOY / "crontab").read_text()).times
    )
    assert job()["template"]["spec"]["restartPolicy"] == "Never"
    fail, ignore = job()["podFailurePolicy"]["rules"]
    assert fail["action"] == "FailJob" and fail["onExitCodes"]["values"] == [2, 3, 5, 6]
    (container,) = job()["template"]["spec"]["containers"]
    assert fail["onExitCodes"]["containerName"] == container["name"]
    assert ignore["action"] == "Ignore" and "onExitCodes" not in ignore


@pytest.mark.parametrize(
    ("code", "seen"), [(0, 0), (4, 0), (1, 1), (2, 2), (5, 5), (75, 75), (143, 143)]
)
def test_cronjobs_container_turns_no_new_data_into_done(
    tmp_path: Path, code: int, seen: int
) -> None:
    command = tmp_path / "headrace"
    command.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    command.chmod(0o755)
    (container,) = job()["template"]["spec"]["containers"]

    done = subprocess.run(
        container["command"], text=True, capture_output=True, check=False,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip

    assert done.returncode == seen
    assert done.stdout.startswith("run --config /etc/headrace/run.yaml --date 20")


def test_spark_application_runs_the_etl() -> None:
    tree = manifest("spark-application.yaml")
    assert tree["apiVersion"] == "sparkoperator.k8s.io/v1beta2"
    assert tree["kind"] == "SparkApplication"
    spec = tree["spec"]
    assert spec["type"] == "Python" and spec["mode"] == "cluster"
    assert spec["mainApplicationFile"].endswith("/etl/__main__.py")
    assert spec["arguments"][-1] == "spark.master=null"
    assert {"cores", "memory"} <= spec["driver"].keys() & spec["executor"].keys()


def test_ray_job_trains_then_scores_on_the_ray_that_is_installed() -> None:
    tree = manifest("ray-job.yaml")
    assert (tree["apiVersion"], tree["kind"]) == ("ray.io/v1", "RayJob")
    spec = tree["spec"]
    assert spec["rayClusterSpec"]["rayVersion"] == importlib.metadata.version("ray")
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]


@pytest.mark.parametrize("fails", ["", "trainer", "serving"])
def test_ray_jobs_entrypoint_ends_with_the_code_of_the_stage_that_failed(
    tmp_path: Path, fails: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@"\n[ "$2" = "{fails}" ] && exit 5\nexit 0\n')
    python.chmod(0o755)

    done = subprocess.run(
        ["bash", "-c", manifest("ray-job.yaml")["spec"]["entrypoint"]], text=True,
        capture_output=True, check=False, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip

    stages = [line.split()[:2] for line in done.stdout.splitlines()]
    assert stages == [["-m", "trainer"], ["-m", "serving"]][: 1 if fails == "trainer" else 2]
    assert done.returncode == (5 if fails else 0)
    assert all("--config /etc/headrace/run.yaml" in line for line in done.stdout.splitlines())


def test_cronjob_fits_the_schema_of_kubernetes() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")

    kubernetes_validate.validate(manifest("cronjob.yaml"), "1.31", strict=True)
