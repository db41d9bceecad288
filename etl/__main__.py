"""Run the stage: `python -m etl`, or `spark-submit etl/__main__.py`, as `headrace etl` does."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # spark-submit puts this file's own folder on the path; the packages are one level up.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from conf.command.cli import main_for_stage

    main_for_stage("etl")
