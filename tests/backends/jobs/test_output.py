from __future__ import annotations

import pytest

from mlops_tasks.backends.jobs import output

TRACE = 'Traceback (most recent call last):\n  File "train.py", line 2\nValueError: no'
LISTING = ["mlflow-project/", "mlflow-project/train.py"]
COPYING = ["sending incremental file list", f"{'0a' * 32}.tar.gz", "", "sent 1,234 bytes  received 35 bytes", ""]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({"logs": "one\n"}, "one", id="output alone"),
        pytest.param({"logs": "one", "error": "ValueError: no", "error_trace": TRACE}, f"one\n{TRACE}", id="a trace"),
        pytest.param(
            {"logs": f"one\n{TRACE}\n", "error": "ValueError: no", "error_trace": TRACE}, f"one\n{TRACE}", id="twice"
        ),
        pytest.param(
            {"logs": f"{TRACE}  \ntwo", "error_trace": TRACE.replace("ValueError", "\x1b[0;31mValueError\x1b[0m")},
            f"{TRACE}  \ntwo",
            id="twice, once in colour",
        ),
        pytest.param({"error": "ValueError: no"}, "ValueError: no", id="an error alone"),
        pytest.param(
            {"logs": "two", "logs_truncated": True, "error": "E: 1", "error_trace": "Traceback\nE: 1"},
            "(the workspace keeps only the end of this output)\ntwo\nTraceback\nE: 1",
            id="only the end",
        ),
        pytest.param({"logs": "epoch 1", "error": "1"}, "epoch 1\n1", id="an error that is part of another line"),
        pytest.param({"logs": "E: 1", "error": "\x1b[31mE: 1\x1b[0m"}, "E: 1", id="an error twice, once in colour"),
        pytest.param({}, "", id="nothing"),
    ],
)
def test_what_was_printed_is_followed_by_whatever_else_is_known_once(found: dict[str, object], expected: str) -> None:
    assert output.join(found) == expected


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        pytest.param([*COPYING, *LISTING, "", "trained"], ["", "trained"], id="copied and unpacked"),
        pytest.param(["mlflow, version 3.17.2", *COPYING, *LISTING, "trained"], ["trained"], id="of a shell command"),
        pytest.param([*LISTING, "trained", *LISTING], ["trained", *LISTING], id="unpacked"),
        pytest.param([*COPYING, "trained"], [*COPYING, "trained"], id="not unpacked"),
        pytest.param(["trained", *LISTING], ["trained", *LISTING], id="later"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_mlflows_listing_is_left_out_where_the_output_begins_with_it(lines: list[str], shown: list[str]) -> None:
    assert output.leave_out_unpacking("\n".join(lines)) == shown
