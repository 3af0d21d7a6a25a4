"""A cluster's machine: this one in a mount namespace, with `/dbfs` and the like in its root, and nothing left after.

The root is built in memory and everything of the real one is mounted into it, so that no folder has to be made there.
Works as root, and as anybody where user namespaces are allowed. Processes have a namespace too: all end with the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

_BUILD_ROOT = Path(__file__).parent / "programs" / "build_root.sh"


def enter(
    command: Sequence[str],
    *,
    folders: Mapping[str, Path],
    hidden: Sequence[str] = (),
    read_only: Sequence[str] = (),
    cwd: str,
    root: Path,
    entered: Path,
) -> list[str]:
    """The command that runs `command` where `folders` lie under the root by their names, some of them `read_only`.

    Of folders that are `hidden` in these nothing can be seen. `root` is an empty folder of this machine's, `entered` a
    file that is there once the machine is.
    """
    spaces = ["--mount", "--pid", "--fork", "--kill-child", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    places = [
        word for name, folder in folders.items() for word in ("ro" if name in read_only else "rw", name, str(folder))
    ]
    places += [word for name in hidden for word in ("hidden", name, "")]
    return [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        *spaces,
        "sh",
        str(_BUILD_ROOT),
        str(root),
        str(entered),
        *places,
        "--",
        cwd,
        *command,
    ]
