"""Which published lists count as shown to the users before."""

from pathlib import Path

from conf.contract import MANIFEST_NAME
from conf.runs.lineage import is_later
from conf.runs.results import manifest_of
from conf.settings.config import Config
from conf.workspace.pointers import read_pointer


def shown_lists(config: Config, dataset_id: str) -> tuple[str, ...]:
    """Return the lists for `score.rules.fatigue`, newest first; those of the same day do not count.

    So a run that finds its own lists published does not make others.
    """
    rules, workspace = config.score.rules, Path(config.run.output)
    pointer = read_pointer(workspace, "lists")
    if rules is None or rules.fatigue is None or pointer is None:
        return ()
    day = manifest_of(workspace, "datasets", dataset_id)["logical_date"]
    found = [
        version
        for version in (pointer["id"], *pointer["previous"])
        if (workspace / "lists" / version / MANIFEST_NAME["lists"]).is_file()
        and is_later(day, manifest_of(workspace, "lists", version)["logical_date"])
    ]
    return tuple(found[: rules.fatigue.versions])
