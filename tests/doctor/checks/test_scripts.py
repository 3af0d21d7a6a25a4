from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks.doctor.checks import scripts
from mlops_tasks.doctor.subject import Text
from tests.support import subjects


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(
            'x = 1\nread("http://x.org/data/a.csv")', ["note assumed...http://x.org/data/a.csv...t.py:2:6"], id="CSV"
        ),
        pytest.param('"""See https://x.org/page for more."""', [], id="a page"),
        pytest.param("# http://x.org/a.csv", [], id="a comment"),
        pytest.param("this is no Python http://x.org/a.csv", [], id="no Python"),
    ],
)
def test_a_download_is_noted(tmp_path: Path, code: str, expected: list[str]) -> None:
    said = subjects.say(scripts.check_downloads, subjects.make(tmp_path, scripts=(Text(tmp_path / "t.py", code),)))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param('log(m, registered_model_name="churn")', ["note seen...'churn' has not...t.py:1:30"], id="one"),
        pytest.param("log(m, registered_model_name=name)", ["note seen...see that"], id="from elsewhere"),
        pytest.param('log(m, registered_model_name="main.ml.churn")', [], id="three"),
        pytest.param('log(m, name="churn")', [], id="not registered"),
    ],
)
def test_a_model_name_of_one_level_is_noted(tmp_path: Path, code: str, expected: list[str]) -> None:
    said = subjects.say(scripts.check_model_names, subjects.make(tmp_path, scripts=(Text(tmp_path / "t.py", code),)))

    assert subjects.matches(said, *expected), said
