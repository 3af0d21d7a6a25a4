from __future__ import annotations

from datetime import date

import pytest

from mlops_tasks.workspace import runtimes


@pytest.mark.parametrize(
    ("spark_version", "shown", "python"),
    [
        ("7.0.x-scala2.12", "runtime 7.0", "3.7"),
        ("9.1.x-cpu-ml-scala2.12", "runtime 9.1 ML", "3.8"),
        ("10.4.x-scala2.12", "runtime 10.4", "3.8"),
        ("12.2.x-gpu-ml-scala2.12", "runtime 12.2 ML", "3.9"),
        ("13.3.x-scala2.12", "runtime 13.3", "3.10"),
        ("14.3.x-photon-scala2.12", "runtime 14.3", "3.10"),
        ("15.4.x-cpu-ml-scala2.12", "runtime 15.4 ML", "3.11"),
        ("16.4.x-scala2.13", "runtime 16.4", "3.12"),
        ("18.x-scala2.13", "runtime 18", "3.12"),
        ("19.x-scala2.13", "runtime 19", "3.12"),
    ],
)
def test_a_known_runtime_tells_its_python(spark_version: str, shown: str, python: str) -> None:
    found = runtimes.parse(spark_version)

    assert found is not None
    assert (str(found), found.python, found.is_known) == (shown, python, True)


def test_of_a_runtime_after_the_table_nothing_is_guessed() -> None:
    found = runtimes.parse("20.1.x-scala2.13")

    assert found is not None
    assert (found.pythons, found.mlflow, found.is_known) == ((), None, False)


def test_a_runtime_before_the_table_is_at_most_as_good_as_its_first() -> None:
    old, first = runtimes.parse("6.4.x-esr-scala2.11"), runtimes.parse("7.0.x-scala2.12")

    assert old is not None
    assert first is not None
    assert (old.python, old.pythons[-1], old.python_basis) == (None, first.python, "assumed")
    assert old.has_ended(date(2026, 1, 1))


@pytest.mark.parametrize("spark_version", ["custom:my-image", "auto:latest-lts", "15.4", "apache-spark-2.4.x", ""])
def test_another_form_of_name_is_no_runtime(spark_version: str) -> None:
    assert runtimes.parse(spark_version) is None


def test_flavours_are_told_apart() -> None:
    gpu, photon = (runtimes.parse(f"14.3.x-{each}-scala2.12") for each in ("gpu-ml", "photon"))

    assert gpu is not None
    assert photon is not None
    assert (gpu.is_ml, gpu.is_gpu, gpu.is_photon, gpu.mlflow) == (True, True, False, "2.9.2")
    assert (photon.is_ml, photon.is_gpu, photon.is_photon, photon.mlflow) == (False, False, True, None)


@pytest.mark.parametrize(
    ("spark_version", "end"),
    [
        pytest.param("15.4.x-scala2.12", date(2027, 8, 19), id="long support"),
        pytest.param("15.3.x-scala2.12", date(2025, 11, 9), id="short support"),
        pytest.param("18.x-scala2.13", date(2029, 6, 10), id="every 18"),
        pytest.param("18.1.x-scala2.13", None, id="not dated yet"),
    ],
)
def test_a_runtime_tells_when_its_support_ends(spark_version: str, end: date | None) -> None:
    found = runtimes.parse(spark_version)

    assert found is not None
    assert found.end_of_support == end


def test_versions_are_compared_by_number() -> None:
    assert runtimes.Version(9, 1) < runtimes.Version(10, 4) < runtimes.PROJECTS_END
