"""Settings of Spark are not in the arguments of its JVM, which every user of the machine sees."""

import os
import subprocess
import sys
from pathlib import Path

from tests.packaging.checkout import CHECKOUT

SECRET = "key with = : # \\ and ünïcode"
PROGRAM = """
import sys, os, psutil
from pathlib import Path
from etl.spark.session import spark_session
secret, folder = sys.argv[1:]
conf = {"spark.hadoop.fs.s3a.secret.key": secret, "spark.local.dir": folder}
with spark_session(name="secret", master="local[1]", driver_memory="900m", shuffle_partitions=1,
                   conf=conf, log_path=Path(folder, "spark.log"), input_bytes=0) as session:
    java = [p for p in psutil.Process().children(recursive=True) if p.name() == "java"]
    print("shown", any(secret in " ".join(p.cmdline()) for p in java))
    print("heap", any("-Xmx900m" in p.cmdline() for p in java))
    print("known", session.sparkContext.getConf().get("spark.hadoop.fs.s3a.secret.key") == secret)
    hadoop = session.sparkContext._jsc.hadoopConfiguration()
    print("used", hadoop.get("fs.s3a.secret.key") == secret)
    print("default", session.sparkContext.getConf().get("spark.of.the.defaults"))
    print("left", sorted(p.name for p in Path(os.environ["TMPDIR"]).glob("headrace-spark-*")))
    print("hosts", sorted({c.laddr.ip for p in java for c in p.net_connections("inet")
                           if c.status == "LISTEN"}))
"""


def test_a_secret_reaches_spark_by_a_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text("spark.of.the.defaults  kept\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, SECRET, str(tmp_path)], cwd=CHECKOUT, text=True,
        capture_output=True, timeout=300,
        env={**os.environ, "SPARK_CONF_DIR": str(tmp_path), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "shown False", "heap True", "known True", "used True", "default kept", "left []",
        "hosts ['::ffff:127.0.0.1']",
    ], done.stderr  # fmt: skip
