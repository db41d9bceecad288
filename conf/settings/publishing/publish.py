"""The section `publish`: to which share of the users new lists are shown."""

from typing import Annotated

from pydantic import Field

from conf.settings.section import Section


class Publish(Section):
    """How new lists are published."""

    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the users that see new lists. 1: all do, and the lists become current. Below 1 they
    are a canary: a stable share of the users sees them, the others see the current lists. It ends
    with `headrace promote`, `headrace rollback`, or lists with share 1; newer lists replace it."""
