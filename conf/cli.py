"""The command `headrace`: one subcommand a stage, the same flags for all.

Progress and logs go to stderr; the result goes to stdout, as one JSON object or as tables.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from conf import cli_models, stages
from conf.command import (
    AsJson,
    ConfigPath,
    Overrides,
    Verbose,
    add_dated,
    add_plain,
    app,
    run_command,
)

UserId = Annotated[str, typer.Option("--user", help="Id in the log; `first` for any.")]
UsersFile = Annotated[Path, typer.Option("--users", help="File with one raw id a line.")]
Kind = Annotated[str, typer.Option("--kind", help="datasets, models or lists.")]

add_dated("etl", "Clean and encode the raw log into a dataset (Spark).", stages.run_etl)
add_dated(
    "train",
    "Train a model on the current dataset and measure it (Petastorm, Ray Train, PyTorch).",
    stages.run_train,
)
add_dated(
    "evaluate",
    "Measure the current model on its test part, beside the baselines.",
    stages.run_evaluate,
)
add_dated("score", "Write and publish a list for every user (Ray).", stages.run_score)
add_dated(
    "run", "Do all of it: etl, train, score; what is done already is left as it is.", stages.run_all
)
add_plain("generate", "Write a made-up shop's log to input.root.", stages.run_generate)


@app.command()
def show(
    config: ConfigPath,
    user: UserId,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print a user's history and list, with titles."""
    run_command(config, overrides, as_json, verbose, lambda c: stages.run_show(c, user))


add_plain("status", "Print what is current in each stage and what it came from.", stages.run_status)


@app.command()
def rollback(
    config: ConfigPath,
    overrides: Overrides = None,
    kind: Kind = "lists",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make the version before the current one current again."""
    run_command(config, overrides, as_json, verbose, lambda c: stages.run_rollback(c, kind))


@app.command()
def erase(
    config: ConfigPath,
    users: UsersFile,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Remove users from datasets, models, lists and quarantine, for good; write a receipt."""
    run_command(config, overrides, as_json, verbose, lambda c: stages.run_erase(c, users))


cli_models.add_all()


def main() -> None:
    """Run the command."""
    app()


def main_for_stage(name: str) -> None:
    """Run one subcommand with this process's arguments, as `python -m <package>` does."""
    app([name, *sys.argv[1:]])


if __name__ == "__main__":
    main()
