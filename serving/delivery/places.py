"""The target of each kind of settings; its client is imported only if such a target is used."""

from importlib import import_module
from typing import Any

from conf.errors import ConfigError
from conf.settings.publishing.deliver import (
    AnyTarget,
    FilesTarget,
    PostgresqlTarget,
    RedisTarget,
)
from serving.delivery.versions import Place


def opened(name: str, target: AnyTarget) -> Place:
    """Return a target, connected.

    Args:
        name: Its name in the configuration.
        target: Its settings.

    Raises:
        ConfigError: When its client is not installed, or its settings are wrong.
        TargetDownError: When it does not answer.
    """
    where = f"deliver.{name}"
    if isinstance(target, FilesTarget):
        from serving.delivery.into_files import Folder

        return Folder(where, target)
    if isinstance(target, PostgresqlTarget):
        require_client("psycopg", "postgresql", where)
        from serving.delivery.into_postgresql import Tables

        return Tables(where, target)
    if isinstance(target, RedisTarget):
        require_client("redis", "redis", where)
        from serving.delivery.into_redis import Keys

        return Keys(where, target)
    require_client("boto3", "s3", where)
    from serving.delivery.into_s3 import Bucket

    return Bucket(where, target)


def require_client(module: str, extra: str, where: str) -> None:
    """Import the client of a kind of targets.

    Raises:
        ConfigError: When it is not installed.
    """
    try:
        import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{where} needs the package {module}, which is not installed ({error}); install it by "
            f"pip install 'headrace[{extra}]'"
        ) from error


def form_of(target: AnyTarget) -> Any:
    """Return what the content of a target depends on besides the lists."""
    return [target.kind, target.gzip] if isinstance(target, FilesTarget) else target.kind
