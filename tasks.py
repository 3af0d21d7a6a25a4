"""The repository's own tasks: the shipped ones on the bundled project, and its checks."""

import shlex
import sys

from invoke import Collection, Context, task

from mlops_tasks import namespace as shipped

PYTHON = shlex.quote(sys.executable)


@task(
    help={
        "quick": "answer in one minute or two: no whole commands, builds or servers",
        "coverage": "with the coverage gate, which makes the tests a third slower",
    }
)
def test(c: Context, *, quick: bool = False, coverage: bool = False) -> None:
    """Run what every change must pass: one path for each promise. `.ci/full` runs all."""
    options = [*(["--quick"] if quick else []), *(["--cov", "--cov-report=term"] if coverage else [])]
    run = [PYTHON, "-m", "pytest", "-m", "'not full'", "-n", "2", "--dist", "worksteal", "--timeout", "600"]
    c.run(" ".join([*run, *options, "tests"]), pty=False)


@task
def lint(c: Context) -> None:
    """Check types, style and format."""
    for tool in ("mypy", "ruff check", "ruff format --check"):
        c.run(f"{PYTHON} -m {tool} {'' if tool == 'mypy' else '.'}")


namespace = Collection(*shipped.tasks.values(), test, lint)
namespace.configure(
    {
        "mlops": {
            "project": "mlops_tasks/template/projects/training",
            "libraries": ["mlops_tasks/template/libs/*"],
        }
    }
)
