"""Each cure does what it says: followed to the letter, its finding is gone, and no other has come."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_tasks.doctor import checklist, cures, fix
from mlops_tasks.doctor.findings import Finding
from mlops_tasks.doctor.subject import Questions, Subject
from mlops_tasks.project import mlproject
from mlops_tasks.tracking.bounds import Client
from mlops_tasks.workspace import runtimes
from tests.support import subjects

CLIENTS = {"3.17.2": ">=3.10", "3.1.4": ">=3.9", "2.20.0": ">=3.9", "2.17.2": ">=3.8"}
THEIRS = "dbfs:/libs/other-1.0-py3-none-any.whl"
NAMES = (
    *("5.3.x-scala2.11", "6.4.x-scala2.11", "7.0.x-scala2.12", "7.3.x-cpu-ml-scala2.12", "9.1.x-scala2.12"),
    *("10.4.x-cpu-ml-scala2.12", "12.2.x-scala2.12", "13.3.x-scala2.12", "14.3.x-scala2.12", "14.3.x-photon-scala2.12"),
    *("15.0.x-scala2.12", "15.4.x-cpu-ml-scala2.12", "16.2.x-scala2.12", "16.4.x-scala2.13", "17.1.x-scala2.13"),
    *("17.3.x-gpu-ml-scala2.13", "18.x-scala2.13", "18.1.x-scala2.13", "19.x-cpu-ml-scala2.13", "20.x-scala2.13"),
    *("foo", "16.4-cpu-ml", "15.4", "15.x-scala2.12", "99.1.x-scala2.13", "154.x-scala2.12", "17.9.x-scala2.13"),
    *("15.4.x-cpu-ml-scala2.21", "17.3.x-scala2.12", "16.4.x-ml-scala2.12", "custom:image", "13.3.x"),
)


_NAMED = re.compile(r"conda_env|python_env|plain|\S*\d[\w.*+:/>=<-]*|foo|custom:\w+|/Workspace\S*|dbfs:\S*")


@dataclass(frozen=True, kw_only=True)
class State:
    """A project as its author has it: the files' texts, and the settings. `offered` are the workspace's runtimes."""

    project: str
    yaml: str
    spec: Mapping[str, Any]
    client: str
    wheel_root: str
    requires_python: str = ">=3.8"
    backend: str = "databricks"
    compute: str | None = None
    workers: bool = False
    add_wheels: bool = True
    offered: frozenset[str] = field(default_factory=frozenset)
    today: date = date(2026, 11, 29)


def read(state: State, folder: Path) -> Subject:
    subject = subjects.make(
        folder,
        project=state.project,
        yaml=state.yaml,
        spec=dict(state.spec),
        today=state.today,
        wheel_root=state.wheel_root,
        wheels=(subjects.WHEEL._replace(requires_python=state.requires_python),),
        backend=state.backend,
        compute=state.compute,
        workers=state.workers,
        add_wheels=state.add_wheels,
        mlflow=Client(state.client, CLIENTS[state.client]),
        experiment="/Shared/x",
        ask=Questions(runtimes=(lambda: state.offered) if state.offered else None),
    )
    (folder / "train.py").write_text("import mlflow\n")
    return replace(subject, scripts=(subjects.read(folder / "train.py"),))


def find(state: State) -> tuple[list[Finding], bool]:
    """The findings, and whether they are all: where no compute is named, little can be looked at."""
    with tempfile.TemporaryDirectory() as folder:
        subject = read(state, Path(folder))
        found = checklist.check(subject)
        return [each._replace(where=each.where.replace(folder, "")) for each in found.found if each.level != "note"], (
            subject.refused is None
        )


def key(finding: Finding) -> str:
    """What is wrong, whatever numbers and names it is wrong with."""
    return _NAMED.sub("#", finding.what).replace(" ML", "")


def follow(state: State, cure: str) -> Iterator[State]:
    """The state after each of the ways that the cure offers; none for a way that changes no file and no setting."""
    before: list[str] = []
    for way in re.split(r", or ", _without_reasons(cure)):
        volume = way.startswith("to a volume")
        said = [*before, way] if volume else [way]
        before = [way]
        changed, steps = state, 0
        for pattern, step in STEPS:
            for match in re.finditer(pattern, " and ".join(said)):
                changed, steps = step(changed, match), steps + 1
        if volume:
            changed = replace(changed, wheel_root="/Volumes/main/ml/wheels")
        steps += volume
        assert steps or re.search(IDLE, way), f"nobody understands {way!r}"
        if steps:
            yield changed


def _without_reasons(cure: str) -> str:
    """The cure with `--fix` for what stands in the brackets after it, however many there are in them."""
    start = cure.find("(`inv doctor --fix`")
    if start < 0:
        return cure
    depth, end = 0, start
    for end in range(start, len(cure)):
        depth += {"(": 1, ")": -1}.get(cure[end], 0)
        if depth == 0:
            break
    words = "--mend --fix" if "once this is fixed" in cure[start:end] else "--fix"
    return cure[:start] + words + cure[end + 1 :]


def own(state: State) -> dict[str, Any]:
    """The cluster's own keys."""
    return dict(state.spec.get("new_cluster", state.spec))


def with_own(state: State, keys: Mapping[str, Any]) -> State:
    wrapped = "new_cluster" in state.spec
    return replace(state, spec={**state.spec, "new_cluster": dict(keys)} if wrapped else dict(keys))


def describe(state: State, match: re.Match[str]) -> State:
    libraries = state.spec.get("libraries", [])
    return replace(state, spec={"new_cluster": dict(subjects.NODES), "libraries": libraries})


def set_key(state: State, match: re.Match[str]) -> State:
    return with_own(state, {**own(state), match[1]: match[2]})


def add(state: State, match: re.Match[str]) -> State:
    values = {"node_type_id": "m5.large", "num_workers": 1}
    return with_own(state, {**own(state), match[1]: values[match[1]]})


def add_to(state: State, match: re.Match[str]) -> State:
    keys = own(state)
    return with_own(state, {**keys, match[1]: {**keys.get(match[1], {}), **json.loads(match[2])}})


def remove(state: State, match: re.Match[str]) -> State:
    names = {each.strip() for each in match[1].split(",")}
    keys = {name: value for name, value in own(state).items() if name not in names}
    left = with_own(state, keys)
    return replace(left, spec={name: value for name, value in left.spec.items() if name not in names})


def ask_for_python(state: State, match: re.Match[str]) -> State:
    return replace(state, yaml=re.sub(r'(python(?:=|: "))[\d.]+', lambda found: found[1] + match[1], state.yaml))


def ask_for_mlflow(state: State, match: re.Match[str]) -> State:
    return replace(state, yaml=re.sub(r"- mlflow[\w-]*[=<>]+[\d.]+", f"- {match[1]}=={match[2]}", state.yaml))


def add_placeholder(state: State, match: re.Match[str]) -> State:
    if "databricks_spark_job" in state.project:
        return replace(state, project=state.project.replace("libraries:", "libraries:\n    - WHEELPATH"))
    if "_env" not in state.project:
        project = state.project.replace("entry_points", "python_env: training_env.yaml\nentry_points")
        return replace(state, project=project, yaml="dependencies: [WHEELPATH]\n")
    return replace(state, yaml=state.yaml.replace("- numpy", "- WHEELPATH"))


def rename_library(state: State, match: re.Match[str]) -> State:
    return replace(state, spec=json.loads(json.dumps(state.spec).replace(THEIRS, match[1])))


def write_whl(state: State, match: re.Match[str]) -> State:
    libraries = [{"whl": match[1]} if "pypi" in each else each for each in state.spec["libraries"]]
    return replace(state, spec={**state.spec, "libraries": libraries})


def mend(state: State, match: re.Match[str]) -> State:
    keys = {name: value for name, value in state.spec.items() if name != "existing_cluster_id"}
    return replace(state, spec=keys, project=re.sub(r"command: .*", 'command: "python train.py"', state.project))


def write_spark_job(state: State, match: re.Match[str]) -> State:
    """As `inv doctor --fix` does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subject = read(state, folder)
        lacking = subject.lacks_mlflow
        form = fix.convert(
            mlproject.load(folder),
            cluster_file=folder / "cluster.json",
            placeholder="WHEELPATH",
            mlflow_for=lacking.path.name if lacking is not None else "",
        )
        fix.write(form)
        project, spec = (folder / "MLproject").read_text(), json.loads((folder / "cluster.json").read_text())
    return replace(state, project=project, spec=spec)


Step = Callable[[State, re.Match[str]], State]
STEPS: tuple[tuple[str, Step], ...] = (
    (r"describe a new_cluster in its place", describe),
    (r"set (spark_version|data_security_mode|node_type_id|driver_node_type_id) to (?:\D*such as )?([\w.:-]+)", set_key),
    (r"add (node_type_id|num_workers) to the cluster", add),
    (r"(spark_conf|custom_tags) (\{.*?\})", add_to),
    (r"remove ((?:[a-z_]+, )*[a-z_]*_[a-z_]+|state)(?: here)?$", remove),
    (
        r"remove -photon- from spark_version",
        lambda state, _: with_own(
            state, {**own(state), "spark_version": str(own(state)["spark_version"]).replace("-photon-", "-")}
        ),
    ),
    (r"--mend", mend),
    (r"write the project as a Spark job [-a-z ]*--fix", write_spark_job),
    (r"ask for (?:a newer one: )?python=([\d.]+)", ask_for_python),
    (r"ask for (mlflow[a-z-]*)==([\d.]+)", ask_for_mlflow),
    (r"install mlflow==([\d.]+) here", lambda state, match: replace(state, client=match[1])),
    (r"set wheel_root to ([^\s,;]+)", lambda state, match: replace(state, wheel_root=match[1])),
    (r"write ((?:dbfs:|/Workspace/)\S+) there", rename_library),
    (r'write \{"whl": "(\w+)"\} instead', write_whl),
    (
        r"list mlflow under",
        lambda state, _: replace(state, project=state.project.replace("libraries:", "libraries:\n    - mlflow")),
    ),
    (
        r"put that wheel into a volume or among",
        lambda state, _: replace(state, spec=json.loads(json.dumps(state.spec).replace("dbfs:/libs", "/Workspace/l"))),
    ),
    (r"set `backend: auto`", lambda state, _: replace(state, backend="auto")),
    (r"set `compute: serverless`", lambda state, _: replace(state, compute="serverless")),
    (
        r"keep one of them",
        lambda state, _: replace(state, spec={k: each for k, each in state.spec.items() if k != "existing_cluster_id"}),
    ),
    (r"leave `add_wheels` out", lambda state, _: replace(state, add_wheels=True)),
    (r"write an entry WHEELPATH into|write python_env.yaml with", add_placeholder),
    (r"widen requires-python", lambda state, _: replace(state, requires_python="")),
)
IDLE = (
    "name a cluster of a newer runtime|choose a cluster or an environment|check the name|`local_version: true`"
    "|use a new cluster|send no code to Spark's workers|a policy_id whose policy"
)
"""Ways that change nothing which a check looks at."""


def texts(kind: str, command: str, libraries: list[str]) -> str:
    """An MLproject of that kind."""
    forms = {
        "conda": "conda_env: training_env.yaml\n",
        "python": "python_env: training_env.yaml\n",
        "spark": "databricks_spark_job:\n  python_libraries:\n" + "".join(f"    - {each}\n" for each in libraries),
    }
    return f'name: x\n{forms.get(kind, "")}entry_points:\n  main:\n    command: "{command}"\n'


def yaml(kind: str, python: str, mlflow: str, wheel: str) -> str:
    """An environment of that kind."""
    if kind == "python":
        lines = [each for each in (mlflow, wheel, "numpy") if each]
        return (f'python: "{python}"\n' if python else "") + "dependencies:\n" + "".join(f"  - {x}\n" for x in lines)
    conda = [f"python={python}"] if python else []
    pip = [each for each in (mlflow if "==" in mlflow or "<" in mlflow else "", wheel, "numpy") if each]
    conda += [mlflow] if mlflow and mlflow not in pip else []
    listed = "".join(f"  - {each}\n" for each in conda) + "  - pip:\n" + "".join(f"      - {each}\n" for each in pip)
    return "dependencies:\n" + listed


@st.composite
def states(draw: st.DrawFn) -> State:
    kind = draw(st.sampled_from(["conda", "python", "plain", "spark"]))
    wheel = draw(st.sampled_from(["WHEELPATH", ""]))
    pins = ["mlflow", "", "mlflow==2.9.2", "mlflow==3.17.2", "mlflow<3"] + (["mlflow=2.9.2"] if kind == "conda" else [])
    keys: dict[str, Any] = {"spark_version": draw(st.sampled_from(NAMES)), **subjects.NODES}
    extras = {
        "data_security_mode": st.sampled_from(["USER_ISOLATION", "SINGLE_USER", "NONE"]),
        "runtime_engine": st.just("PHOTON"),
        "num_workers": st.just(0),
        "spark_conf": st.sampled_from([{"spark.databricks.cluster.profile": "singleNode"}, {"a": "b"}]),
        "custom_tags": st.sampled_from([{"ResourceClass": "SingleNode"}, {"team": "a"}]),
        "cluster_id": st.just("0101-1-a"),
        "cluster_source": st.just("UI"),
        "autotermination_minutes": st.just(30),
        "run_name": st.just("x"),
        "timeout_seconds": st.just(60),
    }
    for name in draw(st.sets(st.sampled_from(sorted(extras)), max_size=4)):
        keys[name] = draw(extras[name])
    for name in draw(st.sets(st.sampled_from(["spark_version", "node_type_id", "num_workers"]), max_size=1)):
        keys.pop(name)
    libraries = draw(
        st.lists(
            st.sampled_from([{"whl": "WHEELPATH"}, {"whl": THEIRS}, {"pypi": {"package": "WHEELPATH"}}]),
            max_size=2,
            unique_by=json.dumps,
        )
    )
    form = draw(st.sampled_from(["flat", "wrapped", "beside", "existing"]))
    spec = keys if form == "flat" else {"new_cluster": keys, "libraries": libraries}
    spec = {"existing_cluster_id": "0101-1-a", **spec} if form in {"beside", "existing"} else spec
    if form == "existing":
        spec.pop("new_cluster")
    backend = draw(st.sampled_from(["databricks", "databricks-jobs", "auto"]))
    command = draw(st.sampled_from(["python train.py", "Rscript train.R", "python -um train"]))
    return State(
        project=texts(kind, "python train.py" if kind == "spark" else command, ["numpy", *filter(None, [wheel])]),
        yaml=yaml(
            kind,
            draw(st.sampled_from(["", "3.6", "3.7", "3.8", "3.9", "3.10", "3.12"])),
            draw(st.sampled_from(pins)),
            wheel,
        ),
        spec=spec,
        client=draw(st.sampled_from(sorted(CLIENTS))),
        wheel_root=draw(st.sampled_from(["dbfs:/w", "/Workspace/Shared/w", "/Volumes/main/ml/w"])),
        requires_python=draw(st.sampled_from([">=3.8", ">=3.10", ">=3.11"])),
        backend=backend,
        compute=None if backend == "databricks" else draw(st.sampled_from([None, None, "serverless"])),
        workers=draw(st.booleans()),
        add_wheels=draw(st.booleans()),
        offered=draw(st.sampled_from([frozenset(), OFFERED])),
        today=draw(st.sampled_from([date(2026, 7, 1), date(2026, 11, 29), date(2027, 9, 1)])),
    )


OFFERED = frozenset(
    runtimes.spell(version, like=flavour)
    for version in [*runtimes.LONG_TERM_ENDS, runtimes.NEWEST]
    for flavour in ("", "1-cpu-ml", "1-gpu-ml", "1-photon")
)


@settings(max_examples=settings().max_examples // 4)  # each state is read some ten times
@given(states())
def test_a_cure_that_is_followed_ends_its_finding_and_brings_no_other(state: State) -> None:
    found, are_all = find(state)
    known = {key(each) for each in found}
    for each in found:
        for after in follow(state, each.cure):
            left = [key(one) for one in find(after)[0]]
            assert key(each) not in left, (each, after)
            assert not are_all or set(left) <= known, (set(left) - known, each, after)


def test_that_the_project_runs_as_it_is_comes_before_a_rewrite(tmp_path: Path) -> None:
    named, chosen = (cures.move(subjects.make(tmp_path, backend=name)) for name in ("databricks", "auto"))

    first, second = named.split(", or ")
    assert first == f"set spark_version to 13.3.x-scala2.12, and {cures.GO_AUTO}"
    assert "write the project as a Spark job" in second
    assert chosen == "set spark_version to 13.3.x-scala2.12 (databricks-jobs runs the project there as it is)"


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        pytest.param("12.2.x-cpu-ml-scala2.12", "14.3.x-cpu-ml-scala2.12", id="ended"),
        pytest.param("17.1.x-scala2.13", "17.3.x-scala2.13", id="the nearest one"),
        pytest.param("16.4.x-scala2.12", "", id="supported"),
        pytest.param("16.4-cpu-ml", "16.4.x-cpu-ml-scala2.12", id="no name"),
        pytest.param("20.x-scala2.13", "", id="not known"),
    ],
)
def test_what_has_ended_is_renewed_by_the_nearest_runtime_with_support(tmp_path: Path, name: str, offered: str) -> None:
    spec = {"spark_version": name, **subjects.NODES}

    found = cures.renew_runtime(subjects.make(tmp_path, spec=spec, today=date(2026, 11, 29)))

    assert (found.name if found else "") == offered
