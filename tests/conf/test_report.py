import pytest

from conf.report import print_result


def test_what_is_odd_about_the_files_is_said_below_the_ledger(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = {"rows_read": 2, "rows_kept": 2, "dropped": {}, "quarantined": {}}
    warning = "column price [eur] is not in 2.csv: null there"
    ledger = {"events": {**account, "warnings": [warning]}, "items": account}
    print_result({"stage": "etl", "ledger": ledger})
    assert capsys.readouterr().out.rstrip().endswith(f"warning: events: {warning}")
