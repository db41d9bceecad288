"""`python -m trainer`: the same as `headrace train`."""

from conf.command.cli import main_for_stage

if __name__ == "__main__":
    main_for_stage("train")
