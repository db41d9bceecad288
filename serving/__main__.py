"""Run the scoring stage: `python -m serving --config run.yaml`."""

from conf.command.cli import main_for_stage

if __name__ == "__main__":
    main_for_stage("score")
