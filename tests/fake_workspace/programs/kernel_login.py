"""What logs in inside a cluster's kernel, for databricks-sdk to find: written into a folder of the kernel's own.

Other processes of the task find it too, where they have the kernel's PYTHONPATH, and are told nothing.
"""

from __future__ import annotations

from pathlib import Path

_PROVIDER = """\
HOST, TOKEN = {host!r}, {token!r}


def init_runtime_native_auth():
    with open("/proc/self/cmdline", "rb") as file:
        is_kernel = {kernel!r} in file.read()
    return (HOST, lambda: {{"Authorization": "Bearer " + TOKEN}}) if is_kernel else (None, None)
"""


def write(folder: Path, *, host: str, token: str, kernel: Path) -> Path:
    """The folder for PYTHONPATH, where `kernel` is the program whose process is the kernel."""
    package = folder / "dbruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    text = _PROVIDER.format(host=host, token=token, kernel=str(kernel).encode())
    (package / "sdk_credential_provider.py").write_text(text)
    return folder
