#!/bin/sh
# Make the Python environment of the project in .venv: the packages of requirements.lock, and the project itself, editable.
set -eu
cd "$(dirname "$0")"

fail() { echo "setup: $1" >&2; exit 2; }

# Nothing is asked: not by sudo, and not by packages or by what looks after services when they change.
as_root() {
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        eval "value=\${$name-}" # sudo takes the environment away
        [ -z "$value" ] || set -- "$name=$value" "$@"
    done
    set -- env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l "$@"
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi </dev/null
}

log=$(mktemp) || fail "no temporary file can be made; make room, or set TMPDIR to a folder that can be written"
trap 'rm -f "$log"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# End with why a download failed: $1 says what failed, $2 from where. pip and apt call a source that they do not reach a
# package that does not exist.
failed() {
    signs='Temporary failure[^'\''"]*|Could not (resolve|connect)[^'\''":]*|Name or service not known|Network is unreachable'
    signs="$signs|No route to host|Connection (refused|reset by peer|timed out|failed)|[Rr]ead timed out"
    signs="$signs|[Cc]onnect(ion)? [^'\"]*timed out|Tunnel connection failed: [0-9]+[ A-Za-z]*|Cannot connect to proxy"
    signs="$signs|Proxy Authentication Required|certificate verify failed|CERTIFICATE_VERIFY_FAILED"
    sign=$(grep -Eo "$signs" "$log" | head -n 1) || true
    if [ -n "$sign" ]; then
        fail "$1: $2 is not reached ($sign); check the network, the proxy (HTTPS_PROXY) or the mirror ($3)"
    fi
    fail "$1: $(grep -E '^(E:|ERROR:)|No space left' "$log" | tail -n 1 | grep . || tail -n 1 "$log")"
}

PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    command -v apt-get >/dev/null || fail "Python with venv is missing; install Python 3.10 or newer with venv and pip"
    as_root true 2>"$log" ||
        fail "Python's venv cannot be installed without root; run: sudo apt-get install python3 python3-venv"
    echo "setup: installing python3 and python3-venv"
    # A new machine may be installing updates by itself.
    { as_root apt-get -qq update &&
        as_root apt-get -qq -y -o DPkg::Lock::Timeout=600 install python3 python3-venv; } >"$log" 2>&1 ||
        failed "python3-venv cannot be installed" "Debian's mirror" "/etc/apt/sources.list"
    "$PYTHON" -c 'import ensurepip, venv' 2>"$log" ||
        fail "PYTHON=$PYTHON has no venv; set PYTHON to a Python 3.10 or newer that has"
fi
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$PYTHON" --version) is too old; set PYTHON to a Python 3.10 or newer"

echo "setup: installing the locked packages into .venv"
rm -rf .venv || fail ".venv cannot be removed; mend its rights"
"$PYTHON" -m venv .venv >"$log" 2>&1 || failed "the environment .venv cannot be made" "its source" "none is needed"
install() {
    .venv/bin/pip install --quiet --disable-pip-version-check --retries 2 "$@" >"$log" 2>&1 ||
        failed "the Python packages cannot be installed" "the Python package index" "pip config set global.index-url URL"
}
install -r requirements.lock
install --no-deps --no-build-isolation -e .
touch .venv/ready
