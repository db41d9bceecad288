"""What every section of the configuration has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
VersionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
"""Id of a dataset or a model: the name of its folder, not a path."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
"""Of what becomes a column: letters, digits and _."""


class Section(BaseModel):
    """A part of the tree: frozen, without unknown keys, its fields described where they stand.

    Numbers are finite: `.inf` and `.nan` pass for YAML numbers, but say nothing here.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )
