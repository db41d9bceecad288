"""The request of a run, and the results that its steps pass on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame

from conf.privacy.protection import Protection
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from etl.cleaning.inputs import Staged
from etl.features.history_features import HistoryFeatures
from etl.features.predecessor import Predecessor


@dataclass(frozen=True)
class DatasetJob:
    """The request of a run."""

    config: Config
    readable: Config
    """The same without the fields that `privacy` drops, so nothing reads them."""
    protection: Protection
    inputs: Mapping[str, Sequence[InputFile]]
    logical_date: str | None
    request: str
    warnings: Mapping[str, tuple[str, ...]]
    """Warnings about the files of each input."""


@dataclass(frozen=True)
class Made:
    """The inputs, the kept events after the split, and the frames made of them; all stored."""

    staged: Staged
    before: Predecessor | None
    """The dataset that this one extends."""
    events: DataFrame
    """Kept events, impressions included, in the order that targets are cut from."""
    users: DataFrame
    items: DataFrame
    context: HistoryFeatures
    """Event fields that histories contain, with their encodings."""
    histories: DataFrame
    examples: DataFrame
    """The histories in the order that training rows and targets are cut from."""
    cuts: tuple[int, int] | None
    """Start times of the validation and the test part of a temporal split."""
    newest: int
    """Time of the newest event."""

    def tables(self) -> dict[str, DataFrame]:
        """Return the kept rows of the items and the users table, if there is one."""
        return {name: part.kept() for name, part in self.staged.items() if name != "events"}
