"""Errors that a user can cause, each with the exit code that a scheduler acts on."""

from typing import Any


class HeadraceError(ValueError):
    """Base of every error that a user can cause and fix."""

    exit_code = 1
    made: dict[str, Any] | None = None
    """What the command had made and measured by then, in the form of its result; None: nothing."""


class DivergedError(HeadraceError):
    """Training diverged: the loss is not finite, or the equations have no solution."""


class ConfigError(HeadraceError):
    """The configuration or the command line is wrong."""

    exit_code = 2


class InputError(HeadraceError):
    """The input breaks its contract, or has more bad rows than the configuration allows."""

    exit_code = 3


class NoNewDataError(HeadraceError):
    """The input has no event on the logical date; a scheduler skips the later stages."""

    exit_code = 4


class GateError(HeadraceError):
    """A gate refused to publish; the current version stays current."""

    exit_code = 5


class VersionError(HeadraceError):
    """Versions (dataset, model, lists) do not belong together, or one is damaged."""

    exit_code = 6


class StorageError(HeadraceError):
    """A disk or a file system failed: full, gone, not writable, too many open files."""

    exit_code = 74


class LockHeldError(HeadraceError):
    """Another run is writing to this workspace."""

    exit_code = 75


class EngineDiedError(HeadraceError):
    """Ray's own processes have ended in the middle of a run; finished parts are kept."""


class BusyError(HeadraceError):
    """This machine is too busy to start what a stage needs; a scheduler tries again later."""

    exit_code = 75


class TargetDownError(HeadraceError):
    """A target of the delivery is down, too slow or busy; a scheduler tries again later."""

    exit_code = 75
