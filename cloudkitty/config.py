# SPDX-License-Identifier: Apache-2.0
"""Every configuration option, so that neither the sample file nor the docs can miss one.

Nothing here is global: ``load`` returns a new ``ConfigOpts`` that is handed down.
"""

import multiprocessing
import socket
from collections.abc import Iterable, Sequence

from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg, types
from oslo_db import options as db_options
from oslo_log import log as oslo_log
from oslo_middleware import cors, sizelimit
from oslo_policy import opts as policy_opts

from cloudkitty import period

PROJECT = "cloudkitty"

Options = list[cfg.Opt]


class ConfigurationError(Exception):
    """The configuration is wrong; the message names the option or the line."""


class TimeZone(types.String):  # type: ignore[misc]
    """The name of a time zone that this machine knows."""

    def __call__(self, value: object) -> str:
        return period.zone(str(super().__call__(value))).key


DEFAULT: Options = [
    cfg.StrOpt(
        "state_path",
        default="/var/lib/cloudkitty",
        help="Directory for what the service keeps on disk: the SQLite database unless "
        "[database] connection says otherwise, and lock files.",
    ),
    cfg.HostAddressOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<your host name>",
        help="Name of this host, as logs and other hosts show it.",
    ),
    cfg.StrOpt(
        "api_paste_config",
        default="api_paste.ini",
        help="File with the WSGI pipelines of the API; a relative name is looked for in the "
        "configuration directories. The one shipped with the package serves when none is found.",
    ),
    cfg.StrOpt(
        "auth_strategy",
        choices=[
            ("keystone", "Tokens are validated by keystonemiddleware, and policies apply."),
            ("noauth", "No token is asked for, and every caller is an administrator."),
        ],
        default="keystone",
        help="How callers of the API are authenticated.",
    ),
]

API: Options = [
    cfg.HostAddressOpt("host_ip", default="0.0.0.0", help="Address that cloudkitty-api binds."),
    cfg.PortOpt("port", default=8889, help="Port that cloudkitty-api listens on."),
    cfg.IntOpt(
        "workers",
        min=1,
        default=min(4, multiprocessing.cpu_count()),
        sample_default="<CPU count, at most 4>",
        help="Worker processes of cloudkitty-api.",
    ),
    cfg.IntOpt("threads", min=1, default=4, help="Threads of each worker of cloudkitty-api."),
    cfg.Opt(
        "billing_time_zone",
        type=TimeZone(),
        default="UTC",
        help="Time zone, such as Europe/Paris, of the calendar of version 2: in which day, week, "
        "month and year a period lies when a summary is grouped by these, and which month is the "
        "current one when a request names none.",
    ),
]

COLLECT: Options = [
    cfg.StrOpt("collector", default="gnocchi", help="Where usage comes from: name of a collector."),
    cfg.IntOpt(
        "period",
        min=1,
        default=3600,
        help="Length of a period in seconds. Must not change on a live system.",
    ),
    cfg.IntOpt(
        "wait_periods",
        min=0,
        default=2,
        help="Periods to wait, counted from the start of a period, before it is rated, so that "
        "late usage has arrived. 1 rates a period as soon as it has ended.",
    ),
    cfg.StrOpt(
        "metrics_conf",
        default="/etc/cloudkitty/metrics.yml",
        help="File that says which metrics are collected, and how.",
    ),
    cfg.StrOpt(
        "scope_key",
        default="project_id",
        help="Attribute whose values are the scopes: who is rated.",
    ),
    cfg.StrOpt(
        "first_period",
        default="month",
        help="Where a scope that is seen for the first time starts: 'month' (first instant of the "
        "current UTC month), 'now' (the period that runs), or an instant such as "
        "2026-01-01T00:00:00.",
    ),
]

COLLECTOR_CSV: Options = [
    cfg.MultiStrOpt(
        "file",
        default=[],
        help="CSV file with usage, plain or gzip; may be given several times. Its columns are "
        "begin, end, metric, qty, [collect] scope_key, and attributes; rows are sorted by begin.",
    ),
]

COLLECTOR_CEILOMETER: Options = [
    cfg.StrOpt(
        "endpoint",
        help="URL of the metering API. Unset: the service of type 'metering' in the catalogue "
        "of the identity service, which auth_type and its options lead to. Set without auth_type: "
        "asked without a token.",
    ),
    cfg.StrOpt("interface", default="internalURL", help="Interface in the service catalogue."),
    cfg.StrOpt("region_name", help="Region in the service catalogue."),
    cfg.IntOpt(
        "page_size",
        min=1,
        default=10000,
        help="Most resources or samples asked for in one request. Must be more than the resources "
        "of the whole cloud, which the API lists in one piece; samples come page by page.",
    ),
]

FETCHER: Options = [
    cfg.StrOpt(
        "backend",
        default="keystone",
        help="Where the list of scopes comes from: name of a fetcher.",
    ),
]

FETCHER_SOURCE: Options = [
    cfg.ListOpt("sources", default=[], help="Ids of the scopes to rate."),
]

FETCHER_CSV: Options = [
    cfg.MultiStrOpt(
        "file",
        default=[],
        help="CSV file with a column of scope ids, plain or gzip; may be given several times. "
        "Unset: the files of [collector_csv].",
    ),
    cfg.StrOpt("column", help="Name of the column with scope ids. Unset: [collect] scope_key."),
]

PYSCRIPTS: Options = [
    cfg.IntOpt(
        "workers",
        min=1,
        default=2,
        help="Most processes that run scripts at the same time, for each process that rates or "
        "quotes. They are started when there are scripts to run.",
    ),
    cfg.IntOpt(
        "cpu_time",
        min=1,
        default=10,
        help="Seconds of processor time that all scripts together may use for one scope and "
        "period. A period that needs more is not rated, and tried again.",
    ),
    cfg.IntOpt(
        "wall_time",
        min=1,
        default=30,
        help="Seconds that all scripts together may take for one scope and period.",
    ),
    cfg.IntOpt(
        "memory",
        min=64,
        default=512,
        help="Address space, in MiB, of a process that runs scripts.",
    ),
]

STORAGE: Options = [
    cfg.IntOpt("version", min=1, max=2, default=2, help="Version of the storage interface."),
    cfg.StrOpt("backend", default="sqlalchemy", help="Where rated usage is kept."),
]

ORCHESTRATOR: Options = [
    cfg.StrOpt(
        "coordination_url",
        secret=True,
        default="file://$state_path/locks",
        help="Lock service shared by all processors; must be reachable from every host when "
        "there are several. Locks save work, they do not keep the ledger right: it does itself.",
    ),
    cfg.IntOpt(
        "max_workers",
        min=1,
        default=multiprocessing.cpu_count(),
        sample_default="<CPU count>",
        help="Worker processes of cloudkitty-processor.",
    ),
    cfg.IntOpt(
        "max_threads",
        min=1,
        default=16,
        deprecated_name="max_greenthreads",
        help="Metrics collected at the same time by one worker.",
    ),
    cfg.IntOpt(
        "collector_request_timeout",
        min=30,
        default=300,
        help="Seconds that collecting all metrics of one period may take.",
    ),
    cfg.IntOpt(
        "batch_size",
        min=1,
        default=500,
        help="Most scopes that are collected, rated and stored together.",
    ),
    cfg.IntOpt(
        "retry_interval",
        min=1,
        default=10,
        help="Seconds before a failed period is tried again; doubled with each further failure.",
    ),
    cfg.IntOpt(
        "max_retry_interval",
        min=1,
        default=600,
        help="Most seconds between two tries of a failed period.",
    ),
    cfg.StrOpt(
        "skip_datapoints_expression",
        default="False",
        help='Condition on a rated point, such as \'datapoint["vol"]["qty"] == 0\'; points for '
        "which it holds are not stored. A metric definition may have one of its own.",
    ),
]


def _keystone_options() -> Options:
    """The options of keystoneauth sessions and of the password plugin, for the sample file."""
    options = keystone_loading.get_session_conf_options()
    options += keystone_loading.get_auth_common_conf_options()
    options += [
        option
        for option in keystone_loading.get_auth_plugin_conf_options("password")
        if option.name not in {known.name for known in options}
    ]
    return options


GROUPS: dict[str, Options] = {
    "DEFAULT": DEFAULT,
    "api": API,
    "collect": COLLECT,
    "collector_csv": COLLECTOR_CSV,
    "collector_ceilometer": COLLECTOR_CEILOMETER,
    "fetcher": FETCHER,
    "fetcher_source": FETCHER_SOURCE,
    "fetcher_csv": FETCHER_CSV,
    "orchestrator": ORCHESTRATOR,
    "pyscripts": PYSCRIPTS,
    "storage": STORAGE,
}

KEYSTONE_GROUPS = ("collector_ceilometer",)
"""Sections in which a keystoneauth plugin is configured."""


def list_opts() -> Iterable[tuple[str, Options]]:
    """Every option of the service by section, for ``oslo-config-generator``."""
    for group, options in GROUPS.items():
        keystone = _keystone_options() if group in KEYSTONE_GROUPS else []
        yield group, [*options, *keystone]


def set_library_defaults(conf: cfg.ConfigOpts | None = None) -> None:
    """Set what the libraries' options default to in this service."""
    cors.set_defaults(
        allow_headers=[
            "X-Auth-Token",
            "X-Subject-Token",
            "X-Roles",
            "X-User-Id",
            "X-Domain-Id",
            "X-Project-Id",
            "X-Tenant-Id",
            "X-OpenStack-Request-ID",
        ],
        expose_headers=[
            "X-Auth-Token",
            "X-Subject-Token",
            "X-Service-Token",
            "X-OpenStack-Request-ID",
        ],
        allow_methods=["GET", "PUT", "POST", "DELETE", "PATCH"],
    )
    connection = "sqlite:///$state_path/cloudkitty.sqlite"
    # Thousands of data frames may come in one request.
    largest = 8 * 1024 * 1024
    levels = [
        *oslo_log.get_default_log_levels(),
        # A migration that goes well is no news.
        "alembic=WARN",
        # What fails in the end is raised, and told once by whoever knows what it was for.
        "oslo_db.sqlalchemy.exc_filters=CRITICAL",
        "keystoneauth.session=ERROR",
        "stevedore.named=ERROR",
    ]
    if conf is None:
        cfg.set_defaults(db_options.database_opts, connection=connection)
        oslo_log.set_defaults(default_log_levels=levels)
        cfg.set_defaults(sizelimit.OPTS, max_request_body_size=largest)
    else:
        conf.register_opts(sizelimit.OPTS, "oslo_middleware")
        conf.set_default("max_request_body_size", largest, "oslo_middleware")
        conf.set_default("default_log_levels", levels)
        db_options.set_defaults(conf, connection=connection)
        policy_opts.set_defaults(conf, "policy.yaml")


def register(conf: cfg.ConfigOpts) -> None:
    """Register every option on *conf*."""
    for group, options in GROUPS.items():
        conf.register_opts(options, group=None if group == "DEFAULT" else group)
    for group in KEYSTONE_GROUPS:
        keystone_loading.register_session_conf_options(conf, group)
        keystone_loading.register_auth_conf_options(conf, group)
    oslo_log.register_options(conf)
    set_library_defaults(conf)


def load(
    args: Sequence[str],
    *,
    prog: str | None = None,
    description: str | None = None,
    cli_options: Sequence[cfg.Opt] = (),
    config_files: Sequence[str] | None = None,
) -> cfg.ConfigOpts:
    """Read command line and configuration files into a new object.

    :raises ConfigurationError: a file is missing or wrong, or a value does not fit its option.
    """
    from cloudkitty import version

    conf = cfg.ConfigOpts()
    conf.register_cli_opts(list(cli_options))
    register(conf)
    try:
        conf(
            list(args),
            project=PROJECT,
            prog=prog,
            description=description,
            version=version.version_string(),
            default_config_files=list(config_files) if config_files is not None else None,
        )
        _check(conf)
    except cfg.ConfigFilesNotFoundError as error:
        raise ConfigurationError(f"--config-file: {error}") from error
    except cfg.Error as error:
        raise ConfigurationError(str(error)) from error
    except OSError as error:
        raise ConfigurationError(
            f"--config-file: cannot read {error.filename}: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"--config-file: a file is not UTF-8 text: {error}") from error
    return conf


def _check(conf: cfg.ConfigOpts) -> None:
    """Read every option of the service once, so that a wrong value is found at the start."""
    for group, options in GROUPS.items():
        section = conf if group == "DEFAULT" else conf[group]
        for option in options:
            try:
                section[option.dest]
            except (ValueError, cfg.Error) as error:
                raise ConfigurationError(f"[{group}] {option.name}: {error}") from error
