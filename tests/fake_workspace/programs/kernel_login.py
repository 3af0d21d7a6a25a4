"""What logs in inside a cluster's kernel, for databricks-sdk to find: written into a folder of the kernel's own.

Other processes of the task find it too, where they have the kernel's PYTHONPATH, and are told nothing.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = """\
with open("/proc/self/cmdline", "rb") as file:
    IS_KERNEL = {kernel!r} in file.read()

if IS_KERNEL:

    class UserNamespaceInitializer:
        getOrCreate = classmethod(lambda each: each())

        def get_namespace_globals(self):
            return {{}}
"""
_PROVIDER = """\
from dbruntime import IS_KERNEL

HOST, TOKEN = {host!r}, {token!r}


def init_runtime_native_auth():
    return (HOST, lambda: {{"Authorization": "Bearer " + TOKEN}}) if IS_KERNEL else (None, None)
"""


def write(folder: Path, *, host: str, token: str, kernel: Path) -> Path:
    """The folder for PYTHONPATH, where `kernel` is the program whose process is the kernel."""
    package = folder / "dbruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(_PACKAGE.format(kernel=str(kernel).encode()))
    (package / "sdk_credential_provider.py").write_text(_PROVIDER.format(host=host, token=token))
    return folder
