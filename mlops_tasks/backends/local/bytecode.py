"""Python's compiled files for a new environment, taken over from where the same sources were compiled before.

uv compiles nothing as it installs. The first run in an environment would compile MLflow and what it needs anew, some
1,700 files, which takes longer than all the rest of a short run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import struct
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlops_tasks import files

_HEADER = struct.Struct("<4sIII")
"""The first bytes of a compiled file: Python's magic number, flags, and the source's time (s) and size (PEP 552)."""
_SITE = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")


def bring(environment: Path, *, beside: Sequence[Path]) -> None:
    """Give `environment` what is compiled in this process, and in the first of those `beside` it that was used.

    A compiled file is taken for a source of the same bytes alone. What cannot be read or written is left to Python, and
    so is what the variables PYTHONPYCACHEPREFIX and PYTHONOPTIMIZE have Python keep elsewhere.
    """
    site = environment / _SITE
    for sources in (_compiled_in(beside), _imported()):
        for root, name in sources:
            with contextlib.suppress(OSError):
                _take_over(f"{root}/{name}", f"{site}/{name}")


def _compiled_in(environments: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The sources that are compiled in the first of the environments that has some: their root, and their names."""
    ending = f".{sys.implementation.cache_tag}.pyc"
    for site in (each / _SITE for each in environments):
        compiled = [name for name in files.walk(site) if name.endswith(ending)]
        for name in compiled:
            folder, _, own = name.rpartition("__pycache__/")
            yield str(site), f"{folder}{own.removesuffix(ending)}.py"
        if compiled:
            return


def _imported() -> Iterator[tuple[str, str]]:
    """The sources of the modules in this process that are installed, MLflow's mostly: their root, and their names."""
    sites = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    for module in list(sys.modules.values()):  # another thread may be importing
        file = getattr(module, "__dict__", {}).get("__file__")  # to ask the module itself may run its code
        for site in sites:
            if isinstance(file, str) and file.startswith(f"{site}/") and file.endswith(".py"):
                yield site, file.removeprefix(f"{site}/")


def _take_over(compiled: str, source: str) -> None:
    """Give `source` what `compiled` was compiled to, if both have the same bytes; OSError where a file is missing.

    Python itself corrects the path that a compiled file has of its source.
    """
    target = importlib.util.cache_from_source(source)
    if os.path.exists(target):
        return
    status, before = os.stat(source), os.stat(compiled)
    if status.st_size != before.st_size:
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    cached = importlib.util.cache_from_source(compiled)
    if os.path.samestat(status, before):  # uv links files from its cache
        os.link(cached, target)
        return
    code = _read(cached)
    if code[: _HEADER.size] == _header(before) and _read(source) == _read(compiled):
        # whole or not at all: one that is cut off would stop each import
        with files.written_whole(Path(target), is_kept=False) as stream:
            stream.write(_header(status) + code[_HEADER.size :])


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _header(source: os.stat_result) -> bytes:
    return _HEADER.pack(importlib.util.MAGIC_NUMBER, 0, int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF)
