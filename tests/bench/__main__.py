"""`python -m tests.bench [NAME ...]`: run the benchmarks and print their ratios."""

import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import etl_scale, score_rate, stream_rate, train_rate

BENCHMARKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "stream": stream_rate.measure,
    "train": train_rate.measure,
    "score": score_rate.measure,
    "etl": etl_scale.measure,
}


def main(names: list[str]) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"benchmark": name, **BENCHMARKS[name](Path(folder))}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
