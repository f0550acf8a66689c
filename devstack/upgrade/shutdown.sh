#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Grenade: stop the services of the earlier release.
set -o errexit

# shellcheck source=/dev/null
source "$GRENADE_DIR/grenaderc"
# shellcheck source=/dev/null
source "$GRENADE_DIR/functions"
# shellcheck source=/dev/null
source "$BASE_DEVSTACK_DIR/functions"
# shellcheck source=/dev/null
source "$BASE_DEVSTACK_DIR/stackrc"

plugin=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=/dev/null
source "$BASE_DEVSTACK_DIR/lib/tls"
# shellcheck source=/dev/null
source "$BASE_DEVSTACK_DIR/lib/apache"
# shellcheck source=devstack/settings
source "$plugin/settings"
# shellcheck source=devstack/plugin.sh
source "$plugin/plugin.sh"

set -o xtrace

stop_cloudkitty

# What still runs here is not stopped by what is installed next.
ensure_services_stopped ck-api ck-proc
