"""What the project's scripts do that a workspace may not allow: only what their text shows without being run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from mlops_tasks.doctor import findings, sources
from mlops_tasks.doctor.subject import Plan, Text

_URL = re.compile(r"(?:https?|ftp)://[^\s/]+/\S+\.(?:csv|tsv|json|zip|gz|data|parquet|xlsx?|txt)\b.*")
_LEVELS = 3


def check_downloads(plan: Plan) -> Iterator[findings.Finding]:
    for script in plan.scripts:
        for node in ast.walk(_parse(script)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _URL.fullmatch(node.value):
                yield findings.note(
                    f"it downloads {node.value}: a cluster may have no way out, and the address may be gone",
                    where=_place(script, node),
                    cure="keep the data in the workspace (a volume, DBFS), and pass its path as a parameter",
                    basis="assumed",
                    source=sources.UNTRIED,
                )


def check_model_names(plan: Plan) -> Iterator[findings.Finding]:
    """From MLflow 3 on `databricks` means Unity Catalog's registry, where a model's name has three levels."""
    for script in plan.scripts:
        for node in ast.walk(_parse(script)):
            if isinstance(node, ast.keyword) and node.arg == "registered_model_name":
                yield from _judge(script, node)


def _judge(script: Text, node: ast.keyword) -> Iterator[findings.Finding]:
    name = node.value.value if isinstance(node.value, ast.Constant) else None
    if isinstance(name, str) and len(name.split(".")) == _LEVELS:
        return
    said = f"the model's name {name!r} has not" if isinstance(name, str) else "see that the registered model's name has"
    yield findings.note(
        f"{said} the three levels (catalog.schema.model) that MLflow 3 asks for on Databricks",
        where=_place(script, node.value),
        cure="name it so, or set MLFLOW_REGISTRY_URI to databricks in the cluster's spark_env_vars",
        basis="seen",
        source=sources.MLFLOW_REGISTRY,
    )


def _parse(script: Text) -> ast.AST:
    """Nothing where it is not today's Python: whoever runs it will say so."""
    try:
        return ast.parse(script.text)
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _place(script: Text, node: ast.expr) -> str:
    return f"{script.path}:{node.lineno}:{node.col_offset + 1}"
