"""What every section of the configuration has in common."""

import re
from pathlib import Path
from typing import Annotated
from unicodedata import category

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
VersionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
"""Id of a dataset or a model: the name of its folder, not a path."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
"""A name that the user gives, such as of a field: a letter, then letters, digits and _."""
_PATTERNS = frozenset("\\{}[]*?")
_LONGEST_NAME_BYTES = 255


def why_unusable(path: str) -> str | None:
    """Return why Spark cannot read a path, None if it can."""
    if any(category(char) == "Cs" for char in path):
        return "has bytes that are not UTF-8"
    if ":" in path and not _PATTERNS.isdisjoint(path):
        return "has both ':' and one of \\ { } [ ] * ?, which Spark cannot read"
    return None


def _usable(path: str) -> str:
    whole = str(Path(path).absolute())
    why = why_unusable(whole)
    if any(category(char) in ("Cc", "Zl", "Zp") for char in whole):
        why = "has a line break or another control character"
    if any(len(part.encode()) > _LONGEST_NAME_BYTES for part in Path(whole).parts):
        why = f"has a part of more than {_LONGEST_NAME_BYTES} bytes"
    if not path.strip():
        raise ValueError("is empty; name a folder")
    if why is not None:
        raise ValueError(f"{whole!r} {why}; rename the folder or choose another one")
    return path


def _no_address(path: str) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", path):
        raise ValueError(
            f"{path!r} is an address; the workspace is a folder that all machines see under one "
            "path, such as /mnt/shop"
        )
    return path


Folder = Annotated[str, AfterValidator(_usable)]
"""A folder with a path that all engines can use."""
Workspace = Annotated[str, AfterValidator(_no_address), AfterValidator(_usable)]
"""The same, and not the address of an object store."""


class Section(BaseModel):
    """A section of the configuration: frozen, without unknown keys.

    The docstring of a field is its description in the manual (`docs/reference.py` collects them).
    Numbers have to be finite: YAML's `.inf` and `.nan` are refused.
    """

    @property
    def written(self) -> set[str]:
        """Return the keys that were written, also those with the default's value, with dots."""
        found: set[str] = set()
        for name in self.model_fields_set:
            value = getattr(self, name)
            inner = value.written if isinstance(value, Section) else None
            found |= {name} if inner is None else {f"{name}.{key}" for key in inner}
        return found

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
