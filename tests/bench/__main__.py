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

from tests.bench import (
    etl_features,
    etl_scale,
    index_rate,
    large_catalogue,
    peer,
    score_rate,
    stream_rate,
    top_k_rate,
    train_rate,
    unchanged_rate,
)
from tests.bench.etl_profile import profile

BENCHMARKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "stream": stream_rate.measure,
    "train": train_rate.measure,
    "score": score_rate.measure,
    "top-k": top_k_rate.measure,
    "unchanged": unchanged_rate.measure,
    "etl": etl_scale.measure,
    "features": etl_features.measure_usual,
}
ON_REQUEST: dict[str, Callable[[Path], dict[str, Any]]] = {
    "features-16m": etl_features.measure_large,
    "features-skew": etl_features.measure_skew,
    "index": index_rate.measure,
    "large-catalogue": large_catalogue.measure,
    "peer": peer.measure,
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
