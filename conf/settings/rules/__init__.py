"""All rules between keys and between sections of the configuration, in one list."""

from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.privacy import Privacy, misfits
from conf.settings.rules.confidence import broken_confidence_rules
from conf.settings.rules.features import broken_feature_rules
from conf.settings.rules.files import broken_file_rules
from conf.settings.rules.log import broken_log_rules
from conf.settings.rules.training import broken_train_rules
from conf.settings.train import Train


def broken_rules(given: Input, etl: Etl, train: Train, privacy: Privacy) -> list[str]:
    """Return a message for each broken rule: key, value, rule and fix."""
    return [
        *broken_file_rules(given),
        *broken_log_rules(given, etl),
        *broken_confidence_rules(given, etl, privacy),
        *broken_feature_rules(given, etl, privacy),
        *broken_train_rules(given, etl, train),
        *misfits(privacy, given),
    ]
