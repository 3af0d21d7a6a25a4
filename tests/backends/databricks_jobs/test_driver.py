"""The driver program, run as it is by a cluster's kernel: one kernel serves many runs, each as a new cell."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings, strategies

from tests.support.repositories import write
from tests.support.tiny_wheels import make_index, make_wheel

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[3]
CELL = TOP / "tests" / "fake_workspace" / "programs" / "cell.py"
DRIVER = TOP / "mlops_tasks" / "backends" / "databricks_jobs" / "driver.py"
CELLS = """\
import asyncio, atexit, builtins, gc, json, os, sys, threading, traceback, types

def state():
    return {
        "cwd": os.getcwd(), "argv": sys.argv, "path": list(sys.path), "environ": dict(os.environ),
        "streams": [sys.stdout, sys.stderr, sys.stdin, sys.__stdout__], "loop": asyncio._get_running_loop(),
        "policy": asyncio.get_event_loop_policy(), "atexit": atexit.register, "exit": hasattr(builtins, "exit"),
        "files": [os.fstat(1)[:3], os.fstat(2)[:3], len(os.listdir("/dev/fd"))], "hook": sys.excepthook,
        "main": sys.modules["__main__"],
    }

codes = {}
with open(int(sys.argv[1])) as asked, open(int(sys.argv[2]), "w") as answers:
    for line in asked:
        driver, run = json.loads(line)
        sys.modules["__main__"] = types.ModuleType("__main__")
        vars(sys.modules["__main__"])["open"] = open  # the kernel's own
        sys.argv = [driver, run]
        before, said = state(), {"error": "", "trace": ""}
        try:
            if driver not in codes:
                with open(driver, "rb") as file:
                    codes[driver] = compile(file.read(), driver, "exec")
            exec(codes[driver], vars(sys.modules["__main__"]))
        except BaseException as raised:
            said["error"] = traceback.format_exception_only(type(raised), raised)[-1].strip()
            said["trace"] = "".join(traceback.format_exception(raised))
        gc.collect()
        after = state()
        said["changed"] = [name for name in before if before[name] != after[name]]
        print(json.dumps(said), file=answers, flush=True)
"""

PACKAGES = {
    "databricks/__init__.py": "",
    "databricks/sdk/__init__.py": "",
    "databricks/sdk/core.py": """\
class Config:
    host = "https://here"
    def authenticate(self):
        return {"Authorization": "Bearer secret"}
""",
    "pyspark/__init__.py": "",
    "pyspark/sql/__init__.py": """\
import os
class SparkContext:
    def addPyFile(self, path):
        print("to the workers:", os.path.basename(path))
class SparkSession:
    sparkContext = SparkContext()
    @classmethod
    def getActiveSession(cls):
        return cls()
""",
    "mlflow/__init__.py": "from mlflow.tracking.fluent import set_tracking_uri, start_run\n",
    "mlflow/tracking/__init__.py": "",
    "mlflow/tracking/fluent.py": """\
import atexit, os
OPEN = []
URI = os.environ["MLFLOW_TRACKING_URI"]
def start_run():
    OPEN.append(os.environ.pop("MLFLOW_RUN_ID"))
def set_tracking_uri(uri):
    global URI
    URI = uri
@atexit.register
def end_run():
    while OPEN:
        print(OPEN.pop(), "ended at", URI)
""",
    "mlflow/artifacts.py": """\
def download_artifacts(artifact_uri, dst_path):
    if "missing" in artifact_uri:
        raise ValueError("no such artifact")
    path = f"{dst_path}/{artifact_uri.rpartition('/')[2]}"
    open(path, "w").write(artifact_uri)
    return path
""",
}
"""What the kernel finds beside Python's own: as much of databricks-sdk, Spark and MLflow as the driver needs."""


class Ended(NamedTuple):
    """What the kernel and the store have of a run: `error` and `trace` are the kernel's, `output` is of the files."""

    error: str
    trace: str
    changed: list[str]
    result: dict[str, Any]
    output: str
    log: str
    folder: Path


class Kernel:
    """A kernel whose cells are runs of the driver."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        (folder / "cells.py").write_text(CELLS)
        read, self._requests = os.pipe()
        self._answers, written = os.pipe()
        command = [sys.executable, "-u", str(CELL), str(folder / "answer"), str(folder / "cells.py")]
        write(folder / "packages", PACKAGES)
        facts = {"TMPDIR": folder, "PYTHONPATH": folder / "packages", "DATABRICKS_RUNTIME_VERSION": "15.4"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        environ = {
            **kept,
            "PIP_CONFIG_FILE": os.devnull,
            **{name: str(value) for name, value in facts.items()},
            "MLFLOW_RUN_ID": "old",
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, str(read), str(written)],
                pass_fds=(read, written),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                cwd=folder,
            )
        for descriptor in (read, written):
            os.close(descriptor)
        self._reader: IO[str] = os.fdopen(self._answers)

    def close(self) -> None:
        os.close(self._requests)
        assert self._process.wait(60) == 0, self.log.read_text()
        self._reader.close()

    def run(self, run: Path, driver: Path = DRIVER) -> Ended:
        start = self.log.stat().st_size
        os.write(self._requests, f"{json.dumps([str(driver), str(run)])}\n".encode())
        line = self._reader.readline()
        assert line, self.log.read_text()[start:]
        folder = run.parent
        result = folder / "result.json"
        files = sorted((folder / "output").glob("*")) if (folder / "output").is_dir() else []
        for file in files:
            assert file.stat().st_size == int(file.stem.split("-")[1])
        return Ended(
            **json.loads(line),
            result=json.loads(result.read_text()) if result.exists() else {},
            output=b"".join(file.read_bytes() for file in files).decode(),
            log=self.log.read_bytes()[start:].decode(),
            folder=folder,
        )


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    yield kernel
    kernel.close()


def pack(project: Path, archive: Path) -> str:
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for path in sorted(project.iterdir()):
            tar.add(path, path.name)
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def prepare(folder: Path, files: Mapping[str, str], *words: str, **changed: Any) -> Path:
    """The run.json of a project of `files`, in a store in `folder`; `changed` are its keys."""
    project, attempt = folder / "project", uuid.uuid4().hex
    write(project, dict(files))
    store = folder / "store" / attempt
    store.mkdir(parents=True)
    run = {
        "version": 1,
        "attempt": attempt,
        "folder": str(store),
        "archive": {"path": str(folder / "project.tar.gz"), "sha256": pack(project, folder / "project.tar.gz")},
        "entry_point": {"script": "train.py", "arguments": list(words)},
        "downloads": {},
        "variables": {"MLFLOW_TRACKING_URI": "databricks", "MLFLOW_EXPERIMENT_ID": "1", "MLFLOW_RUN_ID": "r"},
        "wheels": [],
        "install": None,
        "workers": False,
        **changed,
    }
    (store / "run.json").write_text(json.dumps(run))
    return store / "run.json"


def drive(kernel: Kernel, folder: Path, files: Mapping[str, str] | str, *words: str, **changed: Any) -> Ended:
    """A text is the project's one file, train.py."""
    files = {"train.py": files} if isinstance(files, str) else files
    return launch(kernel, prepare(folder, files, *words, **changed))


def launch(kernel: Kernel, run: Path, driver: Path = DRIVER) -> Ended:
    """Whatever becomes of it, the kernel is as it was and nothing is left on its disk."""
    ended = kernel.run(run, driver)
    assert ended.changed == []
    assert not list(kernel.folder.glob("mlops-run-*"))
    return ended


SCRIPTS: dict[str, Mapping[str, str] | str] = {
    "names": """
import os, sys
print(__name__, os.path.basename(__file__), os.path.isabs(__file__), __doc__, __package__, __spec__)
print(sorted(set(vars()) - {"__annotations__"}), sys.modules["__main__"].__dict__ is vars())
print(sys.argv, os.path.basename(sys.path[0]), os.path.basename(os.getcwd()), sys.stdin.read())
""",
    "future": "from __future__ import annotations\nclass A:\n    b: Undefined\nprint(A.__annotations__)\n",
    "pickle": """
import pickle, dataclasses
@dataclasses.dataclass
class Model:
    alpha: float
print(pickle.loads(pickle.dumps(Model(0.5))), Model.__module__)
""",
    "siblings": {
        "train.py": "import os, helper, package.inner\nprint(helper.NAME, package.inner.DATA, os.listdir('package'))\n",
        "helper.py": "NAME = 'sibling'\n",
        "package/inner.py": "DATA = open('package/data.txt').read()\n",
        "package/data.txt": "data",
    },
    "sibling_again": {"train.py": "import helper\nprint(helper.NAME)\n", "helper.py": "NAME = 'another'\n"},
    "ends": "print('ends')\nexit()\nprint('never')\n",
    "zero": "import sys\nsys.exit(0)\n",
    "quit": "quit(0)\n",
    "three": "import sys\nsys.exit(3)\n",
    "negative": "raise SystemExit(-1)\n",
    "large": "exit(256)\n",
    "truth": "exit(True)\n",
    "text": "import sys\nsys.exit('no data: é')\n",
    "list": "import sys\nsys.exit(['a', 1])\n",
    "raises": {
        "train.py": "import helper\ndef train():\n    helper.read()\ntrain()\n",
        "helper.py": """
def read():
    try:
        {}["column"]
    except KeyError as e:
        raise ValueError("bad") from e
""",
    },
    "syntax": "print('never'\n\nx = 1\n",
    "group": "class Mine(Exception): pass\nraise Mine('a\\nb')\n",
    "atexit": """
import atexit, threading
def bad():
    raise SystemExit(3)
def never(): print("never")
atexit.register(print, "first")
atexit.register(print, "second", end="!\\n")
atexit.register(never)
atexit.unregister(never)
@atexit.register
def last(): print("last")
threading.Timer(0.05, lambda: atexit.register(print, "from a thread")).start()
print("main")
""",
    "asyncio": """
import asyncio
async def main():
    await asyncio.sleep(0)
    return asyncio.current_task() is not None
print(asyncio.run(main()), asyncio.get_event_loop_policy().get_event_loop().run_until_complete(main()))
""",
    "streams": """
import os, subprocess, sys, logging
print("é", flush=True)
sys.stdout.buffer.write(b"bytes\\n"); sys.stdout.buffer.flush()
os.write(1, b"one\\n"); os.write(2, b"two\\n")
os.system("echo child; echo error >&2")
subprocess.run(["echo", "of a list"], stdout=sys.stdout, check=True)
logging.basicConfig(format="%(message)s"); logging.warning("logged")
sys.__stdout__.write("under\\n")
print(sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding, file=sys.stderr)
sys.stdout.write("no end")
""",
    "processes": """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
class Model:
    def __init__(self, n): self.n = n
    def __eq__(self, other): return self.n == other.n
def work(n): return Model(n * n)
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            print(pool.map(work, [1, 2]) == [Model(1), Model(4)])
    left = multiprocessing.get_context("fork").Pool(1)
    print(left.apply(work, (3,)).n)
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    print(pool.submit(work, 4).result().n)
    multiprocessing.get_context("fork").Process(target=print, args=("child",)).start()
""",
    "threads": """
import threading, time
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
futures = [pool.submit(lambda: (time.sleep(0.02), print("pooled\\n", end=""))) for _ in range(2)]
def late():
    threading.Timer(0.02, print, ["later"]).start()
threading.Timer(0.1, late).start()
threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
print("main")
""",
    "temporary": """
import tempfile, os, atexit, weakref
kept = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
class A: pass
a = A()
weakref.finalize(a, print, "finalized")
kept.self = kept
""",
    "fork": """
import atexit, os, sys, warnings
warnings.simplefilter("ignore")  # a kernel has threads, and Python 3.12 warns of forks beside them
atexit.register(lambda: print("at exit", flush=True))
child = os.fork()
if child:
    os.waitpid(child, 0)
    print("parent")
else:
    print("child")
    sys.exit(4)
""",
    "hook": """
import sys
sys.excepthook = lambda kind, value, trace: print("hook:", value)
raise ValueError("bad")
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_does_what_it_does_under_python(kernel: Kernel, tmp_path: Path, name: str) -> None:
    files = SCRIPTS[name]
    ended = drive(kernel, tmp_path, files, "--text", "a b", "")

    command = [sys.executable, "-u", "train.py", "--text", "a b", ""]
    plain = subprocess.run(
        command, cwd=tmp_path / "project", stdin=subprocess.DEVNULL, stdout=-1, stderr=subprocess.STDOUT, check=False
    )
    said = plain.stdout.decode().replace(f"{tmp_path / 'project'}{os.sep}", "")
    said = said.replace("__main__.Mine", "Mine")  # Python 3.10 itself names the module, and its traceback doesn't
    if ended.result["exit_code"] is None:
        assert plain.returncode == 1
        assert said == ended.output + (ended.result["trace"] if name != "hook" else "")
        assert ended.result["error"] == " ".join(ended.error.split())
        assert name == "hook" or ended.trace.endswith(said[said.rindex("  File") :].partition("train.py")[2])
        assert ended.result["phase"] == "run"
    else:
        assert (ended.result["exit_code"], ended.output) == (plain.returncode, said)
        assert ended.result["trace"] == ""
        assert ended.error.endswith(f"train.py ended with exit code {plain.returncode}" if plain.returncode else "")
        assert bool(ended.error) == bool(plain.returncode)
        assert ended.result["phase"] == "end"
    assert ended.output in ended.log


def alter(folder: Path, **values: str) -> Path:
    """The driver with other values, so that a test needn't wait, or print as much."""
    text = DRIVER.read_text()
    for name, value in values.items():
        text, found = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert found == 1
    (folder / "driver.py").write_text(text)
    return folder / "driver.py"


def test_a_runs_facts_are_written_when_it_starts_and_when_it_has_ended(kernel: Kernel, tmp_path: Path) -> None:
    ended = drive(kernel, tmp_path, f"print(open({str(tmp_path)!r} + '/started').read())\n")
    assert ended.result["exit_code"] is None
    started = json.loads((ended.folder / "started.json").read_text())
    attempt, python = ended.folder.name, ".".join(map(str, sys.version_info[:3]))
    assert started == {"version": 1, "attempt": attempt, "python": python, "runtime": "15.4"}
    assert ended.result == {
        **started,
        "exit_code": None,
        "error": f"FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path}/started'",
        "trace": ended.result["trace"],
        "phase": "run",
        "wheels": [],
        "output": {"files": 0, "bytes": 0, "truncated": False, "kept": True},
    }


def test_mlflow_is_told_its_run_before_the_script_begins(kernel: Kernel, tmp_path: Path) -> None:
    script = "import os\nfor name in ('RUN_ID', 'EXPERIMENT_ID', 'TRACKING_URI'):\n"
    script += "    print(os.environ.get('MLFLOW_' + name))\n"
    assert drive(kernel, tmp_path, script).output == "r\n1\ndatabricks\n"
    assert drive(kernel, tmp_path / "without", script, variables={}).output == "None\nNone\nNone\n"


def test_a_command_runs_in_bash_with_the_login_and_the_wheels_of_the_kernel(kernel: Kernel, tmp_path: Path) -> None:
    command = 'echo "$PWD" $MLFLOW_RUN_ID $DATABRICKS_HOST ${#DATABRICKS_TOKEN} >&2; cat data.txt\n'
    command += 'python -c "import sys; print(sys.executable)"; exit 3'
    ended = drive(kernel, tmp_path, {"data.txt": "data\n"}, entry_point={"command": command})
    place, data, python = ended.output.splitlines()
    assert place.endswith("/project r https://here 6")
    assert "secret" not in ended.log
    assert (data, Path(python).parent) == ("data", Path(sys.executable).parent)
    assert ended.error == "RuntimeError: the entry point's command ended with exit code 3"
    assert (ended.result["exit_code"], ended.result["error"]) == (3, ended.error.partition(": ")[2])


def test_a_command_that_a_signal_ends_has_the_code_that_a_shell_gives_it(kernel: Kernel, tmp_path: Path) -> None:
    assert drive(kernel, tmp_path, {"a": ""}, entry_point={"command": "kill -9 $$"}).result["exit_code"] == 137


@pytest.mark.parametrize("number", range(2))
def test_what_is_printed_is_in_the_store_while_the_script_runs(kernel: Kernel, tmp_path: Path, number: int) -> None:
    printing = ["print('half a ', end='', flush=True)", "print('one\\ntw', end='', flush=True)"][number]
    script = f"""
import glob, os, sys, time
{printing}
while not glob.glob(sys.argv[1] + "/store/*/output/*"):
    time.sleep(0.01)
print(open(glob.glob(sys.argv[1] + "/store/*/output/*")[0]).read())
"""
    ended = launch(
        kernel, prepare(tmp_path, {"train.py": script}, str(tmp_path)), alter(tmp_path, PACES='((float("inf"), 0.01),)')
    )
    assert ended.output == ["half a half a \n", "one\ntwone\n\n"][number]
    assert ended.result["output"]["files"] >= 2


def test_a_hundred_thousand_lines_at_once_are_kept_in_files_of_whole_lines(kernel: Kernel, tmp_path: Path) -> None:
    script = "for number in range(100_000):\n    print('line', number)\nprint('end', end='')\n"
    ended = drive(kernel, tmp_path, script)
    assert ended.output == "".join(f"line {number}\n" for number in range(100_000)) + "end"
    assert ended.output in ended.log
    files = sorted((ended.folder / "output").iterdir())
    assert [file.name.partition("-")[0] for file in files] == [f"{1 + number:06}" for number in range(len(files))]
    assert len(files) >= 2
    assert all(file.stat().st_size <= 1024 * 1024 and file.read_text().endswith("\n") for file in files[:-1])
    facts = {"files": len(files), "bytes": len(ended.output), "truncated": False, "kept": True}
    assert ended.result["output"] == facts


def test_of_very_long_output_the_end_is_kept(kernel: Kernel, tmp_path: Path) -> None:
    run = prepare(tmp_path, {"train.py": "for number in range(20_000):\n    print('line', number)\n"})
    ended = launch(kernel, run, alter(tmp_path, MOST="64 * 1024", TAIL="1024"))
    lines = [f"line {number}" for number in range(20_000)]
    head, said, tail = ended.output.partition("\nmlops_tasks: ")
    left, _, tail = tail.partition(" bytes are left out here; the job's log has them\n")
    assert said
    assert len(ended.output) < 64 * 1024
    assert len(head) + int(left) + len(tail) == sum(len(line) + 1 for line in lines)
    assert "\n".join(lines).startswith(head)
    assert ("\n".join(lines) + "\n").endswith(tail)
    assert ended.result["output"]["truncated"]
    assert "\n".join(lines) in ended.log


def test_output_that_cannot_be_kept_disturbs_nothing(kernel: Kernel, tmp_path: Path) -> None:
    run = prepare(tmp_path, {"train.py": "print('printed')\n"})
    (run.parent / "output").write_text("in the way")
    ended = launch(kernel, run)
    assert (ended.error, ended.log[-8:]) == ("", "printed\n")
    assert ended.result["output"] == {"files": 0, "bytes": 0, "truncated": False, "kept": False}


def test_a_process_that_is_left_running_does_not_hold_the_end(kernel: Kernel, tmp_path: Path) -> None:
    script = "import subprocess\nprint(subprocess.Popen(['sleep', '99']).pid)\n"
    ended = kernel.run(prepare(tmp_path, {"train.py": script}), alter(tmp_path, PATIENCE="0.2"))
    os.kill(int(ended.output), 9)
    assert (ended.error, ended.result["exit_code"]) == ("", 0)
    assert "a process that was left running may print more" in ended.log


ECHOING = """\
import os, sys
class Stream:
    def write(self, text):
        os.write(1, text.encode())
    def flush(self):
        pass
sys.stdout = Stream()
driver, sys.argv = sys.argv[1], sys.argv[1:]
exec(compile(open(driver).read(), driver, "exec"))
"""


def test_a_kernels_stream_that_leads_to_its_own_descriptor_is_not_written_to(tmp_path: Path) -> None:
    """It would bring back what it is given, for ever."""
    run = prepare(tmp_path, {"train.py": "print('printed')\n"})
    command = [sys.executable, "-c", ECHOING, str(DRIVER), str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[1:] == ["printed"]


def test_what_a_child_prints_a_little_later_is_kept(kernel: Kernel, tmp_path: Path) -> None:
    script = "import subprocess\nsubprocess.Popen('sleep 0.1; echo late', shell=True)\n"
    assert drive(kernel, tmp_path, script).output == "late\n"


def test_an_open_run_of_mlflow_ends_with_the_script(kernel: Kernel, tmp_path: Path) -> None:
    """Also where the kernel has imported MLflow before, and MLflow's atexit handler is the kernel's."""
    script = "import mlflow\nmlflow.start_run()\nprint('begun')\n"
    for uri in ("databricks", "databricks://another"):
        facts = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_RUN_ID": "r"}
        ended = drive(kernel, tmp_path / uri.replace("/", ""), script, variables=facts)
        assert ended.output == f"begun\nr ended at {uri}\n"


def test_a_parameter_that_is_a_uri_is_the_path_of_its_download(kernel: Kernel, tmp_path: Path) -> None:
    uri = {"TOKEN1": "s3://bucket/some data.csv"}
    script = "import sys\nprint(sys.argv[1], open(sys.argv[2].partition('=')[2]).read())\n"
    assert (
        drive(kernel, tmp_path / "a", script, "TOKEN", "--data=TOKEN1", downloads=uri).output
        == f"TOKEN {uri['TOKEN1']}\n"
    )
    command = {"command": "cat TOKEN1"}
    assert drive(kernel, tmp_path / "b", {"a": ""}, entry_point=command, downloads=uri).output == uri["TOKEN1"]
    ended = drive(kernel, tmp_path / "c", script, downloads={"TOKEN1": "s3://missing"})
    assert "(run): s3://missing cannot be downloaded: ValueError: no such artifact; see" in ended.error


def failed(ended: Ended, phase: str) -> str:
    """What an attempt says whose entry point did not begin: in one line, in the kernel's answer as in the store."""
    assert ended.error == f"RuntimeError: {ended.result['error']}"
    assert (ended.result["exit_code"], ended.result["trace"], ended.result["phase"]) == (None, "", phase)
    assert ended.output == ""
    begin, said, words = ended.result["error"].partition(f" ({phase}): ")
    assert begin.startswith("could not ")
    assert said
    assert "\n" not in words
    return str(words)


def test_a_run_file_that_cannot_be_read_is_named(kernel: Kernel, tmp_path: Path) -> None:
    ended = kernel.run(tmp_path / "run.json")
    assert failed(ended, "start").startswith(f"{tmp_path}/run.json cannot be read: [Errno 2]")
    (tmp_path / "run.json").write_text('{"version": 2}')
    assert failed(kernel.run(tmp_path / "run.json"), "start").startswith(f"{tmp_path}/run.json has version 2, not 1")


def test_a_script_that_was_not_sent_is_named(kernel: Kernel, tmp_path: Path) -> None:
    said = failed(drive(kernel, tmp_path, {"other.py": ""}), "run")
    assert said == "train.py is not in the project as it was sent: what git ignores stays behind"


def test_an_archive_that_was_changed_is_not_unpacked(kernel: Kernel, tmp_path: Path) -> None:
    run = prepare(tmp_path, {"train.py": "print('never')"})
    archive = tmp_path / "project.tar.gz"
    wanted = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.write_bytes(archive.read_bytes() + b"x")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    said = failed(launch(kernel, run), "unpack")
    assert said == f"{archive} has SHA-256 {found}, and {wanted} was sent: it was changed since; release again"
    archive.unlink()
    assert str(archive) in failed(launch(kernel, run), "unpack")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("members", "words"),
    [
        pytest.param([member("../train.py")], "../train.py leads out", id="up"),
        pytest.param([member("a/../../train.py")], "a/../../train.py leads out", id="up-inside"),
        pytest.param([member("/tmp/train.py")], "/tmp/train.py leads out", id="absolute"),
        pytest.param([member("a", tarfile.SYMTYPE, "/etc")], "leads out", id="link-to-absolute"),
        pytest.param([member("a", tarfile.SYMTYPE, "../..")], "leads out", id="link-up"),
        pytest.param(
            [member("a", tarfile.SYMTYPE, "."), member("b", tarfile.SYMTYPE, "a/../../x")],
            "leads out",
            id="link-by-link",
        ),
        pytest.param([member("a", tarfile.SYMTYPE, "/tmp"), member("a/x")], "", id="file-through-a-link"),
        pytest.param([member("a", tarfile.CHRTYPE)], "a in ", id="device"),
        pytest.param([member("a", tarfile.FIFOTYPE)], "is neither a file", id="pipe"),
        pytest.param([member("b"), member("a", tarfile.LNKTYPE, "/etc/passwd")], "is neither a file", id="hard-link"),
    ],
)
def test_nothing_is_unpacked_outside_of_the_projects_folder(
    kernel: Kernel, tmp_path: Path, members: list[tarfile.TarInfo], words: str
) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as tar:
        for each in members:
            tar.addfile(each, io.BytesIO())
    digest = hashlib.sha256((tmp_path / "bad.tar.gz").read_bytes()).hexdigest()
    bad = {"path": str(tmp_path / "bad.tar.gz"), "sha256": digest}
    assert words in failed(drive(kernel, tmp_path, "print('never')", archive=bad), "unpack")


def test_links_and_modes_within_a_project_stay(kernel: Kernel, tmp_path: Path) -> None:
    run = prepare(tmp_path, {"train.py": "import os\nprint(open('here/data').read())\nos.system('./tool')\n"})
    write(tmp_path / "project", {"deep/data": "data", "tool": "#!/bin/sh\necho tool\n"})
    (tmp_path / "project" / "tool").chmod(0o755)
    (tmp_path / "project" / "here").symlink_to("deep")
    facts = json.loads(run.read_text())
    facts["archive"]["sha256"] = pack(tmp_path / "project", tmp_path / "project.tar.gz")
    run.write_text(json.dumps(facts))
    assert launch(kernel, run).output == "data\ntool\n"


def test_what_is_no_archive_is_named(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no archive")
    facts = {"path": str(tmp_path / "x"), "sha256": hashlib.sha256(b"no archive").hexdigest()}
    said = failed(drive(kernel, tmp_path, "", archive=facts), "unpack")
    assert said.startswith(f"{tmp_path / 'x'} is no archive that can be read: ")


def describe(wheel: Path, name: str) -> dict[str, str]:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {"distribution": name, "path": str(wheel), "sha256": digest}


def unzip(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


def test_a_wheel_that_is_installed_as_it_was_sent_is_recorded(kernel: Kernel, tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, name, "1.0") for name in ("my.lib", "other_lib")]
    for wheel in wheels:
        unzip(wheel, kernel.folder / "packages")
    sent = [describe(wheel, name) for wheel, name in zip(wheels, ("my-lib", "other-lib"), strict=True)]
    ended = drive(kernel, tmp_path, "import other_lib\nprint(other_lib.VERSION)\n", wheels=sent)
    assert (ended.error, ended.output) == ("", "1.0\n")
    assert ended.result["wheels"] == [{key: each[key] for key in ("distribution", "sha256")} for each in sent]


def test_a_wheel_that_is_not_the_installed_one_is_named_with_both_hashes(kernel: Kernel, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "changed", "1.0")
    sent = [describe(wheel, "changed")]
    assert failed(drive(kernel, tmp_path / "a", "", wheels=sent), "verify").startswith(
        "changed is not installed here: no distribution of that name"
    )
    unzip(wheel, kernel.folder / "packages")
    module = kernel.folder / "packages" / "changed.py"
    module.write_text("VERSION = 'old'\n")
    said = failed(drive(kernel, tmp_path / "b", "", wheels=sent), "verify")
    there, here = (hashlib.sha256(text.encode()).hexdigest() for text in ("VERSION = 'old'\n", "VERSION = '1.0'\n"))
    assert said == (
        f"changed 1.0 as installed here is not {wheel}: {module} has SHA-256 {there}, in the wheel {here}. An earlier "
        "install was kept: run on a new cluster, or restart this one"
    )
    module.unlink()
    assert f"{module} has SHA-256 none" in failed(drive(kernel, tmp_path / "c", "", wheels=sent), "verify")


def test_a_wheel_that_was_changed_in_the_store_is_named(kernel: Kernel, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "stored", "1.0")
    sent = [{**describe(wheel, "stored"), "sha256": "0" * 64}]
    said = failed(drive(kernel, tmp_path, "", wheels=sent), "verify")
    assert said.startswith(f"{wheel} has SHA-256 {describe(wheel, 'stored')['sha256']}, and {'0' * 64} was sent")


def clusters_own(kernel: Kernel) -> list[Path]:
    return sorted((kernel.folder / "packages").iterdir())


@pytest.mark.parametrize(
    ("installer", "settings"), [pytest.param("uv", {}, marks=pytest.mark.full), ("pip", {"PIP_PREFER_BINARY": "1"})]
)
def test_an_existing_cluster_gets_what_it_lacks_for_one_run_alone(
    kernel: Kernel, tmp_path: Path, installer: str, settings: Mapping[str, str]
) -> None:
    """The changed library is the one that runs, though the cluster has one of that version, and has loaded it."""
    name = f"mine_{installer}"
    unzip(make_wheel(tmp_path / "old", name, "1.0"), kernel.folder / "packages")
    unzip(make_wheel(tmp_path / "old", "brought", "1.0"), kernel.folder / "packages")
    (kernel.folder / "packages" / f"{name}.py").write_text("VERSION = 'old'\n")
    unzip(make_wheel(tmp_path / "old", "loaded", "1.0"), kernel.folder / "packages")
    assert drive(kernel, tmp_path / "a", f"import {name}, loaded\nprint({name}.VERSION)\n").output == "old\n"
    index = make_index(tmp_path / "index", "lacking 1.5", "lacking 2.0", "brought 2.0", "loaded 2.0", "pyspark 4.0")
    wheel = make_wheel(tmp_path / "new", name, "1.0", "lacking<2", "brought")
    before = clusters_own(kernel)

    script = f"import subprocess, sys, {name}, lacking, brought\n"
    script += f"print({name}.VERSION, lacking.VERSION, brought.VERSION)\nimport importlib.metadata\n"
    script += f"print(importlib.metadata.distribution('{name}').read_text('INSTALLER').strip())\n"
    script += f"subprocess.run([sys.executable, '-c', 'import {name}; print({name}.VERSION)'])\n"
    ended = drive(
        kernel,
        tmp_path / "b",
        script,
        wheels=[describe(wheel, name)],
        install={"lines": ["--no-index", f"--find-links {index}", "pyspark==4.0", "loaded>1"]},
        variables=settings,
        workers=True,
    )
    assert ended.error == ""
    left, said, another, sent, *printed = ended.output.splitlines()
    assert left == "mlops_tasks: pyspark==4.0 is left out: the cluster has its own, and another breaks it"
    assert said == f"mlops_tasks: installed for this run: lacking==1.5, loaded==2.0, {wheel.name}"
    assert another.startswith("mlops_tasks: loaded 2.0 is installed for this run, but this kernel has loaded another")
    assert sent == f"to the workers: {name}-{describe(wheel, name)['sha256'][:16]}.zip"
    assert printed == ["1.0 1.5 1.0", installer, "1.0"]
    assert clusters_own(kernel) == before
    assert (
        drive(kernel, tmp_path / "c", "try:\n    import lacking\nexcept ImportError:\n    print('gone')\n").output
        == "gone\n"
    )


@pytest.mark.full
def test_requirements_with_hashes_are_installed_with_hashes(
    program: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """pip then wants one for everything, our wheels too."""
    index = make_index(tmp_path / "index", "hashed 1.0")
    sha256 = hashlib.sha256(next(index.glob("hashed*")).read_bytes()).hexdigest()
    wheel = describe(make_wheel(tmp_path, "own", "1.0", "hashed"), "own")
    lines = ["--no-index", f"--find-links {index}", f"hashed==1.0 --hash=sha256:{sha256}"]
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PIP_PREFER_BINARY", "1")
    target = Path(program.install({"install": {"lines": lines}, "wheels": [wheel]}, str(tmp_path)))
    assert {path.name for path in target.glob("*.py")} == {"hashed.py", "own.py"}
    assert f"hashed==1.0 --hash=sha256:{sha256}" in (tmp_path / "pins.txt").read_text()


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("--pre", True),
        ("-i https://host", True),
        ("-r x.txt", False),
        ("--editable .", False),
        ("-c x", False),
        ("a", False),
    ],
)
def test_options_hold_for_all_lines(program: Any, line: str, option: bool) -> None:
    assert program.is_option(line) is option


def test_a_requirement_that_cannot_be_had_ends_the_run_in_words(kernel: Kernel, tmp_path: Path) -> None:
    ended = drive(kernel, tmp_path, "", install={"lines": ["--no-index", "nowhere-to-be-found>1"]})
    error = ended.result["error"]
    assert error == (
        "could not install the requirements (install): pip ended with 1: ERROR: No matching distribution found for "
        "nowhere-to-be-found>1; the lines before this one say more"
    )
    assert "Could not find a version that satisfies the requirement nowhere-to-be-found>1" in ended.output


def test_a_pip_that_cannot_say_what_is_missing_is_too_old(kernel: Kernel, tmp_path: Path) -> None:
    old = "import sys\nsys.exit('Usage: pip\\n\\nno such option: --dry-run')\n"
    write(tmp_path / "pip", {"pip/__init__.py": "", "pip/__main__.py": old})
    path = {"PYTHONPATH": str(tmp_path / "pip")}
    said = failed(drive(kernel, tmp_path, "", install={"lines": ["numpy"]}, variables=path), "install")
    assert said.startswith("pip is older than 22.2 here")


def test_nothing_to_install_needs_no_installer(kernel: Kernel, tmp_path: Path) -> None:
    lines = {"lines": ["--extra-index-url https://nowhere.invalid/simple", "pyspark"]}
    ended = drive(kernel, tmp_path, "print('ran')\n", install=lines)
    assert ended.output.splitlines()[1:] == ["ran"]


@pytest.fixture(scope="module")
def program() -> Any:
    """The driver as a module, for what needs no kernel."""
    spec = importlib.util.spec_from_file_location("driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Session:
    """Spark Connect's, as far as it takes files."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []

    def addArtifact(self, path: str, *, pyfile: bool) -> None:  # noqa: N802 - Spark's name
        assert pyfile
        self.taken.append((Path(path).name, Path(path).read_bytes()))


Session.__module__ = "pyspark.sql.connect.session"


def test_the_workers_get_wheels_as_archives_named_by_their_content(program: Any, tmp_path: Path) -> None:
    wheel, session = describe(make_wheel(tmp_path, "spread", "1.0"), "spread"), Session()
    program.send_to_workers([wheel], str(tmp_path), {"spark": session})
    assert session.taken == [(f"spread-{wheel['sha256'][:16]}.zip", Path(wheel["path"]).read_bytes())]


def test_what_the_workers_cannot_get_is_said(program: Any, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "native", "1.0")
    with pytest.raises(program.Problem, match=r"workers: AttributeError: .* use a job cluster"):
        program.send_to_workers([describe(wheel, "native")], str(tmp_path), {"spark": object()})
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("native/fast.cpython-311-x86_64-linux-gnu.so", b"")
    with pytest.raises(program.Problem, match=f"{wheel} has compiled modules"):
        program.send_to_workers([describe(wheel, "native")], str(tmp_path), {"spark": Session()})


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Numpy", "numpy"),
        ("my_lib.core[extra] >= 1 ; python_version < '4'", "my-lib-core"),
        ("databricks_connect~=15.4", "databricks-connect"),
        ("pyspark (>3)", "pyspark"),
        ("pyspark-extension==1", "pyspark-extension"),
        ("torch @ https://host/torch.whl", "torch"),
        ("--index-url https://host", ""),
        ("git+https://host/pyspark.git", ""),
        ("./wheels/a.whl", ""),
    ],
)
def test_a_requirement_is_known_by_the_name_that_it_begins_with(program: Any, line: str, name: str) -> None:
    assert program.read_name(line) == name


def test_what_is_missing_is_pinned_as_it_was_asked_for(program: Any) -> None:
    def item(name: str, *, direct: bool, **found: object) -> dict[str, object]:
        return {"metadata": {"name": name, "version": "1.0"}, "is_direct": direct, "download_info": found}

    url = "https://host/a.git"
    git = item("a", direct=True, url=url, vcs_info={"vcs": "git", "commit_id": "1ab"})
    assert program.pin(item("a", direct=False, url="https://host/a.whl"), [], hashed=False) == "a==1.0"
    assert program.pin(git, ["b"], hashed=False) == f"a @ git+{url}@1ab"
    assert (
        program.pin(git, ["b", "A @ git+https://secret@host/a.git"], hashed=False)
        == "A @ git+https://secret@host/a.git"
    )
    assert program.pin(item("a", direct=True, url="file:///a.whl"), [], hashed=False) == "a @ file:///a.whl"


def test_what_killed_runs_left_is_removed_after_a_day(kernel: Kernel, tmp_path: Path) -> None:
    old, young = (kernel.folder / f"mlops-run-{name}" for name in ("old", "young"))
    for folder in (old, young):
        write(folder, {"project/file": ""})
    os.utime(old, (0, time.time() - 25 * 60 * 60))
    kernel.run(prepare(tmp_path, {"train.py": ""}))
    assert (old.exists(), young.exists()) == (False, True)
    shutil.rmtree(young)


def test_the_driver_is_python_3_8_and_needs_the_standard_library_alone() -> None:
    tree = ast.parse(DRIVER.read_text(), feature_version=(3, 8))
    imported = {alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module).split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names


class Arguments:
    """One project, run again and again with other arguments."""

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        self.kernel = kernel
        script = "import json, sys\nprint(json.dumps(sys.argv))\n"
        self.run = prepare(folder, {"train.py": script})
        self.facts = json.loads(self.run.read_text())
        self.driver = alter(folder, ECHO="0")

    def check(self, arguments: list[str]) -> None:
        self.facts["entry_point"]["arguments"] = arguments
        self.run.write_text(json.dumps(self.facts))
        shutil.rmtree(self.run.parent / "output", ignore_errors=True)
        assert json.loads(launch(self.kernel, self.run, self.driver).output) == ["train.py", *arguments]


@pytest.fixture(scope="module")
def arguments(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    return Arguments(kernel, tmp_path_factory.mktemp("arguments"))


WORDS = strategies.lists(strategies.text(strategies.characters(exclude_categories=["Cs"])), max_size=6)


@settings(max_examples=200, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(words=WORDS)
def test_arguments_arrive_as_they_were_given(arguments: Arguments, words: list[str]) -> None:
    arguments.check(words)


@pytest.mark.full
@settings(max_examples=10_000, deadline=None)
@given(words=WORDS)
def test_ten_thousand_lists_of_arguments_arrive_in_one_process(arguments: Arguments, words: list[str]) -> None:
    arguments.check(words)
