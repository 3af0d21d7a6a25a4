"""What a Spark job's command may be, and what is said of any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.projects import databricks, utils

from mlops_tasks.project import spark_command
from tests.support.repositories import write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {"train.py": "", "steps/my train.py": ""})
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "python train.py --alpha {alpha}",
        "python  'steps/my train.py' {{}}",
        "python {script} --a 1",
        "python /Workspace/Shared/train.py",
        "python train.py --separator ';' --pipe \"a | b $\" --literal '$HOME' --escaped \\> --price $5",
        "python train.py --url http://host/?a=1&b=2;c=3 --range a>2",
        "python train.py --range 'a'>2",
        "python train.py --folded\n",
    ],
)
def test_one_python_file_and_its_arguments_are_a_spark_jobs_command(folder: Path, command: str) -> None:
    assert spark_command.find_fault(command, folder) is None


@pytest.mark.parametrize(
    ("command", "what", "cure"),
    [
        ("python3 train.py", "begins with python3, and MLflow refuses", "write `python` alone"),
        ("/usr/bin/python train.py", "begins with /usr/bin/python", "write `python` alone"),
        ("bash run.sh", "begins with bash", "write `python FILE.py ...`"),
        ("SEED=1 python train.py", "begins with SEED=1", "spark_env_vars"),
        ("", "begins with nothing", "write `python FILE.py ...`"),
        ("python", "runs nothing", "correct the name"),
        ("python -m pkg.train", "takes -m for the file to run", "runpy.run_module"),
        ("python -c 'print()'", "takes -c for the file to run", "into a file"),
        ("python -u train.py", "takes -u for the file to run", "leave -u out"),
        ("python -um pkg.train", "takes -um for the file to run", "runpy.run_module"),
        ("python -mpkg.train", "takes -mpkg.train for the file to run", "runpy.run_module"),
        ("python -u -m pkg.train", "takes -u for the file to run", "leave -u out; then write `python FILE.py ...`"),
        ("python -u trian.py", "takes -u for the file to run", "leave -u out; then correct the name"),
        ("python -Wcomplete train.py", "takes -Wcomplete for the file", "leave -Wcomplete out"),
        ("python3 -m pkg.train", "begins with python3", "one interpreter; then write `python FILE.py ...`"),
        ("python trian.py", "runs trian.py, which is no file of the project", "correct the name"),
        ("python dbfs:/train.py", "runs dbfs:/train.py, which is no file", "correct the name"),
        ("python train.py|tee log", "runs train.py|tee, which is no file", "correct the name"),
        ("python train.py | tee log", "needs a shell for `|`", "do that in train.py itself"),
        ("python train.py && echo done", "needs a shell for `&&`", "do that in train.py itself"),
        ("python train.py --a 1; echo done", "needs a shell for `;`", "do that in train.py itself"),
        ("python train.py 2>&1", "needs a shell for `2>&1`", "do that in train.py itself"),
        ("python train.py >'a log'", "needs a shell for `>", "do that in train.py itself"),
        ("python train.py --home $HOME", "needs a shell for `$HOME`", "do that in train.py itself"),
        ('python train.py --home "a;b $HOME/x"', "needs a shell for `$HOME/x`", "do that in train.py itself"),
        ("python train.py --now `date`", "needs a shell for ``date``", "do that in train.py itself"),
        ("python train.py\npython train.py", "several lines", "folds"),
        ("python train.py \\\n  --a 1", "several lines", "folds"),
        ("python it's", "cannot be read: No closing quotation", "close that quote"),
    ],
)
def test_of_any_other_it_is_said_what_mlflow_does_and_what_to_write(
    folder: Path, command: str, what: str, cure: str
) -> None:
    fault = spark_command.find_fault(command, folder)

    assert fault is not None
    assert what in fault.what
    assert cure in fault.cure


@pytest.mark.parametrize("command", ["python3 train.py", "bash run.sh", "python -m pkg", "python -u train.py"])
def test_mlflows_own_backend_ends_with_such_a_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    write(folder, {"MLproject": f"databricks_spark_job: {{}}\nentry_points: {{main: {{command: {command}}}}}\n"})
    backend = databricks.DatabricksJobRunner("databricks")
    monkeypatch.setattr(backend, "_upload_project_to_dbfs", lambda *_: "/dbfs/x.tar.gz")

    with pytest.raises((MlflowException, FileNotFoundError)):
        backend.run_databricks_spark_job("x", str(folder), "1", {}, "1", utils.load_project(folder), "main", {})
