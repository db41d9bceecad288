"""The kinds of lists of a run: the default lists, and those of each scenario."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conf.settings.score import Score
from serving.reasons.templates import Templates
from serving.rules.reading.given import NOTHING_GIVEN, Given
from serving.scoring.staged import Stages


@dataclass(frozen=True)
class ListKind:
    """How lists of one kind are made."""

    score: Score
    """The section as it is for these lists."""
    scenario: str | None = None
    """None: the default lists."""
    users_where: str | None = None
    """Condition for the users who get lists; None: all do."""
    stages: Stages | None = None
    """Channels and models of other roles; None: the lists are those of the main model alone."""
    templates: Mapping[str, Templates] = field(default_factory=dict)
    """Sentences by language, see `serving.reasons`."""
    given: Given = NOTHING_GIVEN
    """What rules read besides the dataset."""

    def folder_in(self, version: Path) -> Path:
        """Return the folder of their parts in that of a version."""
        return version if self.scenario is None else version / self.scenario
