"""Airflow 3: ETL on a Spark cluster, training and scoring on a Ray cluster, every night.

Copy it to the folder of DAGs and set the variables below in the workers' environment. All tasks
need Headrace's checkout at the same path, and its `.venv/bin` first on the PATH.
"""

import os
import re
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

HOME = os.environ.get("HEADRACE_HOME", "/opt/headrace")
CONFIG = os.environ.get("HEADRACE_CONFIG", "/opt/headrace/conf/demo.yaml")
SPARK_MASTER = os.environ.get("HEADRACE_SPARK_MASTER", "spark://spark:7077")
RAY_ADDRESS = os.environ.get("HEADRACE_RAY_ADDRESS", "http://ray:8265")
STORAGE = os.environ.get("HEADRACE_RAY_STORAGE", "/mnt/headrace/checkpoints")

NO_NEW_DATA = 4
NEEDS_A_PERSON = (2, 3, 5, 6)
"""Wrong configuration, broken input, a gate that refused, versions that do not belong together: a
retry would fail in the same way. After other codes (1, 74 for a disk, 75 for a held lock) it may
succeed."""
DAY = "{{ (dag_run.run_after - macros.timedelta(days=1)) | ds }}"


class StageOperator(BashOperator):
    """A stage's command: skipped if there is no new data, retried only if that can help."""

    def execute(self, context: Any) -> Any:
        """Run the command; fail without a retry if its exit code needs a person."""
        try:
            return super().execute(context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            found = re.search(r"non-zero exit code (\d+)", str(error))
            if found and int(found[1]) in NEEDS_A_PERSON:
                raise AirflowFailException(str(error)) from error
            raise


def spark_submit() -> str:
    """Return the ETL's command; in client mode spark-submit exits with the stage's code."""
    return (
        f"spark-submit --master {SPARK_MASTER} --deploy-mode client etl/__main__.py "
        f"--config {CONFIG} --date {DAY} --json spark.master=null"
    )


def ray_submit(package: str) -> str:
    """Return the command that runs a stage on the Ray cluster and exits with the stage's code.

    `ray job submit` itself exits with 1 after any failure, so Ray is asked for the job's code.
    """
    ask = (
        "import sys; from ray.job_submission import JobSubmissionClient; "
        "print(JobSubmissionClient(sys.argv[1]).get_job_info(sys.argv[2]).driver_exit_code or 1)"
    )
    return (
        f"job=headrace-{package}-$(date +%s)-$$; "
        f"ray job submit --address {RAY_ADDRESS} --submission-id $job --working-dir . -- "
        f"python -m {package} --config {CONFIG} --date {DAY} --json "
        f"ray.address=auto ray.storage={STORAGE} "
        f'|| exit $(python -c "{ask}" {RAY_ADDRESS} $job)'
    )


def stage(task_id: str, command: str) -> StageOperator:
    """Return the task of one stage."""
    return StageOperator(
        task_id=task_id,
        bash_command=command,
        cwd=HOME,
        append_env=True,
        skip_on_exit_code=NO_NEW_DATA,
    )


with DAG(
    dag_id="headrace",
    description="Recommendation lists of the day before",
    schedule="15 3 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    tags=["headrace"],
) as dag:
    etl = stage("etl", spark_submit())
    train = stage("train", ray_submit("trainer"))
    score = stage("score", ray_submit("serving"))
    etl >> train >> score
