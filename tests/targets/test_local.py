"""The local target by itself: what a place means on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.pipeline import job_plan
from tests.support.contexts import make_context
from tests.support.projects import write


@pytest.mark.parametrize(
    ("stored", "usable"),
    [
        ("a b/x.whl", "file://{top}/a%20b/x.whl"),
        ("/elsewhere/x.whl", "file:///elsewhere/x.whl"),
        ("file:///elsewhere/x.whl", "file:///elsewhere/x.whl"),
        ("/Volumes/a/b/c/x.whl", "/Volumes/a/b/c/x.whl"),
        ("dbfs:/w/x.whl", "dbfs:/w/x.whl"),
        ("https://host/x.whl", "https://host/x.whl"),
    ],
)
def test_a_wheel_of_this_machine_gets_a_file_url_and_a_place_elsewhere_stays(
    tmp_path: Path, stored: str, usable: str
) -> None:
    assert make_context(tmp_path).target.absolute_uri(stored) == usable.format(top=tmp_path)


@pytest.mark.parametrize(
    ("name", "env_manager", "data", "env", "said"),
    [
        pytest.param("a:b", "auto", "env.yaml", "", "separates the folders of PATH", id="the repository's path"),
        pytest.param("a", "conda", "env.yaml", "", "there is no conda on PATH", id="env_manager"),
        pytest.param("a", "auto", "gone.csv", "", "there is no gone.csv in", id="parameter"),
        pytest.param("a", "auto", "env.yaml", "dependencies: [pip: [-r gone.txt]]", "cannot be read", id="environment"),
    ],
)
def test_what_cannot_be_run_on_this_machine_is_refused_unless_a_plugin_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, env_manager: str, data: str, env: str, said: str
) -> None:
    folder = tmp_path / name / "p"
    folder.mkdir(parents=True)
    write(folder, **({"env.yaml": env} if env else {}))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", "")
    context = make_context(tmp_path / name, env_manager=env_manager)
    parameters = {"alpha": "1", "data": data, "seed": "7"}

    job_plan.check_job(context, parameters, backend="a-plugin")
    with pytest.raises(errors.BadInput, match=said):
        job_plan.check_job(context, parameters, backend="local")
