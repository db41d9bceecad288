"""`python -m tests.bench [NAME ...]`: run the benchmarks and print their figures as JSON.

`python -m tests.bench etl-profile [CONFIG]` takes the path of a configuration, too.
"""

import json
import logging
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.etl import features, scale
from tests.bench.etl_profile import profile
from tests.bench.peer import compared
from tests.bench.serving import index_rate, score_rate, top_k_rate, unchanged_rate
from tests.bench.training import large_catalogue, stream_rate, train_rate

BENCHMARKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "stream": stream_rate.measure,
    "train": train_rate.measure,
    "score": score_rate.measure,
    "top-k": top_k_rate.measure,
    "unchanged": unchanged_rate.measure,
    "etl": scale.measure,
    "features": features.measure_usual,
}
ON_REQUEST: dict[str, Callable[[Path], dict[str, Any]]] = {
    "features-16m": features.measure_large,
    "features-skew": features.measure_skew,
    "index": index_rate.measure,
    "large-catalogue": large_catalogue.measure,
    "peer": compared.measure,
    "etl-profile": profile.measure,
}
"""Those that take many minutes: left out where no name is given."""


def main(names: list[str]) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    known = {**BENCHMARKS, **ON_REQUEST}
    if names[:1] == ["etl-profile"] and len(names) == 2:
        known["etl-profile"] = partial(profile.measure, config=names.pop())
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"benchmark": name, **known[name](Path(folder))}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
