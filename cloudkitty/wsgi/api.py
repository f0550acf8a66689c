# SPDX-License-Identifier: Apache-2.0
"""The API for WSGI servers (uWSGI, gunicorn, mod_wsgi): ``cloudkitty.wsgi.api:application``.

The server owns the command line, so the configuration files are named by the environment:
``OS_CLOUDKITTY_CONFIG_FILES`` (separated by semicolons), looked for in ``OS_CLOUDKITTY_CONFIG_DIR``
when they are relative; without them the usual places are searched.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cloudkitty import config
from cloudkitty.api import service
from cloudkitty.cli import common

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def config_files(environment: Mapping[str, str]) -> list[str] | None:
    """Return the configuration files that *environment* names, ``None`` for the usual ones."""
    names = environment.get("OS_CLOUDKITTY_CONFIG_FILES", "").split(";")
    directory = pathlib.Path(environment.get("OS_CLOUDKITTY_CONFIG_DIR", ""))
    files = [str(directory / name.strip()) for name in names if name.strip()]
    if not files and environment.get("OS_CLOUDKITTY_CONFIG_DIR"):
        files = [str(directory / f"{config.PROJECT}.conf")]
    return files or None


def build(environment: Mapping[str, str]) -> "WSGIApplication":
    """Return the application of the configuration that *environment* names.

    :raises Exception: as ``service.load``; the server shows it and does not start.
    """
    conf = config.load([], prog="cloudkitty-api", config_files=config_files(environment))
    common.set_up_logging(conf)
    common.log_notices(conf)
    return service.load(conf, service.telemetry(conf))


application = build(os.environ)
