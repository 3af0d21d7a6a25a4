from __future__ import annotations

import pytest

from mlops_tasks.wheels import fitting


@pytest.mark.parametrize(
    ("file_name", "python", "fits"),
    [
        ("x-1-py3-none-any.whl", "3.9", True),
        ("x-1-py2.py3-none-any.whl", "3.12", True),
        ("x-1-py2-none-any.whl", "3.9", False),
        ("x-1-py310-none-any.whl", "3.9", False),
        ("x-1-cp39-cp39-manylinux_2_5_x86_64.whl", "3.9", True),
        ("x-1-cp39-cp39-manylinux_2_36_x86_64.whl", "3.9", False),
        ("x-1-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "3.9", True),
        ("x-1-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "3.10", False),
        ("x-1-cp37-cp37m-linux_x86_64.whl", "3.7", True),
        ("x-1-cp38-abi3-manylinux_2_28_aarch64.whl", "3.12", True),
        ("x-1-cp312-abi3-manylinux_2_28_x86_64.whl", "3.11", False),
        ("x-1-cp312-cp312-macosx_11_0_arm64.whl", "3.12", False),
        ("x-1-cp312-cp312-win_amd64.whl", "3.12", False),
        ("x-1-cp312-cp312-musllinux_1_2_x86_64.whl", "3.12", False),
    ],
)
def test_tags_tell_whether_a_wheel_installs_on_a_cluster(file_name: str, python: str, fits: bool) -> None:
    assert fitting.fits(fitting.parse_tags(file_name), python) is fits
