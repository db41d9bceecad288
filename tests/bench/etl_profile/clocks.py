"""Read what the JVM has used so far: CPU by thread, garbage collection, compilation, rules."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import SparkSession

_NANO, _MILLI = 1e-9, 1e-3
# Begin of the names that the JVM gives its threads; Linux keeps 15 characters.
_GROUPS = {
    "compilers": ("C1 Comp", "C2 Comp"),
    "gc": ("GC Thread", "G1 ", "VM Thread"),
    "tasks": ("Executor task",),
    # "java" is the main thread, Thread-N those that answer Python.
    "driver": ("java", "main", "Thread-", "broadcast-exch", "subquery", "shuffle-exch"),
}


class Clocks:
    """The clocks of the JVM of one session. Each reading costs a few calls by py4j."""

    def __init__(self, session: SparkSession) -> None:
        jvm: Any = session.sparkContext._jvm
        gateway: Any = session.sparkContext._gateway
        self.process = psutil.Process(gateway.proc.pid)
        factory = jvm.java.lang.management.ManagementFactory
        self._jit, self._gc = factory.getCompilationMXBean(), factory.getGarbageCollectorMXBeans()
        self._classes = factory.getClassLoadingMXBean()
        self._rules = jvm.org.apache.spark.sql.catalyst.rules.RuleExecutor
        self._codegen = jvm.org.apache.spark.sql.catalyst.expressions.codegen.CodeGenerator
        self._metrics = jvm.org.apache.spark.metrics.source.CodegenMetrics

    def work(self) -> dict[str, float]:
        """Return seconds so far: CPU by group of threads, rules on plans, compilation of code."""
        return {
            **self.thread_seconds(),
            "rules": self._rules.getCurrentMetrics().time() * _NANO,
            "codegen": self._codegen.compileTime() * _NANO,
        }

    def thread_seconds(self) -> dict[str, float]:
        """Return CPU seconds by group of threads; `ended` is that of threads that are gone."""
        seconds: dict[str, float] = dict.fromkeys((*_GROUPS, "other"), 0.0)
        for name, used in self.named_seconds().items():
            seconds[_group(name)] += used
        return {**seconds, "ended": max(self.cpu_seconds() - sum(seconds.values()), 0.0)}

    def named_seconds(self) -> dict[str, float]:
        """Return CPU seconds by the name of the thread, of threads that are still there."""
        found: Counter[str] = Counter()
        for folder in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                name = (folder / "comm").read_text().strip()
                found[name] += int((folder / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue  # the thread has ended
        return {name: nanos * _NANO for name, nanos in found.most_common()}

    def cpu_seconds(self) -> float:
        """Return user and system time of the JVM; without the JVM that printed its arguments."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def launcher_seconds(self) -> float:
        """Return user and system time of the processes that spark-submit started and awaited."""
        used = self.process.cpu_times()
        return float(used.children_user + used.children_system)

    def beans(self) -> Mapping[str, float]:
        """Return what the beans of the JVM and Spark's metrics count; times are in seconds."""
        return {
            "gc_seconds": sum(bean.getCollectionTime() for bean in self._gc) * _MILLI,
            "jit_seconds": self._jit.getTotalCompilationTime() * _MILLI,
            "codegen_seconds": self._codegen.compileTime() * _NANO,
            "codegen_units": self._metrics.METRIC_COMPILATION_TIME().getCount(),
            "rules_seconds": self._rules.getCurrentMetrics().time() * _NANO,
            "rules_runs": self._rules.getCurrentMetrics().numRuns(),
            "classes_loaded": self._classes.getTotalLoadedClassCount(),
        }

    def rules_text(self) -> str:
        """Return Spark's table of the time that each rule took."""
        return str(self._rules.dumpTimeSpent())


def _group(name: str) -> str:
    return next((group for group, begins in _GROUPS.items() if name.startswith(begins)), "other")
