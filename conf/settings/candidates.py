"""The setting `score.candidates`: channels that each name some items for every user."""

from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from conf.contract import MAIN, RANKER
from conf.settings.counting import CountingName
from conf.settings.section import Name, Positive, Section

Source = Literal["model", "list", CountingName]
POPULAR = ("popularity", "recent_popularity")
"""Sources that are counted in the dataset when lists are made; they are no models of their own."""
TRAINED = tuple(name for name in get_args(CountingName) if name not in POPULAR)
"""Sources that are trained as models, with the name of the channel as their role."""
MOST_CHANNELS = 60  # a bit each in 64


class Channel(Section):
    """A channel: where its items come from, and how many it names for each user."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: Annotated[Source, Field(alias="from")]
    """Where the items come from. model: the main model. list: a file of item ids. popularity and
    recent_popularity: counts of the dataset. The others: a counting model, which is trained after
    the main one with the settings of `train.counting`, unless the main model is of that kind."""
    count: Positive
    """Most items that the channel names for one user."""
    by: Name | None = None
    """Field of `input.users`: popularity among the users with the same value; null: among all
    users. Only with popularity and recent_popularity."""
    path: str | None = None
    """File of item ids as in the log, one per line, the best first; below `input.root` unless it
    is absolute. Only with `from: list`, which needs it."""

    @model_validator(mode="after")
    def _keys_fit(self) -> "Channel":
        if self.by is not None and self.source not in POPULAR:
            raise ValueError(
                f"by={self.by!r} is only for {' and '.join(POPULAR)}, but from is "
                f"{self.source!r}; leave it out"
            )
        if self.source == "list" and self.path is None:
            raise ValueError("from is 'list', but path is missing; name the file of item ids")
        if self.source != "list" and self.path is not None:
            raise ValueError(
                f"path={self.path!r} is only for from: list, but from is {self.source!r}"
            )
        return self


def wrong_names(channels: dict[str, Channel]) -> list[str]:
    """Return the names of channels that are roles of other models."""
    return [name for name in channels if name in (MAIN, RANKER)]
