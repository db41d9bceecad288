"""What every section of the configuration has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
VersionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
"""Id of a dataset or a model: the name of its folder, not a path."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
"""A name that the user gives, such as of a field: a letter, then letters, digits and _."""


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
