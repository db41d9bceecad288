"""Which published lists count as shown to the users before."""

from pathlib import Path

from conf.contract import MANIFEST_NAME
from conf.runs.lineage import is_later
from conf.runs.results import Result, manifest_of
from conf.settings.config import Config
from conf.workspace.pointers import read_pointer


def shown_lists(config: Config, dataset_id: str, scenario: str | None = None) -> tuple[str, ...]:
    """Return the lists for `score.rules.fatigue`, newest first; those of the same day do not count.

    So a run that finds its own lists published does not make others.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        scenario: Versions without lists of this scenario do not count; None: the default lists.
    """
    rules, workspace = config.score.sections[scenario].rules, Path(config.run.output)
    pointer = read_pointer(workspace, "lists")
    if rules is None or rules.fatigue is None or pointer is None:
        return ()
    day = manifest_of(workspace, "datasets", dataset_id)["logical_date"]
    found = [
        version
        for version in (pointer["id"], *pointer["previous"])
        if (workspace / "lists" / version / MANIFEST_NAME["lists"]).is_file()
        and _counts(manifest_of(workspace, "lists", version), day, scenario)
    ]
    return tuple(found[: rules.fatigue.versions])


def _counts(manifest: Result, day: str, scenario: str | None) -> bool:
    has_lists = scenario is None or scenario in manifest.get("scenarios", {})
    return has_lists and is_later(day, manifest["logical_date"])


def shown_in_scenarios(config: Config, dataset_id: str) -> dict[str, tuple[str, ...]]:
    """Return the lists of each scenario that has such a rule; see `shown_lists`."""
    found = {name: shown_lists(config, dataset_id, name) for name in config.score.scenarios}
    return {name: versions for name, versions in found.items() if versions}
