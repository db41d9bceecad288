"""Subcommands that help to choose a model."""

from pathlib import Path
from typing import Annotated

import typer

from conf import choosing
from conf.command import AsJson, ConfigPath, Overrides, Verbose, run_command
from conf.errors import ConfigError
from conf.load import write_changed
from conf.results import Result
from conf.schema import Config

Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="YAML file to write with the settings.")
]


PageFile = Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")]


def add_to(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command()(advise)
    app.command()(compare)
    app.command()(card)
    app.command()(tune)


def advise(
    config: ConfigPath,
    overrides: Overrides = None,
    output: Output = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Say which model to start from for the current dataset on this machine, and why."""

    def work(loaded: Config) -> Result:
        result = choosing.run_advise(loaded)
        if output is not None:
            write_changed(config, overrides or [], result["settings"], output, result["because"])
            result["written"] = str(output)
        return result

    run_command(config, overrides, as_json, verbose, work)


def compare(
    config: ConfigPath,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure the models of the section `compare` beside one another; train those that are not."""
    run_command(config, overrides, as_json, verbose, choosing.run_compare)


def card(
    config: ConfigPath,
    output: PageFile,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write the card of the current model, made anew, into an HTML file."""
    run_command(config, overrides, as_json, verbose, lambda c: choosing.run_card(c, output))


def tune(
    config: ConfigPath,
    overrides: Overrides = None,
    output: Output = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Search the section `tune` for the settings that validation likes best; write them."""

    def work(loaded: Config) -> Result:
        if output is not None and not output.absolute().parent.is_dir():
            raise ConfigError(f"--output={output}: its folder does not exist; make it first")
        result = choosing.run_tune(loaded)
        if output is not None:
            best, figure = result["best"], f"{result['metric']} {result['best']['value']:.4f}"
            told = f"Trial {best['trial']} of {len(result['trials'])}, {figure} in validation."
            write_changed(config, overrides or [], best["settings"], output, [told])
            result["written"] = str(output)
        return result

    run_command(config, overrides, as_json, verbose, work)
