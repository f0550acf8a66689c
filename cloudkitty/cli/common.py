# SPDX-License-Identifier: Apache-2.0
"""What every command does first and last: configuration, logging, and errors for people.

Invariant: what an operator can put right is told in one line (a line for each mistake of the
metrics file), with exit code 1 and without a traceback.
"""

import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_log import log

from cloudkitty import config, configfiles
from cloudkitty.collector.metrics import MetricsError
from cloudkitty.config import ConfigurationError
from cloudkitty.db import engine
from cloudkitty.db.migration import SchemaError

LOG = log.getLogger(__name__)

INTERRUPTED = 130

OPERATOR_ERRORS = (ConfigurationError, MetricsError, SchemaError)
"""What an operator can put right."""


def run(
    prog: str,
    command: Callable[[cfg.ConfigOpts], int | None],
    *,
    description: str,
    cli_options: Sequence[cfg.Opt] = (),
    args: Sequence[str] | None = None,
) -> int:
    """Read the configuration, set logging up, run *command*, and return the exit code."""
    url = ""
    try:
        conf = config.load(
            sys.argv[1:] if args is None else args,
            prog=prog,
            description=description,
            cli_options=cli_options,
        )
        set_up_logging(conf)
        url = _database_url(conf)
        return command(conf) or 0
    except MetricsError as error:
        lines = error.problems
    except (ConfigurationError, SchemaError) as error:
        lines = [" ".join(str(error).split())]
    except engine.DatabaseErrors as error:
        lines = [engine.explain(error, url)]
    except KeyboardInterrupt:
        return INTERRUPTED
    for line in lines:
        print(f"{prog}: {line}", file=sys.stderr)
    return 1


def set_up_logging(conf: cfg.ConfigOpts) -> None:
    """Log as *conf* says."""
    # Without a file, a log would go between the lines of the command's output.
    to_file = conf.log_file or conf.log_dir or conf.use_journal or conf.use_syslog
    conf.set_default("use_stderr", not to_file)
    log.setup(conf, config.PROJECT)


def log_notices(conf: cfg.ConfigOpts) -> None:
    """Log what in the configuration files has another name now, or no meaning."""
    for notice in configfiles.notices(config.written(conf)):
        LOG.warning("%s", notice)


def _database_url(conf: cfg.ConfigOpts) -> str:
    return engine.Database(conf).url
