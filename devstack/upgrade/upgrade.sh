#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Grenade: install this release over the earlier one. The configuration stays as it is, as it does
# for operators; only the tables of the database change.

echo "*********************************************************************"
echo "Begin $0"
echo "*********************************************************************"

# Whoever has started this script has to learn that it was interrupted.
abort() {
    set +o errexit
    echo "ERROR: Abort $0" >&2
    trap - INT
    kill -INT $$
}
trap abort HUP INT TERM

RUN_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# shellcheck source=/dev/null
source "$GRENADE_DIR/grenaderc"
# shellcheck source=/dev/null
source "$GRENADE_DIR/functions"

# The first error is the one to be seen.
set -o errexit

# shellcheck source=/dev/null
source "$TARGET_DEVSTACK_DIR/stackrc"
# shellcheck source=/dev/null
source "$TARGET_DEVSTACK_DIR/lib/tls"
# shellcheck source=/dev/null
source "$TARGET_DEVSTACK_DIR/lib/apache"
# shellcheck source=/dev/null
source "$TARGET_DEVSTACK_DIR/lib/keystone"
# shellcheck source=devstack/settings
source "$RUN_DIR/../settings"
# shellcheck source=devstack/plugin.sh
source "$RUN_DIR/../plugin.sh"

set -o xtrace

# Kept once: a second run must not replace it.
[[ -d $SAVE_DIR/etc.cloudkitty ]] || cp -pr "$CLOUDKITTY_CONF_DIR" "$SAVE_DIR/etc.cloudkitty"

stack_install_service cloudkitty
upgrade_project cloudkitty "$RUN_DIR" "$BASE_DEVSTACK_BRANCH" "$TARGET_DEVSTACK_BRANCH"

upgrade_cloudkitty_database || die $LINENO "the database could not be upgraded"
# 1 says that there are warnings, which are no reason to stop.
"$(_cloudkitty_bin)/cloudkitty-status" --config-file "$CLOUDKITTY_CONF" upgrade check ||
    [[ $? == 1 ]] || die $LINENO "cloudkitty-status upgrade check has found an error"

start_cloudkitty
ensure_services_started ck-api ck-proc

set +o xtrace
echo "*********************************************************************"
echo "SUCCESS: End $0"
echo "*********************************************************************"
