import ast
import importlib.util

import pytest

from tests.deploy.examples import DEPLOY

SOURCE = (DEPLOY / "airflow_dag.py").read_text()


def test_dag_is_valid_python_with_its_limits() -> None:
    tree = ast.parse(SOURCE)

    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (dag,) = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "DAG")
    given = {word.arg: word.value for word in dag.keywords}
    assert ast.literal_eval(given["max_active_runs"]) == 1
    assert ast.literal_eval(given["catchup"]) is False
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant | ast.Tuple)
    }  # fmt: skip
    assert constants["NO_NEW_DATA"] == 4 and constants["NEEDS_A_PERSON"] == (2, 3, 5, 6)


@pytest.mark.skipif(importlib.util.find_spec("airflow") is None, reason="no Airflow here")
def test_airflow_runs_the_stages_in_order() -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

    spec = importlib.util.spec_from_file_location("headrace_dag", DEPLOY / "airflow_dag.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.dag.get_task("etl").downstream_task_ids == {"train"}
    assert module.dag.get_task("train").downstream_task_ids == {"score"}
    kinds = {4: AirflowSkipException, 75: AirflowException, 1: AirflowException}
    kinds.update(dict.fromkeys((2, 3, 5, 6), AirflowFailException))
    for code, kind in kinds.items():
        with pytest.raises(kind) as raised:
            module.stage(f"ends_with_{code}", f"cd /; exit {code}").execute({})
        assert type(raised.value) is kind
