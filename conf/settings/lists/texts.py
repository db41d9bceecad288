"""The section `score.texts`: sentences for people."""

from typing import Annotated

from pydantic import Field, field_validator

from conf.settings.section import Name, Section

Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*$")]
"""A language as in IETF language tags, such as en or pt-BR."""


class Texts(Section):
    """Sentences that say to people why an item is in their list."""

    languages: Annotated[tuple[Language, ...], Field(max_length=50)] = ()
    """Languages of the sentences; the lists get the column `texts` with one sentence in each. en,
    de and zh are built in, `score.texts.file` adds others. Empty: no sentences."""
    file: str | None = None
    """YAML file with sentences of your own, which replace those built in; null: none."""
    field: Name | None = None
    """Field of `input.items.fields` that sentences about new and about popular items name, such as
    the category in "New in Camping"; null: they name none."""

    @field_validator("languages")
    @classmethod
    def _each_once(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(languages)) < len(languages):
            raise ValueError("names a language twice; name each once")
        return languages
