# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What DevStack and Grenade offer to plugins, as far as this one uses it, with the names and the
# arguments that they have there: for one directory, without privileges, on servers that run.
#
# The test exports TEST_PYTHON (with all packages), TEST_SERVERS (devstack_servers.py), TEST_STATE
# (logs, pids), TEST_APACHE (a directory that everybody may enter; empty: there is no Apache),
# TEST_PORT, TEST_IDENTITY, TEST_DATABASE_URL, and DevStack's own DEST, DATA_DIR, HORIZON_DIR,
# ENABLED_SERVICES, SERVICE_HOST, SERVICE_PROTOCOL, SERVICE_PASSWORD, SERVICE_DOMAIN_NAME,
# SERVICE_PROJECT_NAME, REGION_NAME, STACK_USER, SERVICE_TIMEOUT and DATABASE_TYPE.

function sudo { "$@"; }
function echo_summary { echo "== $*"; }

function die {
    echo "line $1: $2" >&2
    exit 1
}

function trueorfalse {
    local value=${!2:-}
    case ${value,,} in
        1 | yes | true) echo True ;;
        0 | no | false) echo False ;;
        *) echo "$1" ;;
    esac
}

function enable_service {
    local service
    for service in "$@"; do
        # One that local.conf disables is written with a minus.
        [[ ,$ENABLED_SERVICES, =~ ,-?$service, ]] || ENABLED_SERVICES+=,$service
    done
}

function is_service_enabled {
    local service
    for service in "$@"; do
        [[ ,$ENABLED_SERVICES, == *,$service,* ]] && return 0
    done
    return 1
}

# iniset FILE SECTION OPTION VALUE
function iniset {
    [[ -e $1 ]] || : >"$1"
    grep -qxF "[$2]" "$1" || printf '\n[%s]\n' "$2" >>"$1"
    SECTION="[$2]" OPTION=$3 VALUE=$4 awk '
        /^\[/ { inside = ($0 == ENVIRON["SECTION"]) }
        inside && $1 == ENVIRON["OPTION"] && $2 == "=" { next }
        { print }
        $0 == ENVIRON["SECTION"] { print ENVIRON["OPTION"] " = " ENVIRON["VALUE"] }
    ' "$1" >"$1.new"
    mv "$1.new" "$1"
}

# Python ----------------------------------------------------------------------

function get_python_exec_prefix { echo "$DEST/venv/bin"; }

function setup_develop {
    "$TEST_PYTHON" -m pip -q --python "$DEST/venv/bin/python" install --no-deps --no-index --ignore-installed \
        --no-build-isolation --disable-pip-version-check -e "$1"
}

# What is asked for stands in a list; the test's environment has it already, but for the panels,
# of which there is the shape.
function pip_install {
    echo "$1" >>"$TEST_STATE/pip_install"
    if [[ $1 == cloudkitty-dashboard ]]; then
        local site
        site=$(echo "$DEST"/venv/lib/python*/site-packages)/cloudkittydashboard
        mkdir -p "$site/enabled"
        touch "$site/__init__.py" "$site/enabled/_11_admin_group.py" "$site/enabled/_12_panel.py"
    fi
}

# Database and identity -------------------------------------------------------

# _ask VERB ARGUMENT...
function _ask {
    local verb=$1
    shift
    printf '%s\n' "$@" |
        curl -sS --fail-with-body --noproxy '*' -m 120 --data-binary @- "$TEST_SERVERS/$verb"
}

# recreate_database NAME
function recreate_database { _ask recreate_database "$1"; }
function database_connection_url { echo "$TEST_DATABASE_URL/$1?charset=utf8mb4"; }

function get_or_create_role { _ask role "$@"; }
function get_or_create_service { _ask service "$@"; }
function get_or_create_endpoint { _ask endpoint "$@"; }
function get_or_add_user_project_role { _ask grant "$@"; }

# create_service_user NAME [ROLE]
function create_service_user {
    local role
    _ask user "$1" "$SERVICE_PASSWORD" "$SERVICE_DOMAIN_NAME"
    for role in service ${2:-}; do
        get_or_add_user_project_role "$role" "$1" "$SERVICE_PROJECT_NAME" \
            "$SERVICE_DOMAIN_NAME" "$SERVICE_DOMAIN_NAME"
    done
}

# configure_keystone_authtoken_middleware FILE USER
function configure_keystone_authtoken_middleware {
    local section=keystone_authtoken
    iniset "$1" $section auth_type password
    iniset "$1" $section interface public
    iniset "$1" $section auth_url "$TEST_IDENTITY"
    iniset "$1" $section www_authenticate_uri "$TEST_IDENTITY"
    iniset "$1" $section username "$2"
    iniset "$1" $section password "$SERVICE_PASSWORD"
    iniset "$1" $section user_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$1" $section project_name "$SERVICE_PROJECT_NAME"
    iniset "$1" $section project_domain_name "$SERVICE_DOMAIN_NAME"
}

function setup_logging {
    iniset "$1" DEFAULT logging_default_format_string "%(levelname)s %(name)s %(message)s"
}

# uWSGI and Apache ------------------------------------------------------------

function apache_site_config_for { echo "$TEST_STATE/sites/$1.conf"; }

# write_uwsgi_config FILE MODULE PATH HTTP NAME. Without an Apache, uWSGI serves the path itself.
function write_uwsgi_config {
    rm -f "$1"
    iniset "$1" uwsgi venv "$DEST/venv"
    iniset "$1" uwsgi processes 2
    iniset "$1" uwsgi master true
    iniset "$1" uwsgi die-on-term true
    iniset "$1" uwsgi exit-on-reload true
    iniset "$1" uwsgi enable-threads true
    iniset "$1" uwsgi plugins python
    iniset "$1" uwsgi thunder-lock true
    iniset "$1" uwsgi buffer-size 65535
    iniset "$1" uwsgi add-header "Connection: close"
    iniset "$1" uwsgi lazy-apps true
    iniset "$1" uwsgi worker-reload-mercy 5
    if [[ -z $TEST_APACHE ]]; then
        iniset "$1" uwsgi http "127.0.0.1:$TEST_PORT"
        iniset "$1" uwsgi manage-script-name true
        iniset "$1" uwsgi mount "$3=$2"
        return
    fi
    iniset "$1" uwsgi module "$2"
    iniset "$1" uwsgi socket "$TEST_APACHE/$5.socket"
    iniset "$1" uwsgi chmod-socket 666
    mkdir -p "$TEST_STATE/sites"
    cat >"$(apache_site_config_for "$5")" <<SITE
SetEnv proxy-sendcl 1
ProxyPass "$3" "unix:$TEST_APACHE/$5.socket|uwsgi://uwsgi-uds-$5" retry=0
SITE
    restart_apache_server
}

function remove_uwsgi_config { rm -f "$1"; }

function restart_apache_server {
    stop_apache_server
    apache2 -f "$TEST_STATE/apache2.conf" -k start
}

function stop_apache_server {
    local pidfile=$TEST_STATE/apache2.pid
    [[ ! -e $pidfile ]] || _end "$(<"$pidfile")"
}

# Processes -------------------------------------------------------------------

# Whether a process runs; one that has ended and that nobody has asked about does not.
function _runs {
    [[ -r /proc/$1/stat && $(ps -o stat= -p "$1") != Z* ]]
}

# _end PID: end a process gently, and in the end at any rate.
function _end {
    local tries
    kill "$1" 2>/dev/null || return 0
    for ((tries = 0; tries < 900; tries++)); do
        _runs "$1" || return 0
        sleep 0.1
    done
    kill -KILL "$1"
    die $LINENO "process $1 did not end when told"
}

# run_process NAME COMMAND
function run_process {
    is_service_enabled "$1" || return 0
    # shellcheck disable=SC2086 # a command line, as in a unit of systemd
    nohup $2 >>"$TEST_STATE/$1.log" 2>&1 </dev/null &
    echo $! >"$TEST_STATE/$1.pid"
}

function stop_process {
    local pidfile=$TEST_STATE/$1.pid
    [[ -e $pidfile ]] || return 0
    _end "$(<"$pidfile")"
    rm "$pidfile"
}

# wait_for_service SECONDS URL
function wait_for_service {
    timeout "$1" bash -c "until curl -sf -m 5 -o /dev/null '$2'; do sleep 0.2; done"
}

# Grenade ---------------------------------------------------------------------

function stack_install_service { "install_$1"; }
function upgrade_project { echo "nothing to change in the configuration of $1 after $3"; }

function ensure_services_stopped {
    local name
    for name in "$@"; do
        [[ ! -e $TEST_STATE/$name.pid ]] || die $LINENO "$name still runs"
    done
}

function ensure_services_started {
    local name
    for name in "$@"; do
        _runs "$(<"$TEST_STATE/$name.pid")" || die $LINENO "$name does not run"
    done
}
