"""Subcommands that help to choose a model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from conf import choosing
from conf.command import AsJson, ConfigPath, Overrides, Verbose, add_plain, app, run_command
from conf.load import write_changed
from conf.output_file import require_place
from conf.results import Result
from conf.schema import Config

SettingsFile = Annotated[
    Path | None, typer.Option("--output", "-o", help="YAML file to write with the settings.")
]
PageFile = Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")]
Told = Callable[[Result], tuple[dict[str, Any], Sequence[str]]]


def add_all() -> None:
    """Add the subcommands."""
    _add_writing(
        "advise",
        "Say which model to start from for the current dataset on this machine, and why.",
        choosing.run_advise,
        lambda result: (result["settings"], result["because"]),
    )
    add_plain(
        "compare",
        "Measure the models of the section `compare` beside one another; train those that are not.",
        choosing.run_compare,
    )
    app.command()(card)
    _add_writing(
        "tune",
        "Search the section `tune` for the settings that validation likes best; write them.",
        choosing.run_tune,
        _best_trial,
    )


def card(
    config: ConfigPath,
    output: PageFile,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write the card of the current model, made anew, into an HTML file."""

    def work(loaded: Config) -> Result:
        require_place(output, config, Path(loaded.run.output))
        return choosing.run_card(loaded, output)

    run_command(config, overrides, as_json, verbose, work)


def _add_writing(name: str, text: str, find: Callable[[Config], Result], told: Told) -> None:
    """Add a subcommand that finds settings and writes the configuration with them, if asked to.

    Args:
        name: Of the subcommand.
        text: What its help says.
        find: Returns the result.
        told: Returns its settings by dotted key, and the reasons that stand above them.
    """

    def subcommand(
        config: ConfigPath,
        overrides: Overrides = None,
        output: SettingsFile = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        def work(loaded: Config) -> Result:
            if output is not None:
                require_place(output, config, Path(loaded.run.output))
            result = find(loaded)
            if output is not None:
                settings, reasons = told(result)
                write_changed(config, overrides or [], settings, output, reasons)
                result["written"] = str(output)
            return result

        run_command(config, overrides, as_json, verbose, work)

    app.command(name, help=text)(subcommand)


def _best_trial(result: Result) -> tuple[dict[str, Any], Sequence[str]]:
    best, metric = result["best"], result["metric"]
    said = f"Trial {best['trial']} of {len(result['trials'])}"
    return best["settings"], [f"{said}, {metric} {best['value']:.4f} in validation."]
