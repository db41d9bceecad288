"""The command `headrace`: one subcommand per stage or task, with the same flags for all.

Progress and logs go to stderr; the result goes to stdout, as tables or as one JSON object.
The modules that do the work are imported when a subcommand runs, so help appears at once.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import conf
from conf.command.looking import AudienceName, ItemId, UserId, looked_up
from conf.command.managing import add_managing
from conf.command.manual import manual_address
from conf.command.measuring import Role, add_evaluate, add_outcome
from conf.command.running import (
    AsJson,
    ConfigPath,
    LogicalDate,
    Overrides,
    ScenarioName,
    Verbose,
    add_dated,
    add_plain,
    day,
    require_output_place,
    run_command,
    works,
)
from conf.command.scoring import add_score
from conf.command.streams import close_streams, open_streams, whole_output
from conf.contract import MAIN

if TYPE_CHECKING:
    from conf.settings.config import Config

Result = dict[str, Any]

LINE = "The pipeline, from the log to the lists"
LOOK = "Look at results"
CHOOSE = "Choose a model"
MANAGE = "Manage the workspace"

SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Also write the configuration with these settings to this file."
    ),
]
PairsFile = Annotated[
    Path,
    typer.Option("--input", "-i", help="CSV or Parquet file with user_id, item_id and context."),
]
PredictedFile = Annotated[
    Path, typer.Option("--output", "-o", help="CSV or Parquet file to write.")
]
PageFile = Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")]
Found = Callable[[Result], tuple[dict[str, Any], Sequence[str], Sequence[str]]]

app = typer.Typer(
    help="From a raw behaviour log to a published recommendation list for every user.",
    epilog=f"Manual: {manual_address()}",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"headrace {conf.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Accept the options of the command itself."""


add_dated(app, LINE, "etl", "Clean and encode the log into a dataset (Spark).", works("run_etl"))
add_dated(
    app,
    LINE,
    "train",
    "Train a model on the current dataset and measure it (Petastorm, Ray Train, PyTorch).",
    works("run_train"),
)
add_score(app, LINE)
add_dated(
    app, LINE, "run", "Run etl, train and score; skip what is already done.", works("run_all")
)


@app.command(rich_help_panel=LOOK)
def show(
    config: ConfigPath,
    user: UserId = None,
    item: ItemId = None,
    scenario: ScenarioName = None,
    audience: AudienceName = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print one user's history and published list, one item's list, or an audience's users."""

    def work(loaded: "Config") -> Result:
        return looked_up(loaded, user, item, audience, scenario)

    run_command(config, overrides, as_json, verbose, work)


add_plain(
    app,
    LOOK,
    "status",
    "Print the current versions and what they were made from.",
    works("run_status", "looking"),
)


add_evaluate(app, LOOK)
add_outcome(app, LOOK)


@app.command(rich_help_panel=LOOK)
def predict(
    config: ConfigPath,
    source: PairsFile,
    output: PredictedFile,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write the predictions of a ranking model for the pairs of a file."""

    def work(loaded: "Config") -> Result:
        require_output_place(output, config, loaded)
        return works("run_predict", "predicting")(loaded, source, output, day(date))

    run_command(config, overrides, as_json, verbose, work)


@app.command(rich_help_panel=LOOK)
def card(
    config: ConfigPath,
    output: PageFile,
    overrides: Overrides = None,
    role: Role = MAIN,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write the card of the current model to an HTML file."""

    def work(loaded: "Config") -> Result:
        require_output_place(output, config, loaded)
        return works("run_card", "choosing")(loaded, output, role)

    run_command(config, overrides, as_json, verbose, work)


def _add_writing(name: str, text: str, find: Callable[["Config"], Result], found: Found) -> None:
    """Add a subcommand that finds settings and, with --output, writes a configuration.

    Args:
        name: Name of the subcommand.
        text: Its help text.
        find: Returns the result.
        found: Returns, for a result, its settings by dotted key, comments for the file, and the
            models of `compare` that do not fit the settings.
    """

    def subcommand(
        config: ConfigPath,
        overrides: Overrides = None,
        output: SettingsFile = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        def work(loaded: "Config") -> Result:
            if output is None:
                return find(loaded)
            from conf.settings.load import write_changed

            require_output_place(output, config, loaded)
            result = find(loaded)
            settings, comments, misfits = found(result)
            write_changed(
                config, overrides or [], settings, output, comments, without_models=misfits
            )
            return {**result, "written": str(output)}

        run_command(config, overrides, as_json, verbose, work)

    app.command(name, help=text, rich_help_panel=CHOOSE)(subcommand)


def _best_trial(result: Result) -> tuple[dict[str, Any], Sequence[str], Sequence[str]]:
    best, metric, misfits = result["best"], result["metric"], result["compare_misfits"]
    trial = f"Trial {best['trial']} of {len(result['trials'])}"
    comments = [f"{trial}, {metric} {best['value']:.4f} in validation."]
    if misfits:
        comments.append(f"Left out of compare.models, as they do not fit: {', '.join(misfits)}.")
    return best["settings"], comments, misfits


_add_writing(
    "advise",
    "Recommend settings for the current dataset on this machine, with reasons.",
    works("run_advise", "choosing"),
    lambda result: (result["settings"], result["because"], ()),
)
add_plain(
    app,
    CHOOSE,
    "compare",
    "Measure the models of the section `compare` on the same events; train the missing ones.",
    works("run_compare", "choosing"),
)
_add_writing(
    "tune",
    "Search the section `tune` for the settings with the best validation figure.",
    works("run_tune", "choosing"),
    _best_trial,
)


add_managing(app, MANAGE)


def main() -> None:
    """Run the command."""
    _run(sys.argv[1:])


def main_for_stage(name: str) -> None:
    """Run one subcommand with this process's arguments, as `python -m <package>` does."""
    _run([name, *sys.argv[1:]])


def _run(arguments: Sequence[str]) -> None:
    open_streams()
    prints_only = not arguments or not {"--help", "--version"}.isdisjoint(arguments)
    try:
        with whole_output() if prints_only else nullcontext():
            app(arguments)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    finally:
        close_streams()


if __name__ == "__main__":
    main()
