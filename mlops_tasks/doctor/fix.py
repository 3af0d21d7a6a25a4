"""The spark-job form of a conda or python_env project: what stands in its way, and its files rewritten to it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mlops_tasks import errors
from mlops_tasks.project import cluster, environment, mlproject, requirements, spark_command
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import tree, yaml_tree

_REPLACED = ("conda_env", "python_env", "databricks_spark_job")
_SKIPPED = {"pip", "python"}
"""conda packages that a cluster has in any case."""


class Rewritten(NamedTuple):
    path: Path
    old: str
    new: str


class SparkForm(NamedTuple):
    """The files that change, and what is different from before beyond their text."""

    files: tuple[Rewritten, ...]
    said: tuple[str, ...]


def find_obstacles(project: mlproject.Project, spec: cluster.ClusterSpec | None) -> list[str]:
    """Why the project cannot be a Spark job as it is, each a clause of its own."""
    found = [reason for name, each in project.entry_points.items() for reason in _obstacles(project, name, each)]
    if not project.entry_points:
        found.append("it has no entry points, and MLflow takes no Spark job without")
    if spec is not None and spec.existing is not None:
        found.append("MLflow starts no Spark job on an existing cluster")
    return found


def convert(project: mlproject.Project, *, cluster_file: Path | None, placeholder: str) -> SparkForm:
    """The files of a conda or python_env project in the spark-job form; nothing is written.

    Raises BadInput with every reason why that cannot be.
    """
    path = project.folder / project.mlproject
    if project.spark_job is not None:
        raise errors.BadInput("it is a databricks_spark_job already", where=path, cure="leave --fix out")
    spec = cluster.read(cluster_file) if cluster_file is not None else None
    reasons = find_obstacles(project, spec)
    if reasons:
        raise errors.BadInput(
            "\n  - ".join(["the project cannot become a databricks_spark_job as it is:", *reasons]),
            where=path,
            cure="change that by hand, then `inv doctor --fix`",
        )
    said: list[str] = []
    wanted = [*_from_environment(project, said), *(_from_cluster(spec, placeholder, said) if spec else ())]
    files = [_rewrite_project(path, list(dict.fromkeys(wanted)), said)]
    if cluster_file is not None and spec is not None and (spec.is_wrapped or spec.libraries):
        new = json.dumps(spec.cluster, indent=2) + "\n"
        files.append(Rewritten(path=cluster_file, old=texts.read(cluster_file), new=new))
    _check_loads(project, files[0].new)
    return SparkForm(files=tuple(files), said=tuple(said))


def compare(form: SparkForm, folder: Path) -> str:
    """One unified diff of all files, named relative to `folder`."""
    return texts.unified_diff((os.path.relpath(path, folder), old, new) for path, old, new in form.files)


def write(form: SparkForm) -> None:
    for path, _, new in form.files:
        texts.write(path, new)


def _obstacles(project: mlproject.Project, name: str, entry_point: mlproject.EntryPoint) -> Iterator[str]:
    if fault := spark_command.find_fault(entry_point.command, project.folder):
        yield f"the entry point {name} {fault.what} ({fault.cure})"
    for key, each in entry_point.parameters.items():
        if each.type == "path":
            yield f"the parameter {key} of {name} is of the type path, which a Spark job cannot have"


def _from_environment(project: mlproject.Project, said: list[str]) -> Iterator[str]:
    """The YAML's requirements, of conda packages those that PyPI has under the same name."""
    if project.environment_file is None:
        return
    name = os.path.relpath(project.environment_file, project.folder)
    found = environment.load(project.environment_file, kind=project.kind)
    packages = [each for each in found.conda if each.partition("=")[0].strip() not in _SKIPPED]
    if packages:
        said.append(f"conda packages are taken from PyPI under the same names: {', '.join(packages)}")
    yield from (requirements.from_conda(each) for each in packages)
    for line in requirements.expand(found.pip, project.environment_file.parent):
        if line.startswith(("-", ".")):
            said.append(f"{line!r} of {name} has no place in python_libraries, and is left out")
        else:
            yield line.split(" #", maxsplit=1)[0].strip()
    said.append(f"{name} is no longer used: the job runs on the runtime's own Python and packages")


def _from_cluster(spec: cluster.ClusterSpec, placeholder: str, said: list[str]) -> Iterator[str]:
    said += [f"{key} of the cluster spec is left out: MLflow has no place for it" for key in spec.others]
    for each in spec.libraries:
        pypi = each.get("pypi")
        if isinstance(pypi, Mapping) and "repo" in pypi:
            said.append(f"{pypi.get('package')} will come from pip's own index: a Spark job's libraries have no `repo`")
        if line := requirements.from_library(each, placeholder=placeholder):
            yield line
        else:
            said.append(f"the library {json.dumps(dict(each))} is left out: MLflow installs no such for a Spark job")


def _rewrite_project(path: Path, wanted: Sequence[str], said: list[str]) -> Rewritten:
    """The MLproject file with its comments, where its form allows that."""
    old = texts.read(path)
    data = {key: value for key, value in yaml_tree.load(path, old).items() if key not in _REPLACED}
    data["databricks_spark_job"] = {"python_libraries": list(wanted)}
    new = _edit(path, old, wanted)
    if _load(new) != data:
        said.append(f"{path.name} is written anew: its comments go")
        new = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return Rewritten(path=path, old=old, new=new)


def _edit(path: Path, old: str, wanted: Sequence[str]) -> str:
    root = yaml_tree.parse(path, old)
    edits = [_removal(old, pair) for pair in (root.pairs if isinstance(root, tree.Mapping) else ()) if _is_old(pair)]
    text = texts.apply(old, [each for each in edits if each is not None])
    end = texts.line_end_near(old, 0)
    lines = ["databricks_spark_job:", "  python_libraries:" if wanted else "  python_libraries: []"]
    lines += [f"    - {tree.spell(each, style='', in_flow=False)}" for each in wanted]
    gap = end if text.endswith(("\n", "\r")) else end * 2
    return text + gap + end.join(lines) + end


def _is_old(pair: tuple[tree.Node, tree.Node]) -> bool:
    return isinstance(pair[0], tree.Scalar) and pair[0].value in _REPLACED


def _removal(text: str, pair: tuple[tree.Node, tree.Node]) -> texts.Edit | None:
    """The lines of one plain `key: value`; None for a value that is more than that."""
    key, value = pair
    if not isinstance(key, tree.Scalar) or not isinstance(value, tree.Scalar):
        return None
    start = max(text.rfind("\n", 0, key.start), text.rfind("\r", 0, key.start)) + 1
    end = text.find("\n", value.end)
    end = len(text) if end < 0 else end + 1
    if start == 0 or text[:start].rstrip(" \t").endswith(("\n\n", "\r\n\r\n")):
        after = text[end:]
        end += len(after) - len(after.lstrip("\r\n"))  # one empty line of the two around it is enough
    return texts.Edit(start=start, end=end, new="")


def _load(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _check_loads(project: mlproject.Project, text: str) -> None:
    """A Spark job's MLproject needs no other file to be read."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / project.mlproject).write_text(text, encoding="utf-8")
        mlproject.load(Path(folder))
