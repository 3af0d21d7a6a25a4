"""A workspace by hand: `python -m tests.fake_workspace [--port N] [--root DIR] [--volume NAME]`."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from tests.fake_workspace.server import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_workspace", description="Serve a test workspace.")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on (default: a free one)")
    parser.add_argument("--root", type=Path, help="the folder to keep it in (default: a temporary one)")
    parser.add_argument(
        "--volume",
        action="append",
        default=[],
        metavar="CATALOG.SCHEMA.VOLUME",
        help="a volume that it has (repeatable)",
    )
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Workspace(arguments.root, port=arguments.port) as workspace:
        for volume in arguments.volume:
            workspace.make_volume(*volume.split("."))
        for name, value in workspace.environment.items():
            print(f"export {name}={value}", flush=True)  # noqa: T201 -- what the program is for
        ended.wait()


if __name__ == "__main__":
    main()
