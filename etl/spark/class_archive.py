"""An archive of Spark's classes, which Java maps into memory instead of loading them again.

Loading, checking and linking 23,000 classes takes a fifth of the CPU time of a run on a log
of a few rows. Java compares the archive with the class path, and ignores one that does not fit.
Source: the JDK's guide to class data sharing, dynamic archives.
"""

import hashlib
import os
import shutil
from pathlib import Path

import pyspark

WRITES_ARCHIVE = "-XX:ArchiveClassesAtExit"
# Java prints warnings on stdout, where the results of a command are.
_WARN_ON_STDERR = "-Xlog:disable -Xlog:all=error:stderr"


def archive_file() -> Path | None:
    """Return the place of the archive for this Java and this Spark; None if there is no Java."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which(Path(home) / "bin" / "java" if home else "java")
    if found is None:
        return None
    java = Path(found).resolve()
    status = java.stat()
    parts = (java, status.st_size, status.st_mtime_ns, pyspark.__version__, pyspark.__file__)
    name = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "headrace" / f"spark-{name}.jsa"


def using_archive() -> str:
    """Return the options of Java that use the archive; empty if there is none."""
    file = archive_file()
    # Spark splits the options at blanks.
    if file is None or not file.is_file() or " " in str(file):
        return ""
    return f" -XX:SharedArchiveFile={file} {_WARN_ON_STDERR}"


def writing_archive(file: Path) -> str:
    """Return the options of Java that write an archive of the loaded classes when it ends."""
    return f"{WRITES_ARCHIVE}={file} {_WARN_ON_STDERR}"
