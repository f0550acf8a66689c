# SPDX-License-Identifier: Apache-2.0
"""Sockets to listen on."""

import os
import socket

from cloudkitty.config import ConfigurationError


def listen(host: str, port: int, option: str, backlog: int = 128) -> socket.socket:
    """Return a listening socket; *option* names where address and port were given.

    :raises ConfigurationError: the address is not of this host, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError(
            f"{option}: cannot listen on {host} port {port}: {reason}"
        ) from error
