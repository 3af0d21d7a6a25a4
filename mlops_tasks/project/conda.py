"""conda's match specifications (`numpy=1.26`, `conda-forge::numpy[version='>=1.24']`) as requirements from PyPI.

They are read by the rules of conda's own reader (conda/models/match_spec.py and version.py): `=1.26` is any 1.26, and
a version after a blank, or with a build behind it, is that version alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mlops_tasks.project import conda_names

_PACKAGE_FILES = (".tar.bz2", ".conda")
_BRACKETS = re.compile(r"(?P<before>[^\[]*)\[(?P<fields>.*)\](?P<after>[^\]]*)")
_FIELD = re.compile(r"""\s*(?P<key>[\w-]+)\s*=\s*(?P<quote>["']?)(?P<value>[^"']*?)(?P=quote)\s*(?:,|\s|$)""")
_FIELDS = {
    *("name", "version", "build", "build_number", "channel", "subdir", "namespace", "fn", "url", "md5", "sha256"),
    *("features", "track_features", "license", "license_family", "optional", "target", "timestamp"),
}
"""The keys that a specification may have in brackets; all but the name and the version say which of conda's files."""
_NAME = re.compile(r"(?P<name>[^\s=<>!~]+)\s*(?P<rest>.*)")
_BUILD = re.compile(r"(?P<version>.+?)(?:(?:\s+=?|(?<![\s=<>!~,|])=(?!=))\s*(?P<build>[^\s=<>!~,|]+))?")
_CLAUSE = re.compile(r"(?P<operator>==|!=|<=|>=|~=|=|<|>)?(?P<version>[^\s=<>~*]+?)(?P<star>\.?\*)?")
_PYPI_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_FIRST = re.compile(r"(a|\.dev)0")


class NotOnPyPI(ValueError):
    """PyPI has no such package, or the text is no specification; the message is the reason, as a clause."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """`name` is in lower case, `asked` the version as it was written.

    `choices` are specifiers as PyPI's versions have them (`>=1,<2`; empty for any version): each of them will do.
    """

    name: str
    asked: str
    choices: tuple[str, ...]

    def allows(self, version: str) -> bool:
        return any(SpecifierSet(each).contains(version, prereleases=True) for each in self.choices)

    @property
    def minor(self) -> str | None:
        """Major and minor number, where one alone will do: `3.11` of `3.11.*`."""
        only = re.fullmatch(r"(?:==|~=(?=\d+\.\d+\.))(\d+\.\d+)(?:\.\d+)*(?:\.\*)?", ",".join(self.choices))
        return only[1] if only else None


def name_of(text: str) -> str:
    """The package that `text` is about, in lower case, whether or not the rest of it can be read."""
    bare = text.partition("#")[0].partition("[")[0]
    found = _NAME.match(bare.rsplit(":", maxsplit=1)[-1].strip())
    return found["name"].lower() if found else ""


def read(text: str) -> Spec:
    """The specification in `text`. Raises NotOnPyPI for what is none, and for versions that PyPI cannot have."""
    bare = re.split(r"#| if ", text, maxsplit=1)[0].strip()
    if bare.endswith(_PACKAGE_FILES):
        raise NotOnPyPI("it is a file in conda's own format")
    fields: Mapping[str, str] = {}
    if bracketed := _BRACKETS.fullmatch(bare):
        bare, fields = bracketed["before"] + bracketed["after"], _read_fields(bracketed["fields"])
    found = _NAME.fullmatch(bare.rsplit(":", maxsplit=1)[-1].strip())
    name = (fields.get("name") or (found["name"] if found else "")).lower()
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_.-]*", name):
        raise NotOnPyPI("it does not name one package")
    rest = found["rest"] if found else ""
    version = fields.get("version") or _read_version(rest)
    choices = tuple(_read_choice(each) for each in version.split("|")) if version else ("",)
    return Spec(name=name, asked=(fields.get("version") or rest).lstrip("= "), choices=choices)


def to_requirement(text: str) -> str:
    """The specification `text` as a requirement for PyPI. Raises NotOnPyPI with the reason where it has none.

    Of several ranges (`>=1,<2|>3`), of which PyPI's form knows one alone, it is the one with the newest versions.
    """
    if conda_names.is_condas_own(name_of(text)):
        raise NotOnPyPI("it is no Python package: conda alone has it")
    spec = read(text)
    name = conda_names.ON_PYPI.get(spec.name, spec.name)
    if not _PYPI_NAME.fullmatch(name):
        raise NotOnPyPI("PyPI has no such names")
    mentioned = {each.version.removesuffix(".*") for choice in spec.choices for each in SpecifierSet(choice)}
    probes = sorted([Version("99999999"), *map(Version, mentioned)])

    def newest(choice: str) -> int:
        fitting = SpecifierSet(choice)
        return max((place for place, each in enumerate(probes) if fitting.contains(each, prereleases=True)), default=-1)

    return name + max(spec.choices, key=newest)


def _read_fields(text: str) -> dict[str, str]:
    found, end = {}, 0
    while end < len(text):
        field = _FIELD.match(text, end)
        if field is None or field["key"] not in _FIELDS:
            raise NotOnPyPI(f"[{text}] cannot be read")
        found[field["key"]], end = field["value"], field.end()
    return found


def _read_version(rest: str) -> str:
    """The version in what follows a name, with `=1.2` as `1.2*`, as conda takes it; a build is left out."""
    closed = re.sub(r"(?<=[=<>!~,|])\s+|\s+(?=[,|])", "", rest.strip())
    if not closed:
        return ""
    parts = _BUILD.fullmatch(closed)
    version, build = (parts["version"], parts["build"]) if parts else (closed, None)
    bare = version[1:]
    if version.startswith("==") and build is None:
        return version[2:]
    if not version.startswith("=") or re.match(r"[=<>!~]|$", bare) or re.search(r"[=,|]", bare):
        return version
    return bare if build is not None or bare.endswith("*") else f"{bare}*"


def _read_choice(text: str) -> str:
    """Conditions that all hold (`>=1,<2`), as specifiers."""
    return ",".join(found for each in text.split(",") if (found := _read_clause(each.strip())))


def _read_clause(text: str) -> str:
    """One condition as a specifier, empty for any version."""
    if text == "*":
        return ""
    found = _CLAUSE.fullmatch(text)
    if found is None:
        raise NotOnPyPI(f"PyPI has no versions like {text!r}" if text else "a version is missing")
    operator, is_any = found["operator"] or "==", bool(found["star"])
    if operator == "=":
        operator, is_any = "==", True
    try:
        version = Version(found["version"])
    except ValueError as fault:
        raise NotOnPyPI(f"PyPI has no version {found['version']!r}") from fault
    if operator == "==" and found["version"][-1].isalpha():  # a letter is none of PyPI's first versions here
        raise NotOnPyPI(f"PyPI has no version {found['version']!r}")
    if operator in {"==", "!="}:
        is_plain = version.public == version.base_version and version.local is None
        return f"{operator}{version}.*" if is_any and is_plain else f"{operator}{version}"
    if operator == "~=" and len(version.release) == 1:
        return f">={version.public},=={version.base_version}.*"
    # `<3.0a0` is conda's way to leave out 3.0's own first versions, which `<3.0` of PyPI's form leaves out as well
    return f"{operator}{_FIRST.sub('', version.public) if operator == '<' else version.public}"
