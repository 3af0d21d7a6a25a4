"""What logs in inside a cluster's kernel: written into a folder of the kernel's own.

databricks-sdk finds its part by itself, and so does MLflow 3. MLflow 2 asks the kernel's IPython for
dbutils.entry_point before it looks at the context, and matplotlib asks it for its events; there is what they take and
no more. The kernel imports `dbruntime`, which puts its IPython among the modules: in the folder it would hide a real
one from other processes. These find the rest, where they have the kernel's PYTHONPATH, and are told nothing.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = """\
with open("/proc/self/cmdline", "rb") as file:
    IS_KERNEL = {kernel!r} in file.read()

if IS_KERNEL:
    import sys
    from importlib.machinery import ModuleSpec
    from importlib.util import module_from_spec
    from types import SimpleNamespace

    class UserNamespaceInitializer:
        getOrCreate = classmethod(lambda each: each())

        def get_namespace_globals(self):
            return {{}}

    java = SimpleNamespace(notebook=SimpleNamespace)
    entry_point = SimpleNamespace(getDbutils=lambda: java, getLogger=SimpleNamespace)
    names = {{"dbutils": SimpleNamespace(entry_point=entry_point)}} if {entry_point!r} else {{}}
    events = SimpleNamespace(register=lambda name, call: None)
    shell = SimpleNamespace(ns_table={{"user_global": names}}, events=events)
    sys.modules["IPython"] = module_from_spec(ModuleSpec("IPython", None))
    sys.modules["IPython"].get_ipython = lambda: shell
    sys.modules["IPython"].version_info = (8, 30, 0)
"""
_PROVIDER = """\
from dbruntime import IS_KERNEL

HOST, TOKEN = {host!r}, {token!r}


def init_runtime_native_auth():
    return (HOST, lambda: {{"Authorization": "Bearer " + TOKEN}}) if IS_KERNEL else (None, None)
"""
_CONTEXT = """\
from types import SimpleNamespace

from dbruntime import IS_KERNEL
from dbruntime.sdk_credential_provider import HOST, TOKEN


def get_context():
    return SimpleNamespace(apiUrl=HOST, apiToken=TOKEN, sslTrustAll=False) if IS_KERNEL else None
"""


def write(folder: Path, *, host: str, token: str, kernel: Path, entry_point: bool) -> Path:
    """The folder for PYTHONPATH, where `kernel` is the program whose process is the kernel.

    Without an `entry_point` MLflow 2 finds no login.
    """
    package = folder / "dbruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(_PACKAGE.format(kernel=str(kernel).encode(), entry_point=entry_point))
    (package / "sdk_credential_provider.py").write_text(_PROVIDER.format(host=host, token=token))
    (package / "databricks_repl_context.py").write_text(_CONTEXT)
    return folder
