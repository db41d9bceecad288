"""Look at what a workspace holds: current versions, one user's list, one item's."""

from pathlib import Path

from conf.contract import MAIN
from conf.privacy.erased import erasure_is_open
from conf.runs.by_name import call_stage
from conf.runs.results import Result, origin_of, refused_models
from conf.runs.stages import KINDS
from conf.settings.config import Config
from conf.workspace.json_files import is_there
from conf.workspace.pointers import published_roles, read_pointer


def run_show(config: Config, user_id: str, scenario: str | None = None) -> Result:
    """Return a user's history and published list, that of a scenario if one is named."""
    shown: Result = call_stage("serving.show", "run", config, user_id=user_id, scenario=scenario)
    return shown


def run_show_item(config: Config, item_id: str) -> Result:
    """Return an item's list of similar items, with titles."""
    shown: Result = call_stage("serving.show_item", "run", config, item_id=item_id)
    return shown


def run_show_audience(config: Config, audience: str) -> Result:
    """Return the first users of a published audience."""
    shown: Result = call_stage("serving.show_audience", "run", config, audience=audience)
    return shown


def run_status(config: Config) -> Result:
    """Return the current versions and what they were made from."""
    workspace = Path(config.run.output)
    status: Result = {"stage": "status", "workspace": str(workspace)}
    if not is_there(workspace):
        status["note"] = "there is no such folder: nothing was made here yet"
    for kind in KINDS:
        pointer = read_pointer(workspace, kind)
        status[kind] = None if pointer is None else origin_of(workspace, kind, pointer)
    pointers = {
        role: read_pointer(workspace, "models", role)
        for role in (MAIN, *published_roles(workspace, "models"))
    }
    found = {role: pointer for role, pointer in pointers.items() if pointer is not None}
    others = {role: pointer for role, pointer in found.items() if role != MAIN}
    if others:
        status["roles"] = {
            role: origin_of(workspace, "models", pointer) for role, pointer in others.items()
        }
    if erasure_is_open(workspace):
        status["erasure"] = "interrupted: run headrace erase again with the same users"
    published = [version for one in found.values() for version in (one["id"], *one["previous"])]
    status["refused_models"] = refused_models(workspace, published)
    return status
