# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The commands of the installation page that would change this host, or that need more than is here:
# the page is run as it stands, below $TEST_ROOT.

# What is installed already, or is not: the test's host stays as it is.
function apt-get { echo "left out: apt-get $*"; }
function useradd { echo "left out: useradd $*"; }

# Everything belongs to, and runs as, the user of the tests.
function sudo {
    [[ $1 != -u ]] || shift 2
    "$@"
}
function install {
    local words=()
    while (($#)); do
        case $1 in
            -o | -g) shift 2 ;;
            *)
                words+=("$1")
                shift
                ;;
        esac
    done
    command install "${words[@]}"
}

# What the package depends on comes from the environment of the tests, behind what is installed. So
# does what builds it, which pip would fetch: an old one of Python's own must not be in the way.
function python3 {
    command python3 "$@" || return
    if [[ $2 == venv ]]; then
        local site
        site=$(echo "$3"/lib/python*/site-packages)
        rm -rf "$site"/setuptools* "$site"/_distutils_hack "$site"/distutils-precedence.pth
        echo "$TEST_SITE" >"$site/tests.pth"
    fi
}

# There is no systemd, but there are its units.
function systemctl { "$TEST_PYTHON" "$TEST_FILES/units.py" "$TEST_ROOT" "$@"; }

# The calls that this client makes, without the client.
function openstack {
    printf '%s\n' "$@" |
        curl -sS --fail-with-body --noproxy '*' -m 120 --data-binary @- "$TEST_SERVERS/openstack"
}
