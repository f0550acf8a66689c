# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What tools/demo and tools/test share: a virtual environment inside the checkout that
# holds the package as it stands. To be sourced with $top set to the root of the checkout.
: "${top:?}"

# The standard error stream, so that the output of a command stays its own.
say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# find_python: print the first interpreter that is new enough; $PYTHON goes first.
find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    die "Python 3.11 or newer is needed and was not found; on Debian 12 or newer, or" \
        "Ubuntu 24.04 or newer: apt-get install python3 python3-venv" \
        "(or name another interpreter: PYTHON=/path/to/python $0)"
}

# make_venv DIR: make the virtual environment unless it works already.
make_venv() {
    "$1/bin/python" -m pip --version >/dev/null 2>&1 && return 0
    python=$(find_python) || exit 1
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "the venv module of $python is missing; on Debian and Ubuntu:" \
            "apt-get install python3-venv"
    say "making the virtual environment ${1##*/}"
    rm -rf "$1"
    "$python" -m venv "$1" || die "$python -m venv $1 failed; see above"
}

# fingerprint ARG...: print a number that changes when the package or the arguments change.
fingerprint() {
    {
        printf '%s\n' "$@"
        find "$top/cloudkitty" "$top/etc" -type f ! -name '*.pyc' -exec cksum {} + | sort
        cksum "$top/setup.cfg" "$top/setup.py" "$top/pyproject.toml" \
            "$top/requirements.txt" "$top/test-requirements.txt"
    } | cksum
}

# install_package DIR PIP-ARGUMENT...: install the package, when it or the arguments changed.
install_package() {
    venv=$1
    shift
    current=$(fingerprint "$@")
    [ "$(cat "$venv/installed" 2>/dev/null)" = "$current" ] && return 0
    # The version comes from git; an unpacked archive has none.
    if [ -z "${PBR_VERSION:-}" ] && [ ! -f "$top/PKG-INFO" ] &&
        ! git -C "$top" rev-parse HEAD >/dev/null 2>&1; then
        PBR_VERSION=0.0.1
        export PBR_VERSION
    fi
    say "installing the package into ${venv##*/} (the first time takes a minute)"
    # What an earlier build left behind would be installed too, deleted modules included.
    rm -rf "$top/build" "$venv/installed"
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        "$top" "$@" >"$venv/install.log" 2>&1 </dev/null; then
        tail -n 20 "$venv/install.log" >&2
        die "pip could not install the package; everything it said is in $venv/install.log"
    fi
    printf '%s\n' "$current" >"$venv/installed"
}
