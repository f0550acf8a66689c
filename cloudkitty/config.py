# SPDX-License-Identifier: Apache-2.0
"""Every configuration option, so that neither the sample file nor the docs can miss one.

Nothing here is global: ``load`` returns a new ``ConfigOpts`` that is handed down.
"""

import multiprocessing
import pathlib
import socket
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata

from cotyledon import oslo_config_glue
from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg, iniparser, types
from oslo_db import options as db_options
from oslo_log import log as oslo_log
from oslo_middleware import cors, sizelimit
from oslo_policy import opts as policy_opts

from cloudkitty import configfiles, period

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
        "[database] connection says otherwise, lock files, and numbers for Prometheus.",
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
    cfg.BoolOpt(
        "metrics",
        default=False,
        help="Whether /metrics shows numbers about the API to Prometheus. Whoever reaches the port "
        "can read them, without a token.",
    ),
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
    cfg.IntOpt(
        "late_data_grace",
        min=0,
        default=600,
        help="Seconds that a period waits beyond wait_periods for a metric of which its scope used "
        "something in the period before, and of which nothing has arrived. The default is what a "
        "metering system that polls every five minutes needs to make good for a poll that it has "
        "missed. 0: such a period is rated as it is.",
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

GNOCCHI: Options = [
    cfg.StrOpt(
        "gnocchi_auth_type",
        choices=[
            ("keystone", "A token of the identity service, by auth_type and its options."),
            ("basic", "The user name in gnocchi_user, as Gnocchi's auth_mode 'basic' takes it."),
        ],
        default="keystone",
        help="How Gnocchi is told who asks.",
    ),
    cfg.StrOpt(
        "gnocchi_user",
        default="",
        help="With gnocchi_auth_type 'basic': the user, who has to see the resources of all "
        "projects, such as admin.",
    ),
    cfg.StrOpt(
        "gnocchi_endpoint",
        default="",
        help="URL of Gnocchi, such as http://127.0.0.1:8041. Needed with gnocchi_auth_type "
        "'basic'; unset otherwise, it is the service of type 'metric' in the catalogue of the "
        "identity service.",
    ),
    cfg.StrOpt("interface", default="internalURL", help="Interface in the service catalogue."),
    cfg.StrOpt("region_name", default="RegionOne", help="Region in the service catalogue."),
    cfg.IntOpt(
        "http_pool_maxsize",
        min=1,
        default=10,
        help="Most connections to Gnocchi that are kept open.",
    ),
]

COLLECTOR_GNOCCHI: Options = GNOCCHI


def _prometheus(whose: str) -> Options:
    """The way to a Prometheus, for *whose* section it is."""
    return [
        cfg.StrOpt(
            "prometheus_url",
            default="",
            help=f"URL of the HTTP API of the Prometheus that {whose}, with /api/v1 at its end, "
            "like http://localhost:9090/api/v1.",
        ),
        cfg.StrOpt(
            "prometheus_user",
            help="User for basic authentication, which takes a password, too. Unset: none.",
        ),
        cfg.StrOpt("prometheus_password", secret=True, help="Password for basic authentication."),
        cfg.StrOpt(
            "cafile", help="File with the certificates of authorities. Unset: those of the system."
        ),
        cfg.BoolOpt(
            "insecure", default=False, help="Whether the server's certificate is left unchecked."
        ),
        cfg.FloatOpt(
            "timeout",
            min=0,
            default=60,
            help="Seconds without a byte of the answer after which a request has failed.",
        ),
    ]


COLLECTOR_PROMETHEUS: Options = _prometheus("usage comes from")

COLLECTOR_AETOS: Options = [
    cfg.StrOpt(
        "interface",
        choices=[
            ("internal", "The endpoint for the cloud's own services."),
            ("public", "The endpoint for everybody."),
            ("admin", "The endpoint for administrators."),
        ],
        default="public",
        help="Interface in the service catalogue, in which Aetos is the service of type "
        "'metric-storage'.",
    ),
    cfg.StrOpt("region_name", help="Region in the service catalogue."),
]

FETCHER: Options = [
    cfg.StrOpt(
        "backend",
        default="keystone",
        help="Where the list of scopes comes from: name of a fetcher.",
    ),
]

FETCHER_KEYSTONE: Options = [
    cfg.StrOpt(
        "keystone_version",
        choices=[
            ("2", "Tenants. The roles of each are asked for in a request of its own."),
            ("3", "Projects of domains. All roles are asked for at once."),
        ],
        default="3",
        help="Version of the identity API that is asked for projects.",
    ),
    cfg.StrOpt(
        "rating_role",
        default="rating",
        help="Name of the role that the user of this section has on the projects to rate: "
        "directly, by a group, by inheritance or by another role.",
    ),
    cfg.BoolOpt(
        "ignore_rating_role",
        default=False,
        help="Rate every project, whatever the roles of the user of this section.",
    ),
    cfg.BoolOpt(
        "ignore_disabled_tenants",
        default=False,
        help="Leave out disabled projects, and projects of disabled domains.",
    ),
    cfg.ListOpt(
        "domains",
        default=[],
        help="Ids of the domains whose projects are rated. Unset: all domains.",
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

FETCHER_GNOCCHI: Options = [
    cfg.StrOpt(
        "scope_attribute",
        default="project_id",
        help="Attribute of resources whose values are the scopes; the same as [collect] scope_key.",
    ),
    cfg.ListOpt(
        "resource_types",
        default=["generic"],
        help="Types of the resources that are looked through. 'generic', or none, means all.",
    ),
    *GNOCCHI,
]

FETCHER_PROMETHEUS: Options = [
    cfg.StrOpt("metric", help="Metric whose series name the scopes."),
    cfg.StrOpt(
        "scope_attribute",
        default="project_id",
        help="Label of the metric whose values are the scopes.",
    ),
    cfg.DictOpt(
        "filters",
        default={},
        help="Labels and the values that they must have for a series to count, like "
        "region:north,job:nova.",
    ),
    *_prometheus("the scopes come from"),
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
    cfg.IntOpt(
        "retention_days",
        min=0,
        default=0,
        help="Days for which every point is kept. Months that ended before become totals by "
        "scope, metric, day and month, which the processor does besides rating: sums by these "
        "stay exact, and all that is finer is gone. 0 keeps everything for ever.",
    ),
]

ORCHESTRATOR: Options = [
    cfg.StrOpt(
        "coordination_url",
        secret=True,
        default="file://$state_path/locks",
        help="Coordination service by which the workers of all hosts share the scopes, as a URL of "
        "the library tooz: with file, redis, etcd3+http or zookeeper workers know of each other, "
        "mysql and postgresql have locks alone. Must be reachable from every host when there are "
        "several. It saves work, and does not keep the ledger right: that does itself.",
    ),
    cfg.IntOpt(
        "max_workers",
        min=0,
        default=multiprocessing.cpu_count(),
        sample_default="<CPU count>",
        help="Worker processes of cloudkitty-processor on this host; with 0 it rates nothing.",
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
        help="Seconds that collecting all metrics of one period may take, and that an answer to a "
        "collector or fetcher may take until it is complete.",
    ),
    cfg.IntOpt(
        "batch_size",
        min=1,
        default=500,
        help="Most scopes that are collected, rated and stored together.",
    ),
    cfg.IntOpt(
        "cached_series",
        min=0,
        default=1_000_000,
        help="Most series (resources times metrics) of which one worker remembers how they were "
        "last written and what they cost; up to 0.6 KiB each. A scope that is not remembered "
        "is read from the database again in every period.",
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
    cfg.PortOpt(
        "metrics_port",
        help="Port on which cloudkitty-processor shows numbers about all of its workers to "
        "Prometheus, at /metrics. Unset: nowhere.",
    ),
    cfg.HostAddressOpt(
        "metrics_host",
        default="0.0.0.0",
        help="Address to bind for metrics_port. Whoever reaches it can read the numbers.",
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


def _daemon_options() -> Options:
    """What the library of worker processes would only register when the processor starts."""
    return [one for one in oslo_config_glue.service_opts if one.name == "graceful_shutdown_timeout"]


GROUPS: dict[str, Options] = {
    "DEFAULT": [*DEFAULT, *_daemon_options()],
    "api": API,
    "collect": COLLECT,
    "collector_csv": COLLECTOR_CSV,
    "collector_ceilometer": COLLECTOR_CEILOMETER,
    "collector_gnocchi": COLLECTOR_GNOCCHI,
    "collector_prometheus": COLLECTOR_PROMETHEUS,
    "collector_aetos": COLLECTOR_AETOS,
    "fetcher": FETCHER,
    "fetcher_keystone": FETCHER_KEYSTONE,
    "fetcher_source": FETCHER_SOURCE,
    "fetcher_csv": FETCHER_CSV,
    "fetcher_gnocchi": FETCHER_GNOCCHI,
    "fetcher_prometheus": FETCHER_PROMETHEUS,
    "orchestrator": ORCHESTRATOR,
    "pyscripts": PYSCRIPTS,
    "storage": STORAGE,
}

KEYSTONE_GROUPS = (
    "collector_ceilometer",
    "collector_gnocchi",
    "collector_aetos",
    "fetcher_gnocchi",
    "fetcher_keystone",
)
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
        # Whether the coordination service is there is told once, and not with each beat of a heart.
        "tooz=CRITICAL",
        "kazoo=CRITICAL",
        # More connections at a time than are kept is no news either.
        "urllib3.connectionpool=ERROR",
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
    check: bool = True,
) -> cfg.ConfigOpts:
    """Read command line and configuration files into a new object.

    Without *check*, a value that does not fit its option is met when it is read.

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
        _adopt(conf, written(conf))
        if check:
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


def written(conf: cfg.ConfigOpts) -> configfiles.Written:
    """Return what stands in the configuration files that *conf* has been read from."""
    directories = map(pathlib.Path, conf.config_dir or ())
    inside = (str(path) for one in directories for path in sorted(one.glob("*.conf")))
    try:
        return configfiles.read([*(conf.config_file or ()), *inside])
    except iniparser.ParseError as error:
        raise ConfigurationError(f"--config-file: {error}") from error


def mistakes(conf: cfg.ConfigOpts) -> list[str]:
    """Return a line for each option and section of the files that is a typing mistake."""
    return configfiles.mistakes(written(conf), _known(conf))


def wrong_values(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Read every option of the service once, and yield a line for each that has a wrong value."""
    for group, options in GROUPS.items():
        section = conf if group == "DEFAULT" else conf[group]
        for option in options:
            try:
                section[option.dest]
            except (ValueError, cfg.Error) as error:
                yield f"[{group}] {option.name}: {error}"


def _check(conf: cfg.ConfigOpts) -> None:
    """Find what is wrong at the start.

    :raises ConfigurationError: with every typing mistake, or the first wrong value.
    """
    found = mistakes(conf)
    if found:
        raise ConfigurationError("; ".join(found))
    for problem in wrong_values(conf):
        raise ConfigurationError(problem)


def _adopt(conf: cfg.ConfigOpts, names: configfiles.Written) -> None:
    """Make defaults of what stands in sections with an old name."""
    for old, group in configfiles.OLD_SECTIONS.items():
        if old not in names or group not in GROUPS:
            continue
        if group in KEYSTONE_GROUPS and "auth_type" not in names.get(group, ()):
            section = names[old].get("auth_section", [old])[-1]
            conf.set_default("auth_section", section, group)
        for option in _options_of(group):
            if option.dest in names[old]:
                values = names[old][option.dest]
                conf.set_default(option.dest, values if option.multi else values[-1], group)
    for group in KEYSTONE_GROUPS:
        # Again, as auth_section is known only now.
        keystone_loading.register_auth_conf_options(conf, group)


def _options_of(group: str) -> Options:
    session = keystone_loading.get_session_conf_options() if group in KEYSTONE_GROUPS else []
    return [*GROUPS[group], *session]


def _known(conf: cfg.ConfigOpts) -> configfiles.Known:
    """The names of all options in the sections of this service, old names among them."""
    known: dict[str, set[str]] = {}
    for group in GROUPS:
        options = _options_of(group)
        if group in KEYSTONE_GROUPS:
            options += keystone_loading.get_auth_common_conf_options()
            options += _plugin_options(conf, group)
        known[group] = {option.dest for option in options} | {
            old.name.replace("-", "_")
            for option in options
            for old in option.deprecated_opts
            if old.name
        }
    known["DEFAULT"] |= {option.dest for option in _logging_options()}
    known["DEFAULT"] |= {"config_file", "config_dir", "config_source"}
    return known


def _plugin_options(conf: cfg.ConfigOpts, group: str) -> Options:
    """The options of the plugin that is configured in a section, else of the usual one."""
    name = conf[group].auth_type if conf[group].auth_section in (None, group) else None
    try:
        return list(keystone_loading.get_auth_plugin_conf_options(name or "password"))
    except keystone_errors.NoMatchingPlugin:
        return []  # whoever loads the plugin says so


def _logging_options() -> Options:
    """The options of oslo.log, which are in ``DEFAULT``."""
    (listed,) = metadata.entry_points(group="oslo.config.opts", name="oslo.log")
    return [option for _, options in listed.load()() for option in options]
