#!/bin/sh
# Prepares .venv from the hashed pins:  scripts/bootstrap.sh run|dev
# Prints a uv that works:               scripts/bootstrap.sh uv
#
# Needs a Python >= 3.11 and nothing else. uv is taken from $UV, .tools/uv or the PATH, or fetched
# into .tools/uv. No Python is ever downloaded. Calling it again does nothing until a pin changes.
set -eu

UV_FLOOR_MINOR=9 # uv >= 0.9: `uv pip compile --group`, universal pins

cd "$(dirname "$0")/.."
wanted="${1:-run}"
case "$wanted" in
run | dev | uv) ;;
*)
    echo "usage: scripts/bootstrap.sh run|dev|uv" >&2
    exit 2
    ;;
esac

say() { printf '%s\n' "$*" >&2; }

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" && { printf '%s' "$PYTHON"; return; }
        say "PYTHON='$PYTHON' is no working Python >= 3.11. Unset it, or point it at another one."
        exit 2
    fi
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        is_new_enough "$name" && { printf '%s' "$name"; return; }
    done
    say "No Python >= 3.11 was found (tried python3.14 to python3.11, python3, python)."
    say "Install one (e.g. 'apt install python3 python3-venv', 'brew install python'),"
    say "or name it: make PYTHON=/path/to/python3 ..."
    exit 2
}

is_usable_uv() {
    version=$("$1" --version 2>/dev/null | sed -n 's/^uv \([0-9]*\.[0-9]*\).*/\1/p')
    [ -n "$version" ] || return 1
    [ "${version%%.*}" -gt 0 ] || [ "${version#*.}" -ge "$UV_FLOOR_MINOR" ]
}

find_uv() {
    for candidate in "${UV:-}" .tools/uv/bin/uv uv; do
        [ -n "$candidate" ] && is_usable_uv "$candidate" && { printf '%s' "$candidate"; return; }
    done
    return 1
}

# Two ways, because some systems have no venv (Debian without python3-venv) and some refuse to
# install into their Python (PEP 668); a separate --target folder harms neither.
fetch_uv() {
    rm -rf .tools/uv
    mkdir -p .tools
    requirement="uv>=0.$UV_FLOOR_MINOR"
    say "Fetching uv into .tools/uv ..."
    if "$1" -m venv .tools/uv >.tools/uv.log 2>&1 &&
        .tools/uv/bin/python -m pip install --quiet "$requirement" >>.tools/uv.log 2>&1; then
        return
    fi
    rm -rf .tools/uv
    for flags in "" "--break-system-packages"; do
        # shellcheck disable=SC2086
        PIP_USER=0 "$1" -m pip install --quiet --target .tools/uv $flags "$requirement" \
            >>.tools/uv.log 2>&1 && return
    done
    rm -rf .tools/uv
    say "uv could not be fetched with '$1'; the messages are in .tools/uv.log. Do one of these:"
    say "  - install this Python's venv or pip (Debian, Ubuntu: apt install python3-venv)"
    say "  - install uv yourself so that 'uv' is on the PATH"
    say "  - check the network connection or the proxy"
    exit 1
}

# What the environment is made of; its stamp makes repeated calls instant.
fingerprint() {
    { pwd; cat "requirements/$1.txt" pyproject.toml; } | cksum
}

is_current() {
    [ "$(cat .venv/.synthlift-stamp 2>/dev/null)" = "$1 $(fingerprint "$1")" ] &&
        is_new_enough .venv/bin/python
}

[ "$wanted" != uv ] && is_current "$wanted" && exit 0
# The developers' environment holds everything that running needs.
[ "$wanted" = run ] && is_current dev && exit 0

export UV_PYTHON_DOWNLOADS=never
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}"
python=$(find_python)
uv=$(find_uv) || {
    fetch_uv "$python"
    uv=$(find_uv) || { say "uv was fetched but does not run; see .tools/uv.log"; exit 1; }
}
[ "$wanted" != uv ] || { printf '%s\n' "$uv"; exit 0; }
# Commands in .venv/bin name their interpreter by its full path: a moved folder needs a new one.
if ! is_new_enough .venv/bin/python || [ "$(cat .venv/.synthlift-place 2>/dev/null)" != "$(pwd)" ]; then
    "$uv" venv --quiet --clear --python "$python" .venv
    pwd >.venv/.synthlift-place
fi
say "Installing the pinned packages of requirements/$wanted.txt into .venv ..."
rm -f .venv/.synthlift-stamp
"$uv" pip sync --python .venv/bin/python --require-hashes --strict --compile-bytecode "requirements/$wanted.txt" >&2
"$uv" pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation --editable .
printf '%s' "$wanted $(fingerprint "$wanted")" >.venv/.synthlift-stamp
