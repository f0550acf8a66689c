#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# CloudKitty in DevStack: the API under /rating and the processor.
#
# DevStack calls `source plugin.sh MODE [PHASE]`; without arguments only the functions are defined,
# for the upgrade scripts. What a function needs is in `settings` and in DevStack's own functions.

_XTRACE_CLOUDKITTY=$(set +o | grep xtrace)
set +o xtrace

CLOUDKITTY_WSGI=cloudkitty.wsgi.api:application

# What `is_service_enabled cloudkitty` asks.
function is_cloudkitty_enabled {
    [[ ,$ENABLED_SERVICES, =~ ,ck-(api|proc), ]]
}

# The directory of the programs: that of DevStack's virtual environment, if it has one.
function _cloudkitty_bin {
    get_python_exec_prefix
}

# The URL behind which Apache passes requests on to uWSGI.
function _cloudkitty_url {
    echo "$SERVICE_PROTOCOL://$SERVICE_HOST/rating"
}

# Whether Horizon gets the rating panels.
function _cloudkitty_has_panels {
    [[ $CLOUDKITTY_HORIZON == True ]] && is_service_enabled horizon
}

# The directory of the panels' files, one for each panel and group.
function _cloudkitty_panels {
    "${PYTHON:-python3}" -c '
import importlib.util, os.path, sys
found = importlib.util.find_spec("cloudkittydashboard")
if found is None:
    sys.exit("There is no package cloudkittydashboard.")
print(os.path.join(found.submodule_search_locations[0], "enabled"))
'
}

# install_cloudkitty() - Programs, client and panels.
function install_cloudkitty {
    local database=mysql
    if [[ $DATABASE_TYPE == postgresql ]]; then
        database=postgresql
    fi
    setup_develop "$CLOUDKITTY_DIR" "$database"
    pip_install "$CLOUDKITTY_CLIENT_PACKAGE"
    if is_service_enabled ck-api; then
        pip_install uwsgi
    fi
    if _cloudkitty_has_panels; then
        pip_install "$CLOUDKITTY_DASHBOARD_PACKAGE"
    fi
}

# The metrics file that is shipped for the collector, unless CLOUDKITTY_METRICS names another.
function _cloudkitty_metrics {
    local collector=$CLOUDKITTY_COLLECTOR
    if [[ $collector == aetos ]]; then
        collector=prometheus
    fi
    local shipped=$CLOUDKITTY_DIR/etc/cloudkitty/metrics-$collector.yml
    if [[ -n $CLOUDKITTY_METRICS ]]; then
        echo "$CLOUDKITTY_METRICS"
    elif [[ -e $shipped ]]; then
        echo "$shipped"
    else
        echo "$CLOUDKITTY_DIR/etc/cloudkitty/metrics.yml"
    fi
}

# Where usage comes from. A collector that is not named here takes its options from local.conf.
function _cloudkitty_configure_collector {
    local section=collector_$CLOUDKITTY_COLLECTOR
    iniset "$CLOUDKITTY_CONF" collect collector "$CLOUDKITTY_COLLECTOR"
    case $CLOUDKITTY_COLLECTOR in
        gnocchi | ceilometer | aetos)
            iniset "$CLOUDKITTY_CONF" "$section" auth_section keystone_authtoken
            iniset "$CLOUDKITTY_CONF" "$section" region_name "$REGION_NAME"
            ;;
        prometheus)
            iniset "$CLOUDKITTY_CONF" "$section" prometheus_url "$CLOUDKITTY_PROMETHEUS_URL"
            ;;
    esac
}

# Whom to rate.
function _cloudkitty_configure_fetcher {
    iniset "$CLOUDKITTY_CONF" fetcher backend "$CLOUDKITTY_FETCHER"
    case $CLOUDKITTY_FETCHER in
        keystone | gnocchi)
            iniset "$CLOUDKITTY_CONF" "fetcher_$CLOUDKITTY_FETCHER" auth_section keystone_authtoken
            ;;
    esac
}

# configure_cloudkitty() - Directories and configuration.
function configure_cloudkitty {
    sudo install -d -o "$STACK_USER" -m 755 "$CLOUDKITTY_CONF_DIR" "$CLOUDKITTY_DATA_DIR"
    # Nothing of an earlier run stays.
    rm -f "$CLOUDKITTY_CONF"
    install -m 644 "$(_cloudkitty_metrics)" "$CLOUDKITTY_METRICS_CONF"

    iniset "$CLOUDKITTY_CONF" DEFAULT debug "$ENABLE_DEBUG_LOG_LEVEL"
    iniset "$CLOUDKITTY_CONF" DEFAULT auth_strategy "$CLOUDKITTY_AUTH_STRATEGY"
    iniset "$CLOUDKITTY_CONF" DEFAULT state_path "$CLOUDKITTY_DATA_DIR"
    setup_logging "$CLOUDKITTY_CONF"
    iniset "$CLOUDKITTY_CONF" database connection "$(database_connection_url "$CLOUDKITTY_DATABASE")"
    configure_keystone_authtoken_middleware "$CLOUDKITTY_CONF" "$CLOUDKITTY_SERVICE_USER"
    # Apache says by which protocol and under which name it was asked.
    iniset "$CLOUDKITTY_CONF" oslo_middleware enable_proxy_headers_parsing True

    iniset "$CLOUDKITTY_CONF" collect metrics_conf "$CLOUDKITTY_METRICS_CONF"
    iniset "$CLOUDKITTY_CONF" collect period "$CLOUDKITTY_PERIOD"
    iniset "$CLOUDKITTY_CONF" collect wait_periods "$CLOUDKITTY_WAIT_PERIODS"
    iniset "$CLOUDKITTY_CONF" collect first_period "$CLOUDKITTY_FIRST_PERIOD"
    iniset "$CLOUDKITTY_CONF" orchestrator max_workers "$CLOUDKITTY_WORKERS"
    iniset "$CLOUDKITTY_CONF" orchestrator coordination_url "$CLOUDKITTY_COORDINATION_URL"
    _cloudkitty_configure_collector
    _cloudkitty_configure_fetcher

    if is_service_enabled ck-api; then
        write_uwsgi_config "$CLOUDKITTY_UWSGI_CONF" "$CLOUDKITTY_WSGI" /rating "" cloudkitty-api
        iniset "$CLOUDKITTY_UWSGI_CONF" uwsgi env "OS_CLOUDKITTY_CONFIG_FILES=$CLOUDKITTY_CONF"
    fi
    if _cloudkitty_has_panels; then
        configure_cloudkitty_panels
    fi
}

# configure_cloudkitty_panels() - Show the rating panels in Horizon, which is started later.
function configure_cloudkitty_panels {
    local panels
    panels=$(_cloudkitty_panels) || die $LINENO "the rating panels are not installed"
    cp -p "$panels"/_[0-9]*.py "$HORIZON_DIR/openstack_dashboard/local/enabled/"
}

# create_cloudkitty_accounts() - What the identity service has to know.
function create_cloudkitty_accounts {
    # To validate tokens and to see the usage of all projects.
    create_service_user "$CLOUDKITTY_SERVICE_USER" admin

    # The projects on which the user has this role are rated.
    get_or_create_role rating
    local project
    for project in $CLOUDKITTY_RATED_PROJECTS; do
        get_or_add_user_project_role rating "$CLOUDKITTY_SERVICE_USER" "$project" \
            "$SERVICE_DOMAIN_NAME" "$CLOUDKITTY_RATED_PROJECTS_DOMAIN"
    done

    local url
    url=$(_cloudkitty_url)
    get_or_create_service cloudkitty rating "OpenStack Rating"
    get_or_create_endpoint rating "$REGION_NAME" "$url" "$url" "$url"
}

# init_cloudkitty() - An empty database with the tables of this version.
function init_cloudkitty {
    recreate_database "$CLOUDKITTY_DATABASE"
    upgrade_cloudkitty_database
}

# upgrade_cloudkitty_database() - Bring the tables to this version; what is in them stays.
function upgrade_cloudkitty_database {
    local bin
    bin=$(_cloudkitty_bin)
    "$bin/cloudkitty-storage-init" --config-file "$CLOUDKITTY_CONF" || return
    "$bin/cloudkitty-dbsync" --config-file "$CLOUDKITTY_CONF" upgrade
}

# start_cloudkitty() - Start what is enabled; the API answers when this returns.
function start_cloudkitty {
    if is_service_enabled ck-api; then
        run_process ck-api \
            "$(command -v uwsgi) --procname-prefix ck-api --ini $CLOUDKITTY_UWSGI_CONF"
        echo "Waiting for ck-api to start..."
        if ! wait_for_service "$SERVICE_TIMEOUT" "$(_cloudkitty_url)/"; then
            die $LINENO "ck-api did not start"
        fi
    fi
    if is_service_enabled ck-proc; then
        run_process ck-proc \
            "$(_cloudkitty_bin)/cloudkitty-processor --config-file $CLOUDKITTY_CONF"
    fi
}

# stop_cloudkitty() - Stop both; a period that is being stored is finished first.
function stop_cloudkitty {
    stop_process ck-proc
    stop_process ck-api
}

# configure_cloudkitty_tempest() - Tell Tempest that there is a rating service to test.
function configure_cloudkitty_tempest {
    iniset "$TEMPEST_CONFIG" service_available cloudkitty True
}

# cleanup_cloudkitty() - Remove what the other functions have written. The database and what the
# identity service knows are DevStack's to drop: it makes both anew when it stacks.
function cleanup_cloudkitty {
    remove_uwsgi_config "$CLOUDKITTY_UWSGI_CONF" cloudkitty-api
    sudo rm -f "$(apache_site_config_for cloudkitty-api)"
    local panels file
    if _cloudkitty_has_panels && panels=$(_cloudkitty_panels 2>/dev/null); then
        for file in "$panels"/_[0-9]*.py; do
            rm -f "$HORIZON_DIR/openstack_dashboard/local/enabled/${file##*/}"
        done
    fi
    sudo rm -rf "$CLOUDKITTY_CONF_DIR" "$CLOUDKITTY_DATA_DIR"
}

function _cloudkitty_stack {
    case $1 in
        pre-install)
            # Every requirement is a Python package, which comes with the program.
            :
            ;;
        install)
            echo_summary "Installing CloudKitty"
            install_cloudkitty
            ;;
        post-config)
            echo_summary "Configuring CloudKitty"
            configure_cloudkitty
            create_cloudkitty_accounts
            ;;
        extra)
            # After the sections of local.conf have been merged into the configuration.
            echo_summary "Starting CloudKitty"
            init_cloudkitty
            start_cloudkitty
            ;;
        test-config)
            if is_service_enabled tempest; then
                echo_summary "Configuring Tempest for CloudKitty"
                configure_cloudkitty_tempest
            fi
            ;;
    esac
}

if is_cloudkitty_enabled; then
    case ${1:-} in
        stack) _cloudkitty_stack "${2:-}" ;;
        unstack) stop_cloudkitty ;;
        clean) cleanup_cloudkitty ;;
    esac
fi

$_XTRACE_CLOUDKITTY
