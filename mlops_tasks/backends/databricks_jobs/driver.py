"""The program on Databricks' driver: runs an entry point as `python FILE` would, and writes down how it ended.

Its one parameter is the path of run.json. Beside that file it writes started.json, what the entry point prints as it
prints it (output/), and result.json at the end. It is sent to the workspace as it is, so it has the standard library
alone, in Python 3.8's syntax; the package reads its bytes and never imports it.

Databricks runs a Python file by exec in an IPython kernel: `__file__`, exit and quit are not there, every SystemExit
is a failure, sys.stdout is no file and open refuses the standard descriptors, an event loop runs in the main thread,
atexit handlers are called late or never, and the file's folder is neither the working directory nor on sys.path.

`main` and `drive` tell the story; what they call stands below them in that order.
"""

from __future__ import annotations

import _sitebuiltins
import asyncio
import atexit
import builtins
import codecs
import contextlib
import hashlib
import importlib
import importlib.metadata
import io
import itertools
import json
import linecache
import multiprocessing
import os
import platform
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import types
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker, util
from typing import Any, NamedTuple

HERE = sys._getframe().f_code.co_filename  # the kernel defines no __file__

PREFIX = "mlops-run-"
"""Of the folder that each attempt has on local disk; those that killed runs left are removed after a day."""
DAY = 24 * 60 * 60
MIB = 1024 * 1024
MOST = 64 * MIB
TAIL = 64 * 1024
"""Bytes of output that are copied in all, and those of its end that are kept where it is longer."""
PACES = ((60, 1), (600, 2), (3600, 5), (float("inf"), 15))
"""Seconds between two files of output, by the seconds that the run has taken."""
PATIENCE = 5
"""Seconds in which processes that the entry point left running may still print."""
BROUGHT = ("pyspark", "databricks-connect")
HARMLESS = {"cache-dir", "config-file", "default-timeout", "disable-pip-version-check", "no-input", "timeout", "user"}
"""pip's settings that lead to no other files."""
ECHO = 0.05
"""Seconds in which a stream of the kernel that leads to descriptor 1 shows it."""
FIGHTING = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID")
DOING = {
    "start": "begin the run",
    "unpack": "unpack the project",
    "install": "install the requirements",
    "verify": "verify the wheels",
    "run": "begin the entry point",
    "end": "put the kernel in order",
}
ATEXIT = ("register", "unregister")
STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


class Problem(Exception):
    """Why the entry point did not begin, in one line: what was wrong, where, and what to do."""


class Ended(NamedTuple):
    """How the entry point ended. `code` is None for an exception; `raised` is what the kernel shall show."""

    code: int | None
    error: str = ""
    trace: str = ""
    raised: BaseException | None = None


def main(path: str, kernel: dict[str, Any]) -> BaseException | None:
    """Run what the file at `path` says. What the kernel is to raise; None where the entry point ended well."""
    attempt = Attempt(path)
    try:
        run = attempt.read()
        attempt.write("started.json")
        with local_folder(run["attempt"]) as home, Output(home, attempt), put_back(home):
            ended = drive(attempt, home, kernel)
    except (Problem, OSError) as problem:
        line = " ".join(f"could not {DOING[attempt.phase]} ({attempt.phase}): {problem}".split())
        ended = Ended(None, line, "", RuntimeError(line))
    except BaseException as fault:
        ended = Ended(None, last_line(fault), "".join(format_exception(fault)), fault)
    attempt.write(
        "result.json",
        exit_code=ended.code,
        error=ended.error,
        trace=ended.trace,
        phase=attempt.phase,
        wheels=attempt.wheels,
        output=attempt.output,
    )
    return ended.raised


def drive(attempt: Attempt, home: str, kernel: dict[str, Any]) -> Ended:
    run = attempt.run
    set_variables(run["variables"])
    attempt.phase = "unpack"
    project = unpack(run["archive"], home)
    folders = []
    if run["install"] is not None:
        attempt.phase = "install"
        folders.append(install(run, home))
        if run["workers"]:
            send_to_workers(run["wheels"], home, kernel)
    attempt.phase = "verify"
    for wheel in run["wheels"]:
        folders.append(verify(wheel))
        attempt.wheels.append({"distribution": wheel["distribution"], "sha256": wheel["sha256"]})
    lead_children_to(folders)
    attempt.phase = "run"
    places = (os.path.join(home, f"download{number}") for number in itertools.count())
    downloads = {token: download(uri, place) for (token, uri), place in zip(run["downloads"].items(), places)}
    os.chdir(project)
    if "script" in run["entry_point"]:
        ended = run_script(project, run["entry_point"], downloads)
    else:
        ended = run_command(run["entry_point"]["command"], downloads)
    attempt.phase = "end" if ended.code is not None else "run"
    return ended


class Attempt:
    """What run.json says, and what becomes of it: the phase that it has come to, and what was found on the way."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder = os.path.dirname(path)
        self.run: dict[str, Any] = {}
        self.phase = "start"
        self.wheels: list[dict[str, str]] = []
        self.output = {"files": 0, "bytes": 0, "truncated": False, "kept": False}

    def read(self) -> dict[str, Any]:
        try:
            with open(self.path, encoding="utf-8") as file:
                self.run = json.load(file)
        except (OSError, ValueError) as fault:
            raise Problem(f"{self.path} cannot be read: {fault}; submit the run again") from None
        if self.run.get("version") != 1:
            raise Problem(f"{self.path} has version {self.run.get('version')}, not 1; submit the run again")
        self.folder = self.run["folder"]
        return self.run

    def write(self, name: str, **facts: Any) -> None:
        """Nothing where the store can't be written: the job's own answer says how the run ended."""
        about = {"version": 1, "attempt": self.run.get("attempt", ""), **facts, "python": platform.python_version()}
        text = json.dumps({**about, "runtime": os.environ.get("DATABRICKS_RUNTIME_VERSION", "")})
        with contextlib.suppress(OSError), open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def set_streams(*streams: Any) -> None:
    for name, stream in zip(STREAMS, streams):
        setattr(sys, name, stream)


class Output:
    """What is printed, on its way to where it went before and, piece by piece, into the store.

    The descriptors 1 and 2, sys.stdout and sys.stderr share one pipe, so that the order is kept and the output of child
    processes is in it. One thread empties the pipe, whatever becomes of its readers; another copies to the store,
    which may be slow.
    """

    def __init__(self, home: str, attempt: Attempt) -> None:
        self.home = home
        self.folder = os.path.join(attempt.folder, "output")
        self.count = attempt.output
        self.spool = open(os.path.join(home, "output"), "w+b", buffering=0)
        self.size = self.left_out = 0
        self.tail = b""
        self.ended = threading.Event()
        self.begun = time.monotonic()

    def __enter__(self) -> None:
        self.before = tuple(getattr(sys, name) for name in STREAMS)
        out = io.open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: UP020 - IPython's open refuses 1
        err = io.open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: UP020
        self.flush()
        self.pipe, entrance = os.pipe()
        self.saved = [os.dup(1), os.dup(2)]
        os.dup2(entrance, 1)
        os.dup2(entrance, 2)
        os.close(entrance)
        self.kernel = self.find_kernel()
        set_streams(out, err, out, err)
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self.read, self.copy)]
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self.flush()
        set_streams(*self.before)
        for number, saved in enumerate(self.saved, 1):
            os.dup2(saved, number)
        self.threads[0].join(PATIENCE)
        if self.threads[0].is_alive():
            say(f"a process that was left running may print more; after {PATIENCE} s no more is kept of it")
        self.ended.set()
        self.threads[1].join(60)
        if self.threads[1].is_alive():
            self.count["kept"] = False
        elif not self.threads[0].is_alive():
            self.spool.close()
            for number in (self.pipe, *self.saved):
                os.close(number)

    def flush(self) -> None:
        for name in STREAMS:
            with contextlib.suppress(Exception):
                getattr(sys, name).flush()

    def find_kernel(self) -> Any:
        """The kernel's stream where it is no file; one that leads to descriptor 1 would bring all back for ever."""
        stream, runtime = sys.stdout, os.environ.get("DATABRICKS_RUNTIME_VERSION", "?")
        with contextlib.suppress(Exception):
            with contextlib.suppress(OSError, AttributeError):
                if stream.fileno() in (1, 2):
                    return None
            stream.write(f"mlops_tasks: Python {platform.python_version()}, runtime {runtime}\n")
            stream.flush()
            if not select.select([self.pipe], [], [], ECHO)[0]:
                return stream
            os.write(self.saved[0], os.read(self.pipe, MIB))
        return None

    def read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for chunk in iter(lambda: os.read(self.pipe, 64 * 1024), b""):
            with contextlib.suppress(Exception):  # whatever the kernel's stream raises, the entry point goes on
                if self.kernel is None:
                    os.write(self.saved[0], chunk)
                else:
                    self.kernel.write(decoder.decode(chunk))
            with contextlib.suppress(OSError):
                self.keep(chunk)
        with contextlib.suppress(Exception):
            self.kernel.flush()

    def keep(self, chunk: bytes) -> None:
        room = max(0, MOST - 2 * TAIL - self.size)
        self.spool.write(chunk[:room])
        self.size += len(chunk[:room])
        self.left_out += len(chunk[room:])
        self.tail = (self.tail + chunk[room:])[-TAIL:]

    def copy(self) -> None:
        """The folder is touched with each look: a run that takes days is not what a killed one left."""
        self.count["kept"] = True
        while not self.ended.wait(next(pace for until, pace in PACES if time.monotonic() - self.begun < until)):
            with contextlib.suppress(OSError):
                os.utime(self.home)
            self.copy_piece(last=False)
        while self.copy_piece(last=True):
            pass
        if self.tail:
            left = self.left_out - len(self.tail)
            self.count["truncated"] = True
            self.write(b"\nmlops_tasks: %d bytes are left out here; the job's log has them\n" % left + self.tail)

    def copy_piece(self, *, last: bool) -> bool:
        """Write what is new to the next file, up to a line's end where there is one; whether there was any."""
        piece = os.pread(self.spool.fileno(), MIB, self.count["bytes"])
        if not last or len(piece) == MIB:
            piece = piece[: piece.rfind(b"\n") + 1] or piece
        return bool(piece) and self.write(piece)

    def write(self, piece: bytes) -> bool:
        """False from the first time on that the store can't be written."""
        if self.count["kept"]:
            path = os.path.join(self.folder, f"{self.count['files'] + 1:06}-{len(piece)}.txt")
            try:
                os.makedirs(self.folder, exist_ok=True)
                with open(path, "wb") as file:
                    file.write(piece)
                self.count["files"] += 1
                self.count["bytes"] += len(piece)
            except OSError:
                self.count["kept"] = False
        return bool(self.count["kept"])


def say(line: str) -> None:
    sys.stderr.write(f"mlops_tasks: {line}\n")


def format_exception(raised: BaseException) -> list[str]:
    return traceback.format_exception(type(raised), raised, raised.__traceback__)


def last_line(raised: BaseException) -> str:
    return " ".join(traceback.format_exception_only(type(raised), raised)[-1].split())


def read_sha256(path: str, copy: str | None = None) -> str:
    """The hash of a file's bytes, which are written to `copy` on the way: what was hashed is what is used."""
    digest = hashlib.sha256()
    with open(path, "rb") as file, open(copy or os.devnull, "wb") as out:
        for chunk in iter(lambda: file.read(MIB), b""):
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


def check_sha256(path: str, wanted: str, copy: str | None = None) -> None:
    found = read_sha256(path, copy)
    if found != wanted:
        raise Problem(f"{path} has SHA-256 {found}, and {wanted} was sent: it was changed since; release again")


@contextlib.contextmanager
def local_folder(attempt: str) -> Iterator[str]:
    """A folder on local disk for this attempt alone, gone at its end; a run that goes on touches its own."""
    disk = "/local_disk0/tmp"
    base = disk if os.access(disk, os.W_OK) else tempfile.gettempdir()
    for entry in os.scandir(base):
        with contextlib.suppress(OSError):
            if entry.name.startswith(PREFIX) and entry.stat(follow_symlinks=False).st_mtime < time.time() - DAY:
                shutil.rmtree(entry.path, ignore_errors=True)
    home = os.path.realpath(tempfile.mkdtemp(prefix=f"{PREFIX}{attempt}-", dir=base))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def set_variables(variables: dict[str, str]) -> None:
    """Before anything of the user's is imported: MLflow reads most of them once. What says the opposite goes."""
    for name in FIGHTING:
        os.environ.pop(name, None)
    os.environ.update(variables)
    if "mlflow" in sys.modules and "MLFLOW_TRACKING_URI" in variables:
        sys.modules["mlflow"].set_tracking_uri(variables["MLFLOW_TRACKING_URI"])


def unpack(archive: dict[str, str], home: str) -> str:
    """The project's folder. Python 3.8 has no extraction filters: files first, so that no link leads one astray."""
    local, project = os.path.join(home, "project.tar.gz"), os.path.join(home, "project")
    check_sha256(archive["path"], archive["sha256"], local)
    os.mkdir(project)
    links: list[tuple[str, str]] = []
    try:
        with tarfile.open(local, "r:gz") as tar:
            for member in tar:
                place = inside(project, member.name)
                if member.isdir():
                    os.makedirs(place, exist_ok=True)
                elif member.isfile():
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    with open(place, "wb") as out:
                        shutil.copyfileobj(tar.extractfile(member) or io.BytesIO(), out)
                    os.chmod(place, member.mode & 0o777 | 0o600)
                elif member.issym():
                    links.append((member.linkname, place))
                else:
                    raise Problem(f"{member.name} in {archive['path']} is neither a file, a folder nor a symbolic link")
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as fault:
        raise Problem(f"{archive['path']} is no archive that can be read: {fault}; release again") from None
    for target, place in links:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(target, place)
    for _, place in links:
        inside(project, os.path.relpath(os.path.realpath(place), project))
    os.remove(local)
    return project


def inside(folder: str, name: str) -> str:
    place = os.path.normpath(os.path.join(folder, name))
    if os.path.isabs(name) or ".." in name.split("/") or not (place + os.sep).startswith(folder + os.sep):
        raise Problem(f"{name} leads out of the project's folder; release again without it")
    return place


def install(run: dict[str, Any], home: str) -> str:
    """The folder of what an existing cluster lacks, and of our wheels, for this run alone: first on sys.path.

    pip says what is missing beside what the kernel sees. Nothing is written to the cluster's own environment, where it
    would stay, and where a wheel of a version that is there already is not installed again.
    """
    target, report = os.path.join(home, "packages"), os.path.join(home, "report.json")
    lines, wheels = leave_out(run["install"]["lines"]), [wheel["path"] for wheel in run["wheels"]]
    own = {read_name(wheel["distribution"]) for wheel in run["wheels"]}
    os.mkdir(target)
    if wheels or not all(map(is_option, lines)):
        hashed = any("--hash" in line or line == "--require-hashes" for line in lines)
        listed = [f"{each['path']} --hash=sha256:{each['sha256']}" for each in run["wheels"] if hashed]
        given = [] if hashed else wheels  # pip takes hashes from files alone, and then wants all
        asked = write_lines(os.path.join(home, "requirements.txt"), lines + listed)
        call_pip("--dry-run", "--quiet", "--report", report, *asked, *given)
        with open(report, encoding="utf-8") as file:
            missing = [pin(each, lines, hashed=hashed) for each in json.load(file)["install"]]
        pins = sorted(line for line in missing if read_name(line) not in own.union(BROUGHT))
        names = [*(each.partition(" --hash")[0] for each in pins), *map(os.path.basename, wheels)]
        say(f"installed for this run: {', '.join(names)}")
        exactly = write_lines(os.path.join(home, "pins.txt"), [*filter(is_option, lines), *pins, *listed])
        exactly += [*given, "--no-deps", "--target", target]
        if not call_uv(*exactly):
            call_pip("--quiet", *exactly)
    sys.path.insert(0, target)
    importlib.invalidate_caches()
    for each in importlib.metadata.distributions(path=[target]):
        reload(each, ours=read_name(each.metadata["Name"]) in own)
    return target


def leave_out(lines: list[str]) -> list[str]:
    for line in lines:
        if read_name(line) in BROUGHT:
            say(f"{line} is left out: the cluster has its own, and another breaks it")
    return [line for line in lines if read_name(line) not in BROUGHT]


def is_option(line: str) -> bool:
    """Of those that hold for all lines: `-r` and `-e` bring requirements, `-c` says what pip has answered."""
    return line.startswith("-") and not re.match(r"-[rec]|--(requirement|editable|constraint)\b", line)


def read_name(line: str) -> str:
    """The distribution that a requirement begins with, as indexes spell it; nothing for options and addresses."""
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=\s*($|[\[@=<>!~;,(]))", line.strip())
    return re.sub(r"[-_.]+", "-", found.group()).lower() if found else ""


def pin(item: dict[str, Any], lines: list[str], *, hashed: bool) -> str:
    """The line that brings what pip's report names, and nothing else. pip leaves the secrets out of an address."""
    name, found = item["metadata"]["name"], item["download_info"]
    if not item["is_direct"]:
        about = found.get("archive_info", {})
        sha256 = about.get("hashes", {}).get("sha256") or about.get("hash", "").partition("=")[2]
        return f"{name}=={item['metadata']['version']}" + (f" --hash=sha256:{sha256}" if hashed else "")
    given = [line for line in lines if read_name(line) == read_name(name) and "@" in line]
    source = found.get("vcs_info")
    address = f"{source['vcs']}+{found['url']}@{source['commit_id']}" if source else found["url"]
    return given[0] if given else f"{name} @ {address}"


def write_lines(path: str, lines: list[str]) -> list[str]:
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return ["-r", path]


def call_pip(*words: str) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    done = subprocess.run([*pip, *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode and "no such option" in said:
        raise Problem(
            "pip is older than 22.2 here, and can't say what is missing: use a newer runtime, or a job cluster"
        )
    if done.returncode:
        sys.stderr.write(said)
        errors = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines() or ["no word"]
        raise Problem(f"pip ended with {done.returncode}: {errors[-1]}; the lines before this one say more")


def call_uv(*words: str) -> bool:
    """False where uv is not there or can't do it. It reads none of pip's settings: where one matters, pip has to."""
    uv = shutil.which("uv", path=os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", ""))
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, check=False)
    settings = (line.partition("=")[0].rpartition(".")[2] for line in asked.stdout.decode().splitlines())
    if uv is None or set(settings) - HARMLESS:
        return False
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--link-mode", "copy", *words]
    return subprocess.call(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def reload(installed: importlib.metadata.Distribution, *, ours: bool) -> None:
    """What the kernel has loaded already stays what it was: our own modules are forgotten, of others it is said."""
    files = [str(file) for file in installed.files or () if str(file).endswith((".py", ".so"))]
    own = {re.sub(r"(/__init__)?(\.[^/]+)?$", "", file).replace("/", ".") for file in files}
    loaded = [name for name in sys.modules if own & set(itertools.accumulate(name.split("."), "{}.{}".format))]
    if ours:
        for name in loaded:
            del sys.modules[name]
    elif loaded:
        said = f"{installed.metadata['Name']} {installed.version} is installed for this run, but this kernel has loaded"
        say(f"{said} another before; where that matters, use a job cluster")


def send_to_workers(wheels: list[dict[str, str]], home: str, kernel: dict[str, Any]) -> None:
    copies = [archive_for_workers(wheel, home) for wheel in wheels]
    try:
        session = kernel.get("spark") or find_session()
        for copy in copies:
            if type(session).__module__.startswith("pyspark.sql.connect"):
                session.addArtifact(copy, pyfile=True)
            else:
                session.sparkContext.addPyFile(copy)
    except Exception as fault:  # Spark's, Java's and gRPC's
        raise Problem(f"the wheels cannot be sent to the workers: {last_line(fault)}; use a job cluster") from None


def find_session() -> Any:
    from pyspark.sql import SparkSession

    return SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()


def archive_for_workers(wheel: dict[str, str], home: str) -> str:
    """A zip file, which is what Spark puts on sys.path; named by its content, as Spark takes a name once."""
    with zipfile.ZipFile(wheel["path"]) as archive:
        if any(name.endswith((".so", ".pyd")) for name in archive.namelist()):
            said = f"{wheel['path']} has compiled modules, which cannot be sent to the workers of a running cluster"
            raise Problem(f"{said}: use a job cluster (new_cluster), or leave out the setting `workers`")
    return shutil.copyfile(wheel["path"], os.path.join(home, f"{wheel['distribution']}-{wheel['sha256'][:16]}.zip"))


def verify(wheel: dict[str, str]) -> str:
    """The folder in which `wheel` is installed; Problem unless each installed file has the bytes of the wheel's.

    pip's direct_url.json is not always there, and a library that a cluster has already is not installed again.
    """
    path, name = wheel["path"], wheel["distribution"]
    check_sha256(path, wheel["sha256"])
    found = find_distribution(name)
    if found is None:
        said = f"{name} is not installed here: no distribution of that name, which {path} should have become"
        raise Problem(f"{said}; see the libraries on the run's page")
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            place = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", member)
            if place.endswith((".dist-info/RECORD", "/")) or re.match(r"[^/]+\.data/", place):
                continue  # scripts and data are written elsewhere, and with other bytes
            wanted, installed = hashlib.sha256(archive.read(member)).hexdigest(), str(found.locate_file(place))
            there = read_sha256(installed) if os.path.isfile(installed) else "none"
            if there != wanted:
                raise Problem(
                    f"{name} {found.version} as installed here is not {path}: {installed} has SHA-256 {there}, in the "
                    f"wheel {wanted}. An earlier install was kept: run on a new cluster, or restart this one"
                )
    return str(found.locate_file(""))


def find_distribution(name: str) -> importlib.metadata.Distribution | None:
    """The first on sys.path: Python 3.8 and 3.9 don't find names with dots by themselves."""
    wanted = read_name(name)
    return next(
        (each for each in importlib.metadata.distributions() if read_name(each.metadata["Name"] or "") == wanted), None
    )


def lead_children_to(folders: list[str]) -> None:
    """Another Python that the entry point starts finds the wheels too."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, dict.fromkeys([*folders, *known])))


def download(uri: str, folder: str) -> str:
    """As `mlflow run` has it with a parameter of type path."""
    try:
        from mlflow import artifacts

        os.mkdir(folder)
        return str(artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
    except Exception as fault:
        raise Problem(f"{uri} cannot be downloaded: {last_line(fault)}; see that this cluster may read it") from None


def replace_tokens(text: str, values: dict[str, str]) -> str:
    for token, value in values.items():
        text = text.replace(token, value)
    return text


def run_command(command: str, downloads: dict[str, str]) -> Ended:
    command = replace_tokens(command, {token: shlex.quote(path) for token, path in downloads.items()})
    beside = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", os.defpath)
    environ = {"PYTHONUNBUFFERED": "1", **os.environ, "PATH": beside, **find_login()}
    sys.stdout.flush()
    code = subprocess.call(["bash", "-c", command], env=environ, stdin=subprocess.DEVNULL)
    return ended_with(128 - code if code < 0 else code, "the entry point's command")


def find_login() -> dict[str, str]:
    """For the child alone, which can't ask the kernel; a script in this process logs in by itself."""
    if os.environ.get("DATABRICKS_HOST") and os.environ.get("DATABRICKS_TOKEN"):
        return {}
    try:
        from databricks.sdk.core import Config

        config = Config()
        kind, _, token = config.authenticate()["Authorization"].partition(" ")
        if kind == "Bearer" and config.host:
            return {"DATABRICKS_HOST": config.host, "DATABRICKS_TOKEN": token}
    except Exception as fault:  # the SDK raises what its many strategies raise
        say(f"no login for the command: {type(fault).__name__}; what it logs to MLflow may be refused")
    return {}


def ended_with(code: int, name: str) -> Ended:
    error = f"{name} ended with exit code {code}"
    return Ended(code, error, "", RuntimeError(error)) if code else Ended(0)


def run_script(project: str, entry_point: dict[str, Any], downloads: dict[str, str]) -> Ended:
    """`python script arguments`, but in this process, which alone can reach the Spark session."""
    script = entry_point["script"]
    file = os.path.join(project, script)
    if not os.path.isfile(file):
        raise Problem(f"{script} is not in the project as it was sent: what git ignores stays behind")
    module = types.ModuleType("__main__")
    vars(module).update(__file__=file, __builtins__=builtins, __cached__=None, __annotations__={})
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module  # the second for what spawned processes send back
    sys.argv = [script, *(replace_tokens(each, downloads) for each in entry_point["arguments"])]
    sys.path.insert(0, os.path.dirname(os.path.realpath(file)))
    hook, exits, process = sys.excepthook, Exits(), os.getpid()
    try:
        with open(file, "rb") as opened:
            source = opened.read()
        exec(compile(source, file, "exec", dont_inherit=True), vars(module))
        ended = Ended(0)
    except SystemExit as left:
        ended = ended_with(exit_code(left.code), script)
    except BaseException as fault:
        ended = describe(fault, project)
        if sys.excepthook is not hook:
            sys.excepthook(type(fault), fault, fault.__traceback__)
    exits.run()
    if os.getpid() != process:  # forked by the entry point: no second kernel
        sys.stderr.write(ended.trace)
        sys.stdout.flush()
        os._exit(1 if ended.code is None else ended.code)
    return ended


def exit_code(given: Any) -> int:
    """As Python has it: no value is 0, any other but a number is printed and is 1; a shell sees eight bits."""
    if given is None or isinstance(given, int):
        return int(given or 0) & 0xFF
    sys.stderr.write(f"{given}\n")
    return 1


def describe(raised: BaseException, project: str) -> Ended:
    """With the user's frames alone, and their lines kept: the files are gone when the kernel shows them."""
    while raised.__traceback__ and raised.__traceback__.tb_frame.f_code.co_filename == HERE:
        raised.__traceback__ = raised.__traceback__.tb_next
    left: list[BaseException | None] = [raised]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            left += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
            for frame, _ in traceback.walk_tb(each.__traceback__):
                name = frame.f_code.co_filename
                lines = linecache.getlines(name, frame.f_globals) if name.startswith(os.path.dirname(project)) else []
                if lines:
                    linecache.cache[name] = (len("".join(lines)), None, lines, name)  # None: never looked for again
    trace = "".join(format_exception(raised)).replace(project + os.sep, "")
    return Ended(None, last_line(raised).replace(project + os.sep, ""), trace, raised)


class Exits:
    """What Python does at its end, for what the entry point began: a kernel does it late or never."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self.threads = set(threading.enumerate()) - {threading.current_thread()}
        self.children = set(multiprocessing.active_children())
        self.finalizers: dict[Any, Any] = vars(weakref.finalize)["_registry"]
        self.pools: dict[Any, Any] = vars(util)["_finalizer_registry"]
        self.known = {*self.finalizers, *self.pools}
        self.tracker: Any = resource_tracker._resource_tracker
        self.tracking = vars(self.tracker)["_fd"] is not None
        self.mlflow: Any = sys.modules.get("mlflow.tracking.fluent")
        self.before: Any = (atexit.register, atexit.unregister)
        vars(atexit).update(register=self.register, unregister=self.unregister)

    def register(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        if threading.current_thread() in self.threads:
            self.before[0](call, *args, **kwargs)  # the kernel's own
        else:
            self.calls.append((call, args, kwargs))
        return call

    def unregister(self, call: Callable[..., Any]) -> None:
        self.calls = [each for each in self.calls if each[0] != call]
        self.before[1](call)

    def run(self) -> None:
        """In Python's own order: threads, atexit's handlers from the last to the first, what they would have called."""
        self.wait_for_threads()
        while self.calls:
            call, args, kwargs = self.calls.pop()
            self.attempt(call, *args, **kwargs)
        if self.mlflow:  # imported before, so that its own handler is the kernel's
            self.attempt(self.mlflow.end_run)
        for finalizer in [each for each in self.finalizers if each not in self.known][::-1]:
            if finalizer.atexit:
                self.attempt(finalizer)
        for key in sorted((each for each in set(self.pools) - self.known if each[0] is not None), reverse=True):
            self.attempt(self.pools.get(key, int))
        for child in set(multiprocessing.active_children()) - self.children:
            if child.daemon:
                child.terminate()
            child.join()
        if not self.tracking:  # a process that would hold descriptors 1 and 2
            self.attempt(self.tracker._stop)

    def wait_for_threads(self) -> None:
        """For all that aren't daemons; the workers of pools, which would wait for work for ever, are sent home."""
        pools: dict[Any, Any] = {}
        for name, attribute in (("thread", "_threads_queues"), ("process", "_threads_wakeups")):
            pools.update(vars(sys.modules.get(f"concurrent.futures.{name}", object)).get(attribute, {}))
        while True:
            left: list[Any] = [each for each in threading.enumerate() if each in pools or not each.daemon]
            left = [each for each in left if each not in self.threads and each is not threading.current_thread()]
            for thread in left:
                if thread in pools:
                    with contextlib.suppress(AttributeError):  # the thread, or its pool, has just ended
                        (getattr(thread, "executor_reference", None) or thread._args[0])().shutdown(wait=False)
                thread.join()
            if not left:
                return

    def attempt(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        try:
            call(*args, **kwargs)
        except BaseException:  # as atexit does: it is shown, and the next one is called
            traceback.print_exc()


@contextlib.contextmanager
def put_back(home: str) -> Iterator[None]:
    """The process as `python FILE` finds it, and afterwards as the kernel had it."""
    path, environ = list(sys.path), dict(os.environ)
    cwd = os.sep
    with contextlib.suppress(OSError):  # a folder that is gone
        cwd = os.getcwd()
    kept: list[Any] = [(sys.modules, name, sys.modules.get(name)) for name in ("__main__", "__mp_main__")]
    for owner, names in ((sys, ("argv", "stdin", "excepthook")), (builtins, ("exit", "quit")), (atexit, ATEXIT)):
        kept += [(vars(owner), name, vars(owner).get(name)) for name in names]
    handlers = {each: signal.getsignal(each) for each in signal.valid_signals()}
    loop, policy = asyncio._get_running_loop(), asyncio.get_event_loop_policy()
    asyncio._set_running_loop(None)
    asyncio.set_event_loop_policy(None)
    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    sys.stdin = open(os.devnull, encoding="utf-8")
    try:
        yield
    finally:
        sys.stdin.close()
        for place, name, value in kept:
            place.pop(name, None) if value is None else place.update({name: value})
        sys.path[:] = path
        for name in set(os.environ) - set(environ):
            del os.environ[name]
        os.environ.update(environ)
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(home + os.sep):
                del sys.modules[name]
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                with contextlib.suppress(ValueError):  # not the main thread, which alone could have changed it
                    signal.signal(number, handler)
        asyncio.set_event_loop_policy(policy)
        asyncio._set_running_loop(loop)
        with contextlib.suppress(OSError):
            os.chdir(cwd)


if __name__ == "__main__":
    ENDED = main(sys.argv[1], globals())
    if ENDED is not None:
        raise ENDED
