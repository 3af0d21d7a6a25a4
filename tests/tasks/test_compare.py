from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.inv import inv
from tests.support.repositories import nothing_changes, write


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--format", "xml"], 2, "give one of: table, markdown, json"),
        (["--last", "0"], 2, "whole number"),
        (["--last", "101"], 2, "give 100 at most"),
        (["--plot", "a.gif"], 2, "no pictures of the kind .gif"),
        ([], 3, "no run of the branch main has ended in the experiment"),
        (["--project", "nowhere"], 2, "there is no such folder"),
        (["--plot", "a.png"], 3, "`inv release` makes one"),
        (["--json"], 3, "no run of the branch main has ended in"),
        (["--format", "json"], 3, "no run of the branch main has ended in"),
    ],
)
def test_what_cannot_be_compared_is_told_and_nothing_is_made(
    tmp_path: Path, flags: list[str], code: int, said: str
) -> None:
    write(
        tmp_path,
        {
            "tasks.py": "from mlops_tasks import namespace\n",
            "invoke.yaml": "mlops: {project: training, branch: main}\n",
            "training/MLproject": "name: training\n",
        },
    )
    with nothing_changes(tmp_path):
        found = inv("compare", *flags, cwd=tmp_path)

    assert (found.code, said in found.err) == (code, True), found.err
    assert found.json["error"]["code"] == code if flags and "json" in flags[-1] else not found.out
    assert not (tmp_path / ".mlops" / "mlflow.db").exists()
