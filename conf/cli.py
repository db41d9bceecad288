"""The command `headrace`: one subcommand a stage, the same flags for all.

Progress and logs go to stderr; the result goes to stdout, as one JSON object or as tables.
"""

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from conf import cli_models, stages
from conf.command import AsJson, ConfigPath, Overrides, Verbose, app, run_command
from conf.errors import ConfigError

LogicalDate = Annotated[
    str | None,
    typer.Option("--date", help="Logical date, YYYY-MM-DD. Else the day of the newest event."),
]
UserId = Annotated[str, typer.Option("--user", help="Id in the log; `first` for any.")]
UsersFile = Annotated[Path, typer.Option("--users", help="File with one raw id a line.")]
Kind = Annotated[str, typer.Option("--kind", help="datasets, models or lists.")]


@app.command()
def etl(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Clean and encode the raw log into a dataset (Spark)."""
    run_command(config, overrides, as_json, verbose, lambda c: stages.run_etl(c, _day(date)))


@app.command()
def train(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Train a model on the current dataset and measure it (Petastorm, Ray Train, PyTorch)."""
    run_command(config, overrides, as_json, verbose, lambda c: stages.run_train(c, _day(date)))


@app.command()
def evaluate(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure the current model on its test part, beside the baselines."""
    run_command(config, overrides, as_json, verbose, lambda c: stages.run_evaluate(c, _day(date)))


@app.command()
def score(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write and publish a list for every user (Ray)."""
    run_command(config, overrides, as_json, verbose, lambda c: stages.run_score(c, _day(date)))


@app.command()
def run(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Do all of it: etl, train, score; what is done already is left as it is."""
    run_command(config, overrides, as_json, verbose, lambda c: stages.run_all(c, _day(date)))


@app.command()
def generate(
    config: ConfigPath,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write a made-up shop's log to input.root."""
    run_command(config, overrides, as_json, verbose, stages.run_generate)


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


@app.command()
def status(
    config: ConfigPath,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print what is current in each stage and what it came from."""
    run_command(config, overrides, as_json, verbose, stages.run_status)


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


cli_models.add_to(app)


def main() -> None:
    """Run the command."""
    app()


def main_for_stage(name: str) -> None:
    """Run one subcommand with this process's arguments, as `python -m <package>` does."""
    app([name, *sys.argv[1:]])


def _day(text: str | None) -> str | None:
    """Return `text` checked to be a day."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"--date={text!r} is no day; write it as YYYY-MM-DD") from error


if __name__ == "__main__":
    main()
