"""Whether a wheel, or anything that says which Python it needs, installs with a given Python on a cluster."""

from __future__ import annotations

from packaging import tags, utils
from packaging.specifiers import InvalidSpecifier, SpecifierSet

_MACHINES = ("x86_64", "aarch64")
_GLIBC = 35
"""The C library of Ubuntu 22.04 is 2.35; older runtimes have older ones, which a wheel seldom notices."""


def allows(requires_python: str, python: str) -> bool:
    """Whether `requires_python` takes that Python (major and minor): the newest patch level of it counts."""
    try:
        return SpecifierSet(requires_python).contains(f"{python}.99")
    except InvalidSpecifier:
        return True


def fits(found: frozenset[str], python: str) -> bool:
    """Whether a wheel with those tags installs on Linux with that Python (major and minor)."""
    major, minor = (int(part) for part in python.split("."))
    names = [f"manylinux_2_{number}" for number in range(5, _GLIBC + 1)]
    names += ["manylinux1", "manylinux2010", "manylinux2014", "linux"]
    platforms = [f"{name}_{machine}" for name in names for machine in _MACHINES]
    own = f"cp{major}{minor}"
    supported = [
        *tags.cpython_tags((major, minor), abis=[own, f"{own}m"], platforms=platforms),
        *tags.compatible_tags((major, minor), interpreter=own, platforms=platforms),
    ]
    return not found.isdisjoint(str(each) for each in supported)


def parse_tags(file_name: str) -> frozenset[str]:
    return frozenset(str(each) for each in utils.parse_wheel_filename(file_name)[3])
