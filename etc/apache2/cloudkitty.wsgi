# SPDX-License-Identifier: Apache-2.0
"""The API for mod_wsgi. The configuration is /etc/cloudkitty/cloudkitty.conf; other files are named in
``os.environ["OS_CLOUDKITTY_CONFIG_FILES"]`` before the import."""

from cloudkitty.wsgi.api import application

__all__ = ["application"]
