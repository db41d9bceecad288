"""The section `score.rules`: what may be in a list, and where."""

from typing import Annotated

from pydantic import Field

from conf.settings.section import Name, Section

Expression = Annotated[str, Field(min_length=1)]
"""SQL over fields of items (`stock`, `item.stock`), of users (`user.region`) and `run_date`."""


class ListRules(Section):
    """Rules of lists: they act before the best items are cut, so lists stay full."""

    where: dict[Name, Expression] = {}
    """Conditions that every item of a list must meet, by names of your own: SQL expressions that
    are true or false, over fields of items (`stock` or `item.stock`), fields of users
    (`user.region`) and the logical date `run_date`. An item for which a condition is null is left
    out, and counted apart."""
