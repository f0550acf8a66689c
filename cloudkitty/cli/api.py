# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-api``: serves the API with the server that comes with the package.

Invariant: everything is checked before the port is bound; a process that listens can answer.
"""

import gc
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from oslo_config import cfg
from oslo_log import log

from cloudkitty import network
from cloudkitty.api import service
from cloudkitty.cli import common
from cloudkitty.db import engine
from cloudkitty.processor import memory
from cloudkitty.telemetry.requests import ApiTelemetry

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOG = log.getLogger(__name__)

PROG = "cloudkitty-api"

BACKLOG = 2048

OPTIONS = [
    cfg.HostAddressOpt(
        "host-ip", dest="cli_host_ip", metavar="ADDRESS", help="Address to bind: [api] host_ip."
    ),
    cfg.PortOpt("port", dest="cli_port", metavar="PORT", help="Port to listen on: [api] port."),
    cfg.IntOpt(
        "workers",
        dest="cli_workers",
        metavar="WORKERS",
        min=1,
        help="Worker processes: [api] workers.",
    ),
]


def main() -> None:
    sys.exit(
        common.run(PROG, serve, description="Serve the rating API over HTTP.", cli_options=OPTIONS)
    )


def serve(conf: cfg.ConfigOpts) -> None:
    """Serve until a signal ends it (the server then leaves by ``SystemExit``)."""
    for name in ("host_ip", "port", "workers"):
        given = conf[f"cli_{name}"]
        if given is not None:
            conf.set_override(name, given, group="api")
    common.log_notices(conf)
    telemetry = service.telemetry(conf)
    application = service.load(conf, telemetry)
    listener = network.listen(conf.api.host_ip, conf.api.port, "[api] host_ip, port", BACKLOG)
    if telemetry.exposition is not None:
        # Not before the port is ours: another process may be using it, and counting.
        telemetry.exposition.begin_anew()
    memory.share()
    Server(
        application,
        listener,
        workers=conf.api.workers,
        threads=conf.api.threads,
        load=lambda: reload(conf, telemetry),
    ).run()


def reload(conf: cfg.ConfigOpts, telemetry: ApiTelemetry) -> "WSGIApplication | None":
    """Return the application that the configuration files describe by now, ``None`` when they, or
    what they name, are wrong: the log says what, and nothing changes."""
    if not conf.reload_config_files():
        return None
    try:
        return service.load(conf, telemetry)
    except (*common.OPERATOR_ERRORS, *engine.DatabaseErrors) as error:
        LOG.error("The configuration is not used: %s", " ".join(str(error).split()))
        return None


ENDING = (signal.SIGTERM, signal.SIGQUIT)
"""Signals by which workers are ended."""


class Supervisor(Arbiter):  # type: ignore[misc]
    """Starts workers. One that is told to end before it is listening to signals ends as soon as it
    is: else it would put them where its parent keeps its own, and be waited for in vain."""

    def spawn_worker(self) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            pid: int = super().spawn_worker()
            return pid
        finally:
            listen_to_signals()


def listen_to_signals(_worker: object = None) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


class Server(BaseApplication):  # type: ignore[misc]
    """Worker processes with threads, on a socket that is bound already.

    The application was built before the workers fork: they share its memory, and none of them
    can fail to start where another did. On SIGHUP, *load* makes another one for new workers, while
    the old ones finish what they do; address, numbers of workers and of threads stay.
    """

    def __init__(
        self,
        application: "WSGIApplication",
        listener: socket.socket,
        *,
        workers: int,
        threads: int,
        load: Callable[[], "WSGIApplication | None"] = lambda: None,
    ) -> None:
        self._application = application
        self._load = load
        host, port = listener.getsockname()[:2]
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._settings = {
            # The descriptor belongs to the server from here on.
            "bind": f"fd://{listener.detach()}",
            "workers": workers,
            "worker_class": "gthread",
            "threads": threads,
            "keepalive": 75,
            "loglevel": "warning",
            # Else the server would open a socket in the home directory.
            "control_socket_disable": True,
            "when_ready": self._announce,
            "post_worker_init": listen_to_signals,
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            # Settings that a version of the server does not have are not needed there.
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        return self._application

    def run(self) -> None:
        Supervisor(self).run()

    def reload(self) -> None:
        super().reload()
        self._application = self._load() or self._application
        self.callable = None
        # The application of before is nobody's any more.
        gc.unfreeze()
        memory.share()

    def _announce(self, _server: object) -> None:
        print(f"{PROG} listens on {self._url}", flush=True)


if __name__ == "__main__":
    main()
