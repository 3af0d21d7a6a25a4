"""The repository's own tasks: the shipped ones on the bundled project, and its checks."""

import shlex
import shutil
import sys

from invoke import Collection, Context, task

from mlops_tasks import namespace as shipped

PYTHON = shlex.quote(sys.executable)


@task(help={"quick": "answer within two minutes: no whole commands, builds, servers or coverage gate"})
def test(c: Context, *, quick: bool = False) -> None:
    """Run the tests, with the coverage gate; the one on a real Spark only where there is Java."""
    left_out = "full" if shutil.which("java") else "full or spark"
    how = "--quick" if quick else "--cov --cov-report=term"
    c.run(f"{PYTHON} -m pytest -m 'not ({left_out})' -n 2 --dist worksteal --timeout 600 {how} tests", pty=False)


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
