"""All rules between keys and between sections of the configuration, in one list."""

from conf.settings.etl import Etl
from conf.settings.etl_rules import broken_etl_rules
from conf.settings.input import Input
from conf.settings.privacy import Privacy, misfits
from conf.settings.train import Train
from conf.settings.train_rules import broken_train_rules


def broken_rules(given: Input, etl: Etl, train: Train, privacy: Privacy) -> list[str]:
    """Return a message for each broken rule: key, value, rule and fix."""
    return [
        *broken_etl_rules(given, etl, privacy),
        *broken_train_rules(given, etl, train),
        *misfits(privacy, given),
    ]
