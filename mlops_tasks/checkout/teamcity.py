"""TeamCity has no variable for the branch, only settings in a file that a variable leads to."""

from collections.abc import Mapping
from pathlib import Path

Environ = Mapping[str, str]


def find_branch(environ: Environ) -> tuple[str, str] | None:
    """The setting that names the branch, and the branch; a pull request's source before all else."""
    settings = read_settings(environ)
    for key in ("teamcity.pullRequest.source.branch", "teamcity.build.branch"):
        branch = settings.get(key, "").removeprefix("refs/heads/")
        if branch and branch != "<default>":
            return key, branch
    return None


def read_settings(environ: Environ) -> dict[str, str]:
    """A properties file, which a variable names, names another one, and that has them."""
    build = _properties(environ.get("TEAMCITY_BUILD_PROPERTIES_FILE", ""))
    return {**_properties(build.get("teamcity.configuration.properties.file", "")), **build}


def _properties(name: str) -> dict[str, str]:
    """A Java properties file, as far as TeamCity writes them: `key=value` lines with backslash escapes."""
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines() if name else []
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): _unescape(value.strip()) for key, value in pairs}


def _unescape(text: str) -> str:
    return text.replace("\\:", ":").replace("\\=", "=").replace("\\#", "#").replace("\\!", "!").replace("\\\\", "\\")
