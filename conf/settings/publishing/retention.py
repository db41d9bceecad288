"""The section `retention`: which versions `headrace gc` keeps."""

from conf.settings.section import Positive, Section, VersionName


class Kept(Section):
    """How many versions of a kind are kept, besides those that others need."""

    keep: Positive = 7
    """How many versions are kept that `headrace rollback` can go back to, and how many of the
    newest ones by logical date; models are counted by role."""
    days: Positive | None = None
    """Versions of the last `days` days are kept too, counted from the newest logical date of their
    kind; null: only their number counts. No effect on logs without times."""


class Retention(Section):
    """What `headrace gc` keeps, besides what is current and what kept versions need."""

    lists: Kept = Kept()
    """Lists. Their dataset and models are kept with them."""
    models: Kept = Kept()
    """Models. The dataset of each, and the model that it started from, are kept with it."""
    datasets: Kept = Kept()
    """Datasets, with their tables of identities."""
    hold: tuple[VersionName, ...] = ()
    """Ids of versions of any kind that are kept, with what they need, until they are taken out of
    this list."""
