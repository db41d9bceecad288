"""Errors that a user can cause, each with the exit code that a scheduler acts on."""


class HeadraceError(ValueError):
    """Base of every error that a user can cause and mend."""

    exit_code = 1


class DivergedError(HeadraceError):
    """A training came to what is no number: to a loss, or to equations without a solution."""


class ConfigError(HeadraceError):
    """The configuration or the command line is wrong."""

    exit_code = 2


class InputError(HeadraceError):
    """The input breaks its contract, or more of it is bad than the configuration allows."""

    exit_code = 3


class NoNewDataError(HeadraceError):
    """The input holds nothing newer than what is there: a scheduler skips what follows."""

    exit_code = 4


class GateError(HeadraceError):
    """A gate refused to publish; the version that was current stays so."""

    exit_code = 5


class VersionError(HeadraceError):
    """Versions (dataset, model, lists) that do not belong together, or a damaged one."""

    exit_code = 6


class LockHeldError(HeadraceError):
    """Another run is writing to this workspace."""

    exit_code = 75
