#!/bin/sh
# What the Makefile needs on this machine; quick when it is already there.
#
#   environment.sh programs [tests]     git, bubblewrap, util-linux; for the tests Chromium, PostgreSQL, a proxy and what writes journal files too
#   environment.sh python run|dev       .venv from requirements.txt or requirements-dev.txt (uv, else venv and pip)
#   environment.sh sglang               .sglang: SGLang for the CPU, and smg, for make test-sglang
#   environment.sh lock                 write the lock files anew from pyproject.toml (uv)
set -eu
cd "$(dirname "$0")/.."
root=$PWD

say() { printf 'nightshift: %s\n' "$*" >&2; }

stop() {
    say "$*"
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# --- Debian packages -------------------------------------------------------------------------------------------------

install_packages() { # package…; fails where this is not Debian, or not root
    if ! has apt-get || [ "$(id -u)" != 0 ]; then return 1; fi
    say "installing $*"
    log=$(mktemp)
    for refresh in no yes; do
        if [ $refresh = yes ]; then apt-get update -qq >>"$log" 2>&1 || true; fi
        if DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >>"$log" 2>&1; then
            rm -f "$log"
            return 0
        fi
    done
    tail -n 5 "$log" >&2
    rm -f "$log"
    return 1
}

name_packages() { printf 'install them and run this again: sudo apt-get install %s' "$*"; }

has_postgres() { has initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }

has_journal_remote() { [ -x /usr/lib/systemd/systemd-journal-remote ] || [ -x /lib/systemd/systemd-journal-remote ]; }

programs() { # [tests]
    missing=
    has git || missing="$missing git"
    has bwrap || missing="$missing bubblewrap"
    { has setpriv && has prlimit; } || missing="$missing util-linux"
    # shellcheck disable=SC2086 # a list of package names
    if [ -n "$missing" ] && ! install_packages $missing; then
        stop "these programs are missing:$missing; $(name_packages $missing)"
    fi
    if [ "${1:-}" != tests ]; then return 0; fi
    if ! has_postgres; then
        install_packages postgresql || say "no PostgreSQL here, its tests are skipped: sudo apt-get install postgresql"
    fi
    if ! has chromium && ! has chromium-browser && ! has google-chrome && ! has chrome; then
        install_packages chromium || say "no Chromium here, the browser test is skipped: sudo apt-get install chromium"
    fi
    if ! has_journal_remote; then
        install_packages systemd-journal-remote ||
            say "nothing here writes journal files, their test is skipped: sudo apt-get install systemd-journal-remote"
    fi
    if ! has node; then
        install_packages nodejs || say "no Node here, incidents of services in it are skipped: sudo apt-get install nodejs"
    fi
    if ! has tinyproxy; then
        install_packages tinyproxy-bin || say "no proxy here, its tests are skipped: sudo apt-get install tinyproxy-bin"
    fi
}

# --- Python ----------------------------------------------------------------------------------------------------------

find_python() { # prints the path of the first Python that is new enough
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11)); ' 2>/dev/null; then
            "$name" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    return 1
}

make_with_uv() { # python lock
    uv venv -q --clear --python "$1" .venv && uv pip install -q --python .venv/bin/python --require-hashes -r "$2"
}

make_with_pip() { # python lock
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        install_packages python3-venv || stop "Python's venv module is missing; $(name_packages python3-venv)"
    fi
    "$1" -m venv --clear .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-input --root-user-action=ignore \
        --require-hashes --only-binary :all: -r "$2"
}

link_project() { # make this checkout importable, and give it the command `nightshift`
    site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root" >"$site/nightshift.pth"
    printf '#!%s\nfrom bot.cli import main\n\nmain()\n' "$root/.venv/bin/python" >.venv/bin/nightshift
    chmod +x .venv/bin/nightshift
}

is_made() { # stamp content
    [ -x .venv/bin/python ] && [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

python() { # run|dev
    case $1 in
        run) lock=requirements.txt ;;
        dev) lock=requirements-dev.txt ;;
        *) stop "environment.sh python run|dev" ;;
    esac
    wanted="$root $(cksum <requirements.txt) $(cksum <requirements-dev.txt)"
    if is_made .venv/.dev "$wanted" || is_made ".venv/.$1" "$wanted"; then return 0; fi

    if ! python=$(find_python); then
        install_packages python3 python3-venv || true
        python=$(find_python) || stop "Nightshift needs Python 3.11 or newer as python3 (or name it: make PYTHON=…)"
    fi
    say "making .venv from $lock with $python"
    # The machine's own certificates, as pip uses them: companies and proxies add theirs there.
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-1}" UV_LINK_MODE="${UV_LINK_MODE:-copy}"
    if ! has uv || ! make_with_uv "$python" "$lock"; then
        if has uv; then say "uv could not do it; trying venv and pip"; fi
        make_with_pip "$python" "$lock"
    fi
    link_project
    printf '%s' "$wanted" >".venv/.$1"
}

# --- a real SGLang server, for tests ----------------------------------------------------------------------------------

SMG=1.13.0

sglang() { # its own environments: what it needs has other versions than ours
    list=tests/sglang/requirements.txt
    wanted="$root $(cksum <$list) smg $SMG"
    if [ -f .sglang/.made ] && [ "$(cat .sglang/.made)" = "$wanted" ]; then return 0; fi
    python=$(find_python) || stop "Nightshift needs Python 3.11 or newer as python3 (or name it: make PYTHON=…)"
    say "making .sglang with $python: 1.6 GB, some minutes"
    rm -rf .sglang
    "$python" -m venv .sglang/venv && "$python" -m venv .sglang/smg
    pip='-m pip install -q --disable-pip-version-check --no-input --only-binary :all:'
    # shellcheck disable=SC2086 # several words
    .sglang/venv/bin/python $pip --no-deps -r $list
    # shellcheck disable=SC2086
    .sglang/smg/bin/python $pip "smg==$SMG"
    if ! PYTHONPATH=tests/sglang/standins .sglang/venv/bin/python -c 'import torch; assert not torch.version.cuda'; then
        stop "torch in .sglang/venv is no build for the CPU: set PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS to where one is"
    fi
    printf '%s' "$wanted" >.sglang/.made
}

# --- lock files ------------------------------------------------------------------------------------------------------

compile() { # output argument…
    output=$1
    shift
    uv pip compile pyproject.toml "$@" --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-build >"$output.new"
    {
        printf '# Written by "make lock" from pyproject.toml; do not edit.\n'
        cat "$output.new"
    } >"$output"
    rm "$output.new"
}

lock() {
    has uv || stop "make lock needs uv"
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-1}"
    compile requirements.txt
    compile requirements-logs.txt --extra logs -c requirements.txt
    compile requirements-mcp.txt --extra mcp -c requirements.txt
    chats='--extra apprise --extra discord --extra slack --extra telegram'
    # shellcheck disable=SC2086 -- several words
    compile requirements-chat.txt $chats -c requirements.txt
    # shellcheck disable=SC2086
    compile requirements-dev.txt --extra logs --extra mcp $chats --group dev \
        -c requirements-logs.txt -c requirements-chat.txt -c requirements-mcp.txt
}

case ${1:-} in
    programs) programs "${2:-}" ;;
    python) python "${2:-}" ;;
    sglang) sglang ;;
    lock) lock ;;
    *) stop "usage: environment.sh programs [tests] | python run|dev | sglang | lock" ;;
esac
