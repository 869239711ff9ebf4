"""What kind of file a path names, by its name alone: the one home of these rules, for risk, ranking and fixes."""

import re
from pathlib import PurePosixPath
from typing import Final

_CI_FOLDERS: Final = (
    ".github/workflows/", ".github/actions/", ".gitlab/ci/", ".circleci/", ".buildkite/", ".gitea/workflows/",
    ".forgejo/workflows/", ".teamcity/", ".tekton/", ".woodpecker/", ".azure-pipelines/",
    ".github/scripts/", ".ci/", ".jenkins/",
)  # fmt: skip
_CI_NAMES: Final = re.compile(
    r"\.gitlab-ci.*\.ya?ml|jenkinsfile(\..*)?|azure-pipelines.*\.ya?ml|\.travis\.ya?ml|appveyor\.ya?ml|\.appveyor\.ya?ml"
    r"|\.drone\.(ya?ml|jsonnet|star)|\.woodpecker\.ya?ml|bitbucket-pipelines\.ya?ml|cloudbuild\.ya?ml|buildspec\.ya?ml"
    r"|\.cirrus\.(ya?ml|star)|\.pre-commit-config\.ya?ml|dependabot\.ya?ml|renovate\.json5?|master\.cfg|\.semaphore\.ya?ml"
)
_POLICY_NAMES: Final = re.compile(r"\.?nightshift\.toml|codeowners")
_DEPENDENCY_NAMES: Final = re.compile(
    r"(dev-|test-)?(requirements|constraints).*\.(txt|in)|pipfile|pyproject\.toml|setup\.(py|cfg)|environment\.ya?ml"
    r"|package\.json|\.npmrc|\.yarnrc(\.yml)?|pnpm-workspace\.yaml|npm-shrinkwrap\.json|package-lock\.json|pnpm-lock\.yaml"
    r"|bun\.lockb?|deno\.jsonc?|go\.(mod|sum|work)|cargo\.toml|gemfile|.*\.gemspec|composer\.json|mix\.exs|pubspec\.yaml"
    r"|pom\.xml|build\.sbt|libs\.versions\.toml|.*\.csproj|packages\.config|directory\.packages\.props|podfile|.*\.lock"
    r"|package\.swift|package\.resolved|conanfile\.(txt|py)|vcpkg\.json|flake\.nix|rebar\.config|project\.clj|deps\.edn"
)
_BUILD_NAMES: Final = re.compile(
    r"(gnu)?makefile(\..*)?|.*\.mk|(dockerfile|containerfile)(\..*)?|.*\.dockerfile|(docker-)?compose.*\.ya?ml"
    r"|.*\.gradle(\.kts)?|gradle\.properties|gradlew(\.bat)?|mvnw(\.cmd)?|cmakelists\.txt|.*\.cmake|meson\.build"
    r"|(build|workspace)(\.bazel)?|module\.bazel|\.bazelrc|.*\.bzl|build\.(rs|zig|xml|sh)|configure(\.ac)?|justfile|taskfile\.ya?ml"
    r"|tox\.ini|noxfile\.py|rakefile|gulpfile\..*|gruntfile\..*|webpack\.config\..*|vite\.config\..*|rollup\.config\..*"
    r"|babel\.config\..*|\.babelrc|tsconfig.*\.json|procfile|vagrantfile|skaffold\.yaml|chart\.yaml|.*\.tf|\.dockerignore"
    r"|lefthook\.ya?ml|\.envrc|(site|user)customize\.py|.*\.pth"
    r"|manifest\.in|conftest\.py|pytest\.ini|jest\.config\..*|vitest\.config\..*|\.coveragerc"
)
_DEVELOPERS: Final = re.compile(r"(^|/)\.(husky|vscode|devcontainer|idea)/")
_MIGRATION: Final = re.compile(r"(^|/)(migrations?|migrate|alembic/versions|db/schema\.rb|flyway|liquibase)(/|$)")
_TEST_FOLDER: Final = re.compile(r"(^|/)(tests?|__tests__|specs?|testing|e2e|testdata)/", re.IGNORECASE)
_TEST_NAME: Final = re.compile(
    r"(test_.*|.*_tests?|.*[.-](test|spec)|.*_spec|conftest|.*Tests?|.*TestCase|.*Spec)\.[A-Za-z]{1,5}"
)
_REQUIREMENTS: Final = re.compile(r"(^|/)requirements/[^/]+\.(txt|in)$")
_LOCKS: Final = frozenset(
    {
        "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "cargo.lock",
        "poetry.lock", "uv.lock", "pdm.lock", "pipfile.lock", "go.sum", "gemfile.lock", "composer.lock",
    }
)  # fmt: skip
_BOTH: Final = frozenset({"setup.py", "setup.cfg", "pyproject.toml", "package.json"})


def _name(path: str) -> str:
    return PurePosixPath(path.casefold()).name


def is_ci(path: str) -> bool:
    """Say whether a file says what CI does."""
    folded = path.casefold()
    inside = any(folded.startswith(folder) or f"/{folder}" in folded for folder in _CI_FOLDERS)
    return inside or _CI_NAMES.fullmatch(_name(path)) is not None


def is_policy(path: str) -> bool:
    """Say whether a file says who may decide what."""
    return _POLICY_NAMES.fullmatch(_name(path)) is not None


def is_dependency_file(path: str) -> bool:
    """Say whether a file names the packages that a program runs with, or locks them."""
    return _DEPENDENCY_NAMES.fullmatch(_name(path)) is not None or _REQUIREMENTS.search(path.casefold()) is not None


def is_lock_file(path: str) -> bool:
    """Say whether a file is written by a package manager, to go with another one."""
    return _name(path) in _LOCKS


def is_build_file(path: str) -> bool:
    """Say whether a file decides what building, testing or a developer's tools run."""
    name = _name(path)
    return name in _BOTH or _BUILD_NAMES.fullmatch(name) is not None or _DEVELOPERS.search(path.casefold()) is not None


def is_migration(path: str) -> bool:
    """Say whether a file changes a database's tables."""
    return _MIGRATION.search(path.casefold()) is not None


def is_test_file(path: str) -> bool:
    """Say whether a file holds tests, or what they need."""
    return bool(_TEST_FOLDER.search(path) or _TEST_NAME.fullmatch(PurePosixPath(path).name))
