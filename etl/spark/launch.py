"""Start Spark's JVM; its settings are in a file, as everybody can read arguments of a process."""

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from py4j.java_gateway import JavaGateway
from pyspark.errors import PySparkRuntimeError
from pyspark.find_spark_home import _find_spark_home
from pyspark.java_gateway import launch_gateway

from conf.errors import ConfigError

_ARGUMENTS = "PYSPARK_SUBMIT_ARGS"
_SHELL = "pyspark-shell"
_FILE_FLAG = "--properties-file"
_ESCAPED = {
    "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f",
    "=": "\\=", ":": "\\:", "#": "\\#", "!": "\\!", " ": "\\ ",
}  # fmt: skip


def launch_jvm(settings: Mapping[str, str], log_path: Path) -> JavaGateway:
    """Start the JVM with its stderr in a file.

    Args:
        settings: Spark properties.
        log_path: File for the stderr of the JVM.

    Raises:
        ConfigError: With the output of the JVM, when it does not start.
    """
    try:
        with log_path.open("ab") as stream, _properties_named(settings):
            return launch_gateway(None, {"stderr": stream})  # type: ignore[no-untyped-call]
    except (PySparkRuntimeError, FileNotFoundError) as error:
        said = log_path.read_text(errors="replace").strip() or str(error)
        raise ConfigError(
            "Spark's JVM did not start. It needs Java 17 or 21, on the path or in JAVA_HOME, and "
            f"valid options in spark.conf. Its output: {said}"
        ) from error


@contextmanager
def _properties_named(settings: Mapping[str, str]) -> Iterator[None]:
    """Name a file with the settings in the arguments of spark-submit; remove it afterwards.

    Only this user can read the file. It replaces a properties file that is named already, or
    Spark's defaults, so it begins with their content.
    """
    before = os.environ.get(_ARGUMENTS)
    arguments = shlex.split(before or _SHELL)
    with tempfile.TemporaryDirectory(prefix="headrace-spark-") as folder:  # mode 0700
        path = Path(folder) / "spark.properties"
        path.touch(0o600)
        lines = [_defaults(arguments), *(f"{_key(k)}={_value(v)}" for k, v in settings.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.environ[_ARGUMENTS] = shlex.join([*arguments[:-1], _FILE_FLAG, str(path), arguments[-1]])
        try:
            yield
        finally:
            if before is None:
                del os.environ[_ARGUMENTS]
            else:
                os.environ[_ARGUMENTS] = before


def _defaults(arguments: list[str]) -> str:
    """Return the properties that Spark would read without our file."""
    if _FILE_FLAG in arguments[:-1]:
        path = Path(arguments[arguments.index(_FILE_FLAG) + 1])
    else:
        folder = os.environ.get("SPARK_CONF_DIR") or Path(_find_spark_home()) / "conf"  # type: ignore[no-untyped-call]
        path = Path(folder) / "spark-defaults.conf"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _key(text: str) -> str:
    return "".join(_ESCAPED.get(letter, letter) for letter in text)


def _value(text: str) -> str:
    """Return a value of a Java properties file, where a backslash begins an escape."""
    inner = "".join(_ESCAPED[x] if x in "\\\n\r\t\f" else x for x in text)
    return f"\\{inner}" if inner.startswith(" ") else inner
