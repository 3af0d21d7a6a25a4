"""What decides a wheel besides its files: variables, git, and the interpreter that its tags name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlops_tasks import processes
from mlops_tasks.checkout import git

SOURCE_DATE_EPOCH = "315532800"
"""1980-01-01, the first time that a zip file can hold: always the same, so that the wheel's bytes are."""

STRAYS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", *git.STRAYS)
"""Variables that would let another environment into the isolated build, or the user's repository."""

_OURS = {"PATH", "SOURCE_DATE_EPOCH", "NO_COLOR", *STRAYS}
"""Variables that a build does not get as the user has them."""
_CREDENTIAL = re.compile(
    r".*(?:TOKEN|(?<!BY)PASS(?:WORD|WD|PHRASE)?|SECRET|CREDENTIALS?|(?:API|ACCESS|PRIVATE)_?KEY)(?:_.+)?", re.IGNORECASE
)
"""Variables that let a build in somewhere and decide none of its bytes: not even a digest of one is kept."""
_KNOWN = re.compile(
    r"SETUPTOOLS_.+|DIST_EXTRA_CONFIG|\w*_PRETEND_VERSION\w*|PBR_.+|PDM_BUILD_.+|HATCH_BUILD_.+|VERSIONEER_.+|MATURIN_.+"
    r"|SKBUILD_.+|\w+_DYNAMIC_VERSIONING_\w+"
)
"""Variables that build backends and their plugins read by themselves."""
_READS = re.compile(r"environ|getenv|decouple")
_READ = re.compile(r"""(?:environ(?:\.\w+)?|getenvb?)\s*[\[(]\s*[bfr]?["'](\w+)["']""")
_QUOTED = re.compile(r"""["']([A-Z_][A-Z0-9_]+)["']""")
_WORD = re.compile(r"(?<![A-Za-z0-9_])[A-Z][A-Z0-9_]+\b")
_ENDING = re.compile(r"""["'}](_[A-Z0-9_]+)["']""")
"""The part of a name that a program puts together: `prefix + "_NUMBER"`."""
_IN_TEXT = re.compile(r"\{env:(\w+)|\$\{?([A-Za-z_]\w*)")
"""`{env:NAME}` as hatch has it, `${NAME}` as pdm and expandvars do."""

_FROM_GIT = re.compile(
    r"scm|hatch-vcs|vcs-versioning|versioningit|git-versioning|dynamic-versioning|dunamai|versioneer|\bpbr\b"
)
"""Build plugins that take a version from git; a chance match means no more than a needless build after a commit."""
_CALLS_GIT = re.compile(r"""(?<![\w/@.-])git(?![\w+@.:/-])|["'/]\.git\b|\bdulwich\b|\bpygit2\b""")
"""A command, an import, or the repository's folder; no address."""

FOR_ANY = ("-py3-none-any.whl", "-py2.py3-none-any.whl")
"""How the names of most wheels end."""

_COMPILES = re.compile(r"ext[-_]modules|cffi|cython|pybind11|nanobind|maturin|meson|scikit-build|setuptools[-_]rust")
_FLAGS = {
    *("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "ARCHFLAGS", "RUSTFLAGS"),
    *("CMAKE_ARGS", "MACOSX_DEPLOYMENT_TARGET"),
}
"""What compilers read: of no account for a library of Python alone."""


def read_variables(settings: str, programs: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that decide a wheel, of those that are set: known ones, and those that its build mentions.

    `settings` is the text of its files of settings; `programs` are the texts of what the build executes.
    """
    mentioned = set(_QUOTED.findall(settings))  # as hatch's `variable = "BUILD_NUMBER"`
    endings: list[str] = []
    for text in (settings, *programs):
        mentioned.update(name for found in _IN_TEXT.findall(text) for name in found if name)
        mentioned.update(_READ.findall(text))
        if _READS.search(text):  # the name may take a way round: "1.{BUILD_NUMBER}".format(**environ)
            mentioned.update(_WORD.findall(text))
            endings += _ENDING.findall(text)
    if _COMPILES.search(settings):
        mentioned |= _FLAGS
    beginnings = tuple(name for name in mentioned if name.endswith("_"))  # as in `name.startswith("BUILD_")`
    return {
        name: value
        for name, value in sorted(environ.items())
        if name not in _OURS
        and not _CREDENTIAL.fullmatch(name)
        and (
            name in mentioned
            or _KNOWN.fullmatch(name)
            or name.startswith(beginnings)
            or (name.endswith(tuple(endings)))
        )
    }


def asks_git(settings: str, programs: Iterable[str]) -> bool:
    """Whether the version, or anything else of the wheel, may come from git."""
    return _FROM_GIT.search(settings) is not None or any(_CALLS_GIT.search(each) for each in programs)


def asks_tags(settings: str, programs: Iterable[str]) -> bool:
    """Whether the version counts from a tag of git."""
    return _FROM_GIT.search(settings) is not None or any(
        "describe" in text and _CALLS_GIT.search(text) for text in programs
    )


def describe_git(library: Path, *, run: processes.Runner) -> list[str]:
    """All that a build can learn from git: branch, commit, whether tracked files changed, and the tags behind it."""
    tree = git.read(library, runner=run)
    if tree is None or tree.commit is None:
        return []
    described = git.call("describe", "--tags", "--long", "--always", "--dirty", run=run, cwd=library)
    form = "--format=%(objectname) %(refname)"
    tagged = git.call("for-each-ref", "--merged=HEAD", form, "refs/tags", run=run, cwd=library)
    return [tree.branch or "", tree.commit, described.stdout.strip(), tagged.stdout.strip()]


def fits_here(file_name: str) -> bool:
    """Whether a build here can give a wheel of that name: one for any Python, or one for the Python that runs."""
    if file_name.endswith(FOR_ANY):
        return True
    from packaging import tags, utils  # which takes longer than to look at a library

    found = utils.parse_wheel_filename(file_name)[3]
    if all((each.abi, each.platform) == ("none", "any") and len(each.interpreter) == len("py3") for each in found):
        return True
    own = "".join(map(str, sys.version_info[:2]))
    here = {each for each in tags.sys_tags() if each.abi == "abi3" or each.interpreter[2:] in {own, "3"}}
    return not found.isdisjoint(here)
