#!/bin/sh
# Make the Python environment of the project in .venv: the packages of requirements.lock, and the project itself, editable.
set -eu
cd "$(dirname "$0")"

fail() { echo "setup: $1" >&2; exit 2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    command -v apt-get >/dev/null || fail "Python with venv is missing; install Python 3.10 or newer with venv and pip"
    echo "setup: installing python3 and python3-venv"
    { as_root apt-get -qq update && as_root apt-get -qq -y install python3 python3-venv; } >/dev/null 2>&1 ||
        fail "Python's venv cannot be installed without root; run: sudo apt-get install python3 python3-venv"
fi
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$PYTHON" --version) is too old; set PYTHON to a Python 3.10 or newer"

echo "setup: installing the locked packages into .venv"
rm -rf .venv
"$PYTHON" -m venv .venv
install() { .venv/bin/pip install --quiet --quiet --disable-pip-version-check "$@"; }
install -r requirements.lock
install --no-deps --no-build-isolation -e .
touch .venv/ready
