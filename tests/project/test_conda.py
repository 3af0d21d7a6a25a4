from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from mlops_tasks.project import conda, conda_names


@pytest.mark.parametrize(
    ("package", "requirement"),
    [
        pytest.param("numpy", "numpy", id="name alone"),
        pytest.param("numpy=1.26", "numpy==1.26.*", id="a version and all below it"),
        pytest.param("numpy 1.26.*", "numpy==1.26.*", id="star"),
        pytest.param("numpy=1.26*", "numpy==1.26.*", id="star without a point"),
        pytest.param("numpy==1.26.4", "numpy==1.26.4", id="one version"),
        pytest.param("pytz 2023.3", "pytz==2023.3", id="one version after a blank"),
        pytest.param("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4", id="build"),
        pytest.param("numpy ==1.26.4 py311*", "numpy==1.26.4", id="build after a blank"),
        pytest.param("numpy >= 1.26 , < 2 =py311", "numpy>=1.26,<2", id="blanks everywhere"),
        pytest.param("pytz=2023.3.post1", "pytz==2023.3.post1", id="post version"),
        pytest.param("numpy!=1.26.*", "numpy!=1.26.*", id="all but these"),
        pytest.param("numpy>=1.26.*", "numpy>=1.26", id="star that means nothing"),
        pytest.param("numpy~=1", "numpy>=1,==1.*", id="compatible with one number"),
        pytest.param("numpy<2.0a0", "numpy<2.0", id="below its first versions too"),
        pytest.param("numpy >=1,<2|>3", "numpy>3", id="the newer of two ranges"),
        pytest.param("numpy[version='>=1.24',build=py*]", "numpy>=1.24", id="brackets"),
        pytest.param("numpy=1.20[version=1.26]", "numpy==1.26", id="brackets win"),
        pytest.param("conda-forge/linux-64::scikit-learn=1.5", "scikit-learn==1.5.*", id="channel"),
        pytest.param("numpy=1.26  # why", "numpy==1.26.*", id="comment"),
        pytest.param("pytorch>=2", "torch>=2", id="another name"),
    ],
)
def test_a_conda_package_becomes_a_requirement(package: str, requirement: str) -> None:
    assert conda.to_requirement(package) == requirement


@pytest.mark.parametrize(
    ("package", "why"),
    [
        ("openssl=1.1.1h", "no Python package"),
        ("_libgcc_mutex=0.1=main", "no Python package"),
        ("LibGomp", "no Python package"),
        ("jpeg9=9b", "no version '9b'"),
        ("tzdata=2023c", "no version '2023c'"),
        ("numpy=1.2_3", "no version '1.2_3'"),
        ("numpy>=1,,<2", "a version is missing"),
        ("numpy=", "version"),
        ("numpy=>1", "no versions like"),
        ("numpy[extra]", "cannot be read"),
        ("*[name=numpy", "does not name one package"),
        ("=1.0", "does not name one package"),
        ("six-1.16.0-py_0.conda", "conda's own format"),
        ("numpy=" + "9" * 5000, "no version"),
    ],
)
def test_what_pypi_cannot_have_is_told_with_the_reason(package: str, why: str) -> None:
    with pytest.raises(conda.NotOnPyPI, match=why.replace("(", r"\(")):
        conda.to_requirement(package)


_SIGNS = st.sampled_from(["", "=", "==", "!=", ">=", "<=", ">", "<", "~=", "===", " ", " >= "])
_VERSIONS = st.sampled_from(
    [
        *("", "1", "1.26", "1.26.*", "1.26*", "*", "2.0a0", "2.0.dev1", "1.0rc1", "1.0.post1", "2023c", "1.1.1h"),
        *("1!2.0", "1.0+cu118", "1_0", "1.0-1", "1.*.2", "^1$", "v1.0", "1.0.0.0", "00.1", "1.0alpha", "x"),
    ]
)
_CLAUSES = st.builds("{}{}".format, _SIGNS, _VERSIONS)
_NAMES = st.sampled_from(
    ["numpy", "PyYAML", "ruamel_yaml", "a::b", "c/linux-64::numpy", "_x", "x_", "blas_*", "", "a.b"]
)
_TAILS = st.sampled_from(["", "=py311_0", " py*", "[build=1]", "[version='>=1,<2|3']", " # x", "[x]", " if linux"])
SPECS = st.builds(
    "{}{}{}{}".format,
    _NAMES,
    _CLAUSES,
    st.lists(st.builds("{}{}".format, st.sampled_from([",", "|", " , ", " "]), _CLAUSES), max_size=3).map("".join),
    _TAILS,
)


@given(SPECS | st.text() | st.text(alphabet="ab1.*=<>!~,|[]' :_-#+", max_size=20))
@example("numpy=1.0+a")
@example("numpy~=1.0+a")
@example("numpy~=1.0a1")
def test_whatever_stands_in_a_yaml_no_invalid_requirement_comes_of_it(text: str) -> None:
    try:
        line = conda.to_requirement(text)
    except conda.NotOnPyPI:
        return
    found = Requirement(line)
    assert (found.url, found.marker, found.extras) == (None, None, set())
    assert not conda_names.is_condas_own(conda.read(text).name)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("asked", "inside", "outside", "minor"),
    [
        ("python", "3.11.7", "", None),
        ("python=3.11", "3.11.7", "3.12.0", "3.11"),
        ("python 3.11.*", "3.11.7", "3.10.2", "3.11"),
        ("python=3.11.7=h955ad1f_0_cpython", "3.11.7", "3.11.8", "3.11"),
        ("python<3.13", "3.12.9", "3.13.0", None),
        ("python>=3.9", "3.11.7", "3.8.1", None),
        ("python!=3.9.1", "3.9.2", "3.9.1", None),
        ("python~=3.11", "3.12.0", "3.10.9", None),
        ("python~=3.11.2", "3.11.7", "3.12.0", "3.11"),
        ("python=3", "3.11.7", "2.7.18", None),
        ("python[version='>=3.8,<3.10|>=3.12']", "3.12.1", "3.11.7", None),
    ],
)
def test_a_python_is_compared_as_the_range_that_it_is(asked: str, inside: str, outside: str, minor: str | None) -> None:
    found = conda.read(asked)

    assert (found.name, found.allows(inside), found.minor) == ("python", True, minor)
    assert not outside or not found.allows(outside)


@pytest.mark.parametrize("text", ["pip", "PIP<=25.2", "pip 24", "conda-forge::pip", "pip[version='>1']", "pip =23=x"])
def test_a_package_is_known_by_its_name_in_any_spelling(text: str) -> None:
    assert conda.name_of(text) == "pip"


@pytest.mark.parametrize("name", ["cuda-nvcc", "libgomp", "r-dplyr", "xorg-libx11", "gcc_linux-64", "sqlite", "zlib"])
def test_what_only_conda_has_is_known(name: str) -> None:
    assert conda_names.is_condas_own(name)


@pytest.mark.parametrize("name", ["numpy", "librosa", "llvmlite", "cuda-python", "mysql-connector-python", "tzdata"])
def test_a_python_package_is_not_taken_for_condas_own(name: str) -> None:
    assert not conda_names.is_condas_own(name)
