"""Secrets stay secret wherever the configuration is saved or shown; other values stay readable."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.command.running import _WithoutSecrets
from conf.errors import ConfigError
from conf.masking.origins import is_credential_name, public_config
from conf.masking.texts import forget_secrets, masked, masked_result
from conf.privacy.keys import load_keys
from conf.settings.load import load_config

SECRET = "s3cr3t & 'quoted' ünïcode"
KEY = "0123456789abcdef0123456789abcdef"
YAML = """
run: {name: tiny, output: '${oc.env:SHOP_ROOT}/out'}
input:
  root: ${oc.env:SHOP_ROOT}
  events: {log: {paths: [e.csv], time_unit: iso}}
etl: {event_types: {view: {}}}
privacy: {key: '${oc.env:SHOP_PEPPER}', tenant: '${privacy.key}'}
spark:
  conf:
    spark.hadoop.fs.s3a.secret.key: ${oc.env:SOMETHING}
    spark.hadoop.fs.s3a.access.key: literal-access
    spark.sql.catalog.shop.uri: jdbc:postgresql://host/shop?password=${oc.env:DB_PASSWORD}
    spark.local.dir: ${oc.env:SHOP_ROOT}/spark
    spark.executor.cores: '2'
"""


@pytest.fixture
def yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML)
    monkeypatch.setenv("SHOP_ROOT", "/mnt/shop")
    monkeypatch.setenv("SHOP_PEPPER", KEY)
    monkeypatch.setenv("SOMETHING", SECRET)
    monkeypatch.setenv("DB_PASSWORD", "database-password")
    yield path
    forget_secrets()


def test_a_saved_configuration_has_no_secret_and_keeps_the_rest(yaml: Path) -> None:
    saved = public_config(load_config(yaml))
    text = json.dumps(saved, ensure_ascii=False)
    for secret in (SECRET, KEY, "literal-access", "database-password"):
        assert secret not in text
    assert saved["spark"]["conf"] == {
        "spark.hadoop.fs.s3a.secret.key": "***",
        "spark.hadoop.fs.s3a.access.key": "***",
        "spark.sql.catalog.shop.uri": "***",
        "spark.local.dir": "***",  # anything from the environment, in this section
        "spark.executor.cores": "2",
    }
    assert saved["privacy"]["tenant"] == "***"
    assert saved["input"]["root"] == "/mnt/shop"
    assert saved["run"]["output"] == "/mnt/shop/out"


def test_the_run_itself_has_the_values(yaml: Path) -> None:
    config = load_config(yaml)
    assert config.privacy.tenant == KEY
    assert config.spark.conf["spark.hadoop.fs.s3a.secret.key"] == SECRET


def test_errors_results_and_logs_have_no_secret(
    yaml: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_config(yaml)
    for form in (SECRET, repr(SECRET), json.dumps(SECRET), f"in {SECRET} the middle"):
        assert "s3cr3t" not in masked(form)
    result = masked_result({"path": f"/x/{KEY}", "list": [SECRET, 3, None]})
    assert result == {"path": "/x/***", "list": ["***", 3, None]}
    record = logging.LogRecord("etl", logging.INFO, "f.py", 1, "uses %s", (KEY,), None)
    _WithoutSecrets().filter(record)
    assert record.getMessage() == "uses ***"


SHOWN = {
    "train.epochs=${privacy.key}": KEY,
    "train=${spark.conf.'spark.hadoop.fs.s3a.secret.key'}": SECRET,
    "spark.conf={spark.my.password: [hidden-password]}": "hidden-password",
    "spark.conf={spark.my.password: 'hidden-password": "hidden-password",
    "privacy.tenant=[${oc.env:DB_PASSWORD}]": "database-password",
}


@pytest.mark.parametrize("override", SHOWN)
def test_a_problem_is_told_without_the_secret(yaml: Path, override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(yaml, [override])
    assert SHOWN[override] not in str(caught.value)


def test_a_key_that_is_written_for_the_name_of_its_file_is_not_shown(yaml: Path) -> None:
    yaml.write_text(YAML.replace("key: '${oc.env:SHOP_PEPPER}', tenant: '${privacy.key}'", ""))
    config = load_config(yaml, [f"privacy.key_file={KEY}", "privacy.mode=pseudonymise"])
    with pytest.raises(ConfigError, match=r"key_file=\*\*\* cannot be read") as caught:
        load_keys(config.privacy)
    assert KEY not in str(caught.value)


def test_names_of_variables_with_credentials() -> None:
    for name in ("SHOP_TOKEN", "DB_PASSWORD", "HEADRACE_KEY", "APIKEY", "aws_secret", "KEYS"):
        assert is_credential_name(name), name
    for name in ("DATA", "HEADRACE_KEY_FILE", "KEY_ID", "MONKEY", "TOKENIZER", "TOKEN_PATH"):
        assert not is_credential_name(name), name
