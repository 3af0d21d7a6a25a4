from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors, slugs
from mlops_tasks.release import Release
from mlops_tasks.report import Report
from mlops_tasks.steps import name

LEGAL = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")

branches = st.one_of(
    st.text(min_size=1),
    st.text(alphabet="abAB09-_/. ", min_size=1, max_size=60),
    st.from_regex(r"[a-z0-9-]{1,45}-[0-9a-f]{12}", fullmatch=True),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Two branch names, the second often made from the first as somebody would who wants to take its place."""
    one = draw(branches)
    other = draw(
        st.one_of(
            branches,
            st.just(slugs.slug(one)),
            st.just(slugs.slug(slugs.slug(one))),
            st.just(one.upper()),
            st.just(one.lower()),
            st.just(one[:27]),
            st.just(one + "-"),
            st.just(one.replace("/", "-")),
            st.just(f"owner:{one}"),
        )
    )
    return one, other


def choose(
    branch: str = "main",
    template: str = "/Shared/{repository}/{project}/{branch}",
    root: str = "w",
    owner: tuple[str, str] = ("library", "training"),
    **facts: Any,
) -> Release:
    release = replace(Release(target="local", project="projects/training", branch=branch), **facts)
    return name.choose_names(
        release,
        name.Owner(*owner),
        template=template,
        wheel_root=root,
        user=lambda: "ada@example.com",
        report=Report(),
    )


@given(pairs())
def test_two_different_branches_never_share_a_name(pair: tuple[str, str]) -> None:
    one, other = pair
    first, second = choose(one).names, choose(other).names
    assert first is not None
    assert second is not None
    if one != other:
        assert first.experiment != second.experiment
        assert first.wheel_folder != second.wheel_folder
    else:
        assert first == second


@given(branches)
def test_every_slug_is_legal_and_stable(branch: str) -> None:
    assert LEGAL.fullmatch(slugs.slug(branch))
    assert slugs.slug(branch) == slugs.slug(branch)


def test_a_legal_name_stands_alone() -> None:
    assert slugs.slug("main") == "main"
    assert slugs.slug("a" * 40) == "a" * 40


@pytest.mark.parametrize(
    ("branch", "readable"),
    [
        pytest.param("feature/churn", "feature-churn", id="with a slash"),
        pytest.param("Main", "main", id="upper case"),
        pytest.param("main-0123456789ab", "main-0123456789ab", id="ends like a hash"),
        pytest.param("größe", "gr-e", id="letters of other alphabets"),
        pytest.param("-", "branch", id="nothing to read"),
        pytest.param("x" * 41, "x" * 27, id="too long"),
    ],
)
def test_any_other_name_gets_a_hash_of_its_own(branch: str, readable: str) -> None:
    found = slugs.slug(branch)

    assert found.startswith(f"{readable}-")
    assert re.fullmatch(r"[0-9a-f]{12}", found.removeprefix(f"{readable}-"))


def test_the_names_come_from_the_template_the_wheel_root_the_repository_and_the_project() -> None:
    names = choose("main", "/Users/{user}/{repository}/{project}-{target}/{branch}", "dbfs:/wheels/").names

    assert names is not None
    assert names.experiment == "/Users/ada@example.com/library/training-local/main"
    assert names.wheel_folder == "dbfs:/wheels/library/main"


texts = st.one_of(branches, st.text(alphabet="abAB-_./", min_size=1, max_size=70))
owners = st.tuples(texts, texts, branches)


@given(owners, owners, st.sampled_from(["as drawn", "by its name", "moved"]))
def test_two_repositories_projects_or_branches_never_meet(
    one: tuple[str, str, str], other: tuple[str, str, str], how: str
) -> None:
    if how == "by its name":  # somebody calls his own by what became of another's
        other = slugs.name(one[0]), slugs.name(one[1]), slugs.slug(one[2])
    if how == "moved":  # what stands in one place stands in the next one
        other = one[1], one[0], one[2]
    first, second = (choose(each[2], owner=each[:2]).names for each in (one, other))

    assert first is not None
    assert second is not None
    assert (first.experiment == second.experiment) == (one == other)
    assert (first.wheel_folder == second.wheel_folder) == ((one[0], one[2]) == (other[0], other[2]))


@given(texts)
def test_every_name_is_one_part_of_any_path(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?", slugs.name(text))


@pytest.mark.parametrize("text", ["ExampleTrainingProject", "DatabricksMLOps", "my_repo", "v1.2", "a" * 64])
def test_a_name_keeps_its_own_spelling(text: str) -> None:
    assert slugs.name(text) == text


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        pytest.param("My Repo", "My-Repo", id="a blank"),
        pytest.param("fraud/train", "fraud-train", id="more than one folder"),
        pytest.param(".github", "github", id="hidden"),
        pytest.param("a" * 65, "a" * 27, id="too long"),
        pytest.param("Repo-0123456789ab", "Repo-0123456789ab", id="ends like a hash"),
        pytest.param("模型", "name", id="nothing to read"),
    ],
)
def test_a_name_that_has_to_be_changed_gets_a_hash(text: str, readable: str) -> None:
    assert re.fullmatch(rf"{readable}-[0-9a-f]{{12}}", slugs.name(text))


PATHS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), min_size=1, unique=True)


@given(PATHS)
def test_no_two_folders_of_a_repository_are_told_by_the_same_end(paths: list[str]) -> None:
    ends = [slugs.telling_end(each, paths) for each in paths]

    assert len(set(ends)) == len(paths)
    assert all(path == end or path.endswith(f"/{end}") for path, end in zip(paths, ends, strict=True))


def test_a_folder_is_told_by_no_more_than_it_takes() -> None:
    paths = ["services/fraud/train", "services/churn/train", "services/score", "train"]

    assert [slugs.telling_end(each, paths) for each in paths] == ["fraud/train", "churn/train", "score", "train"]


@pytest.mark.parametrize("project", ["https://host/team/training.git", "https://host/team/repo#projects/training"])
def test_a_project_at_a_uri_is_called_by_its_last_part_and_told_from_others_by_a_hash(project: str) -> None:
    names = choose(owner=("library", project)).names

    assert names is not None
    assert re.fullmatch(r"/Shared/library/training-[0-9a-f]{12}/main", names.experiment)


def test_the_environment_is_the_targets_name_where_none_is_named() -> None:
    plain, named = (choose(template="/Shared/{environment}/{target}", environment=each) for each in (None, "Dev.1"))

    assert plain.names is not None
    assert named.names is not None
    assert (plain.names.experiment, named.names.experiment) == ("/Shared/local/local", "/Shared/Dev.1/local")
    assert plain.digests != named.digests


def test_the_user_is_asked_only_where_the_template_has_them() -> None:
    def nobody() -> str:
        raise AssertionError("asked")

    release = Release(target="local", project="p", branch="main")

    name.choose_names(
        release, name.Owner("r", "p"), template="/Shared/{branch}", wheel_root="w", user=nobody, report=Report()
    )


def test_an_experiment_may_stand_at_the_root() -> None:
    names = choose(template="/{branch}").names

    assert names is not None
    assert names.experiment == "/main"


def test_a_leading_workspace_is_stripped() -> None:
    names = choose(template="/Workspace/Shared/{branch}").names

    assert names is not None
    assert names.experiment == "/Shared/main"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        pytest.param("Shared/{branch}", "not an absolute path", id="relative"),
        pytest.param("/", "not an absolute path", id="nothing"),
        pytest.param("/Shared//{branch}", "empty parts", id="empty part"),
        pytest.param("/Shared/../{branch}", "not an absolute path", id="dots"),
        pytest.param("/Shared/{brunch}", "unknown field {brunch}", id="unknown field"),
        pytest.param("/Shared/{branch.__class__}", "unknown field", id="attribute"),
        pytest.param("/Shared/{branch", "brace", id="open brace"),
        pytest.param("/Shared/{branch:d}", "more than a name in the braces of branch", id="format"),
        pytest.param("/Shared/{branch:{user}}", "more than a name in the braces of branch", id="nested format"),
        pytest.param("/Shared/{branch!r}", "more than a name in the braces of branch", id="conversion"),
    ],
)
def test_a_template_that_makes_no_legal_name_is_refused(template: str, said: str) -> None:
    with pytest.raises(errors.BadInput, match=said) as caught:
        choose(template=template)

    assert "{repository}, {project}, {branch}, {user}, {target}" in caught.value.cure


@pytest.mark.parametrize("form", ["/Shared/{}", "/Workspace/Shared/{}", "{}"])
def test_a_name_that_is_longer_than_mlflow_takes_is_refused_without_repeating_it(form: str) -> None:
    longest = "x" * (500 - len("/Shared/" if "/" in form else ""))
    template, longer = form.format(longest), form.format(longest + "x")
    chosen: dict[str, Any] = {"user": str, "may_be_plain": True, "origin": "MLOPS_EXPERIMENT (environment)"}
    release, owner = Release(target="local", project="p", branch="main"), name.Owner("library", "training")
    assert len(name.choose_experiment(release, owner, template=template, **chosen)) == 500

    with pytest.raises(errors.BadInput, match="would have 501 characters, and MLflow takes 500 at most") as caught:
        name.choose_experiment(release, owner, template=longer, **chosen)

    assert (caught.value.where, caught.value.cure) == ("MLOPS_EXPERIMENT (environment)", "choose a shorter name")
    with pytest.raises(errors.BadInput) as caught:
        name.check(longer, where="--experiment-name", may_be_plain=True)
    assert caught.value.where == "--experiment-name"


@pytest.mark.parametrize("plain", ["My_Models", "a b"])
def test_a_plain_name_is_fine_where_the_target_takes_it(plain: str) -> None:
    assert name.check(plain, where="x", may_be_plain=True) == plain
    with pytest.raises(errors.BadInput, match="not an absolute path"):
        name.check(plain, where="x", may_be_plain=False)


@pytest.mark.parametrize("odd", ["team/x", "", " ", "/", "/Shared//x"])
def test_what_is_neither_plain_nor_absolute_is_refused_everywhere(odd: str) -> None:
    with pytest.raises(errors.BadInput, match="not an absolute path"):
        name.check(odd, where="x", may_be_plain=True)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"branch": "other"}, id="branch"),
        pytest.param({"template": "/Shared/x/{branch}"}, id="experiment"),
        pytest.param({"root": "elsewhere"}, id="wheel root"),
        pytest.param({"project": "projects/other"}, id="project"),
        pytest.param({"owner": ("other", "training")}, id="repository"),
        pytest.param({"owner": ("library", "fraud/training")}, id="project beside others"),
        pytest.param({"target": "databricks"}, id="target"),
    ],
)
def test_the_digest_watches_all_that_decides_the_names(change: dict[str, Any]) -> None:
    assert choose(**change).digests["name"] != choose().digests["name"]
