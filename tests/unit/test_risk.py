"""Which patches need a second person, and what is said about them."""

import pytest

from bot.domain.patches.patch import parse_patch
from bot.domain.patches.risk import RiskFacts, classify_risk, touches_ci_or_policy
from bot.domain.text.file_names import is_test_file

VERIFIED = RiskFacts(is_verified=True)
REVERT = RiskFacts(is_verified=True, is_pure_revert=True)


def changing(path: str, removed: str = "a", added: str = "b"):
    old, new = removed.split("\n") if removed else [], added.split("\n") if added else []
    body = "".join(f"-{line}\n" for line in old) + "".join(f"+{line}\n" for line in new)
    start = 1 if old else 0, 1 if new else 0
    text = f"--- a/{path}\n+++ b/{path}\n@@ -{start[0]},{len(old)} +{start[1]},{len(new)} @@\n{body}"
    return parse_patch(text.encode())


def reasons(patch, facts=VERIFIED):
    return classify_risk(patch, facts=facts).reasons


def test_a_small_verified_change_of_a_source_file_is_ordinary():
    risk = classify_risk(changing("src/app.py"), facts=VERIFIED)
    assert risk.reasons == ()
    assert not risk.is_risky


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (".github/workflows/ci.yml", "changes a CI file"),
        (".github/actions/setup/action.yml", "changes a CI file"),
        (".gitlab-ci.yml", "changes a CI file"),
        ("Jenkinsfile", "changes a CI file"),
        ("ci/Jenkinsfile.release", "changes a CI file"),
        (".circleci/config.yml", "changes a CI file"),
        ("azure-pipelines.yml", "changes a CI file"),
        (".buildkite/pipeline.yml", "changes a CI file"),
        (".travis.yml", "changes a CI file"),
        (".pre-commit-config.yaml", "changes a CI file"),
        (".nightshift.toml", "changes a policy file"),
        ("nightshift.toml", "changes a policy file"),
        ("CODEOWNERS", "changes a policy file"),
        (".github/CODEOWNERS", "changes a policy file"),
        ("requirements.txt", "changes dependencies"),
        ("requirements/prod.txt", "changes dependencies"),
        ("dev-requirements.in", "changes dependencies"),
        ("uv.lock", "changes dependencies"),
        ("poetry.lock", "changes dependencies"),
        ("pyproject.toml", "changes dependencies"),
        ("web/package.json", "changes dependencies"),
        ("package-lock.json", "changes dependencies"),
        ("go.mod", "changes dependencies"),
        ("go.sum", "changes dependencies"),
        ("Cargo.toml", "changes dependencies"),
        ("pom.xml", "changes dependencies"),
        ("Makefile", "changes a build script"),
        ("Dockerfile", "changes a build script"),
        ("docker/Dockerfile.prod", "changes a build script"),
        ("docker-compose.yml", "changes a build script"),
        ("setup.py", "changes a build script"),
        ("pyproject.toml", "changes a build script"),
        ("package.json", "changes a build script"),
        ("app/build.gradle.kts", "changes a build script"),
        ("conftest.py", "changes a build script"),
        ("app/migrations/0002_users.py", "changes a database migration"),
        ("alembic/versions/abc.py", "changes a database migration"),
        ("db/migrate/1.rb", "changes a database migration"),
    ],
)
def test_files_that_decide_more_than_themselves_are_named(path, words):
    assert f"{words}: {path}" in reasons(changing(path))


@pytest.mark.parametrize("path", ["src/makefile_parser.py", "docs/ci.md", "src/lockfile.py", "emigration/x.py"])
def test_names_that_only_sound_alike_are_ordinary(path):
    assert reasons(changing(path)) == ()


def test_paths_from_the_configuration_count():
    facts = RiskFacts(
        is_verified=True, service_paths=("services/shop/",), auth_paths=("services/shop/auth", "**/login*")
    )
    assert reasons(changing("services/shop/app.py"), facts) == ()
    assert reasons(changing("services/shop/auth/token.py"), facts) == (
        "changes authentication: services/shop/auth/token.py",
    )
    assert reasons(changing("services/shop/login.py"), facts) == ("changes authentication: services/shop/login.py",)
    assert reasons(changing("services/shopping/app.py"), facts) == (
        "changes a file outside the service's paths: services/shopping/app.py",
    )


def test_a_rename_counts_under_both_names():
    patch = parse_patch(b"diff --git a/Makefile b/src/x\nrename from Makefile\nrename to src/x\n")
    assert reasons(patch) == ("changes a build script: Makefile",)


TEST = "tests/test_app.py"


@pytest.mark.parametrize(
    ("removed", "added", "words"),
    [
        ("    assert a == 1", "    pass", "removes assertions"),
        ("    self.assertEqual(a, 1)", "", "removes assertions"),
        ("    with pytest.raises(ValueError):", "    if True:", "removes assertions"),
        ("def test_a():\n    x()", "y()", "removes tests"),
        ("x", "@pytest.mark.skip\nx", "skips tests"),
        ("x", "@pytest.mark.xfail(strict=False)", "skips tests"),
        ("x", "    pytest.skip('later')", "skips tests"),
        ("x", "@unittest.skipIf(True, '')", "skips tests"),
        ("x", "    self.skipTest('no')", "skips tests"),
        ("    assert total == 3", "    assert total", "changes what"),
    ],
)
def test_weaker_tests_are_named(removed, added, words):
    found = reasons(changing(TEST, removed, added))
    assert any(reason.startswith(words) and TEST in reason for reason in found), found


@pytest.mark.parametrize(
    ("path", "added"),
    [
        ("web/cart.test.ts", "it.skip('adds', () => {})"),
        ("web/cart.spec.js", "describe.only('cart', () => {})"),
        ("web/cart.test.js", "xit('adds', () => {})"),
        ("pkg/cart_test.go", "\tt.Skip()"),
        ("src/test/java/CartTest.java", "@Disabled"),
        ("tests/cart.rs", "#[ignore]"),
    ],
)
def test_skips_are_known_in_other_languages(path, added):
    assert f"skips tests in {path}" in reasons(changing(path, "x", added))


def test_more_tests_are_welcome():
    added = "def test_b():\n    assert total() == 3"
    assert reasons(changing(TEST, "", added)) == ()


def test_a_removed_or_moved_test_file_is_named():
    gone = parse_patch(f"--- a/{TEST}\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n".encode())
    assert reasons(gone) == (f"removes a test file: {TEST}",)
    moved = parse_patch(f"diff --git a/{TEST} b/old.py\nrename from {TEST}\nrename to old.py\n".encode())
    assert reasons(moved) == (f"moves a test file to where it no longer runs: {TEST} → old.py",)


def test_mode_changes_size_and_missing_verification_are_named():
    mode = parse_patch(b"diff --git a/run b/run\nold mode 100644\nnew mode 100755\n")
    assert reasons(mode) == ("changes the mode of run: 644→755",)
    long = changing("a", "\n".join("a" * 101), "\n".join("b" * 100))
    assert reasons(long) == ("changes 201 lines (more than 200)",)
    assert reasons(changing("a", "\n".join("a" * 100), "\n".join("b" * 100))) == ()
    wide = parse_patch(b"".join(b"--- a/f%d\n+++ b/f%d\n@@ -1 +1 @@\n-a\n+b\n" % (n, n) for n in range(11)))
    assert reasons(wide) == ("changes 11 files (more than 10)",)
    assert reasons(changing("a"), RiskFacts(is_verified=False)) == ("was not verified in the sandbox",)


@pytest.mark.parametrize(
    ("path", "is_held"),
    [
        ("src/app.py", False),
        ("uv.lock", False),
        ("Makefile", False),
        (TEST, False),
        ("Jenkinsfile", True),
        ("CODEOWNERS", True),
    ],
)
def test_a_verified_pure_revert_is_held_by_ci_and_policy_files_only(path, is_held):
    patch = changing(path, "assert x", "\n".join("b" * 300))
    assert classify_risk(patch, facts=REVERT).is_risky == is_held
    assert touches_ci_or_policy(patch) == is_held
    assert classify_risk(patch, facts=RiskFacts(is_verified=False, is_pure_revert=True)).is_risky


def test_a_rename_out_of_ci_touches_ci():
    raw = b"diff --git a/.github/workflows/ci.yml b/x.yml\nrename from .github/workflows/ci.yml\nrename to x.yml\n"
    assert touches_ci_or_policy(parse_patch(raw))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/helpers.py", True),
        ("app/test_x.py", True),
        ("app/x_test.go", True),
        ("web/x.spec.ts", True),
        ("src/main/CartTest.java", True),
        ("src/contest.py", False),
        ("src/latest/app.py", False),
        ("src/testing.py", False),
    ],
)
def test_test_files_are_known_by_name(path, expected):
    assert is_test_file(path) is expected
