"""Read JSON as other programs do."""

import json
from pathlib import Path
from typing import Any


def strict_json(path: Path) -> Any:
    """Return a JSON file's content; `NaN` and `Infinity` are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{path} has {constant}")

    return json.loads(path.read_text(), parse_constant=refuse)
