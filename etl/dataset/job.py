"""What a run was asked for, and what its steps hand on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame

from conf.privacy.protection import Protection
from conf.runs.input_files import InputFile
from conf.settings.config import Config
from etl.cleaning.inputs import Staged
from etl.features.history_features import HistoryFeatures
from etl.features.predecessor import Predecessor


@dataclass(frozen=True)
class DatasetJob:
    """What a run was asked for."""

    config: Config
    readable: Config
    """The same without the fields that nothing may read."""
    protection: Protection
    inputs: Mapping[str, Sequence[InputFile]]
    logical_date: str | None
    request: str
    warnings: Mapping[str, tuple[str, ...]]
    """What is odd about the files of each input."""


@dataclass(frozen=True)
class Made:
    """The inputs, the kept events, split, and what was made of them; all stored."""

    staged: Staged
    before: Predecessor | None
    """The dataset that this one goes on from."""
    events: DataFrame
    """Those that only show an item too; in the order that targets are cut from."""
    users: DataFrame
    items: DataFrame
    context: HistoryFeatures
    """What of the events' fields the histories tell."""
    histories: DataFrame
    examples: DataFrame
    """The histories in the order that training rows and targets are cut from."""
    cuts: tuple[int, int] | None
    """First instants of the validation and of the test part of a temporal split."""
    newest: int
    """Time of the newest event."""

    def tables(self) -> dict[str, DataFrame]:
        """Return the kept rows of the items' and the users' table, where there is one."""
        return {name: part.kept() for name, part in self.staged.items() if name != "events"}
