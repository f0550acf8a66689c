# SPDX-License-Identifier: Apache-2.0
"""Puts the application behind the pipelines of ``api_paste.ini``.

Invariant: the file says which parts there are and in which order; what they work with is handed
to them with the loader's global values, never looked up elsewhere.
"""

import configparser
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import oslo_middleware
from oslo_middleware.healthcheck import opts as healthcheck_opts
from paste.deploy import loadwsgi

from cloudkitty.api import app
from cloudkitty.api.context import ApiContext
from cloudkitty.api.observed import Observed
from cloudkitty.config import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Filter = Callable[[WSGIApplication], WSGIApplication]

SHIPPED = pathlib.Path(__file__).with_name("api_paste.ini")

_CONTEXT = "cloudkitty.context"

_OWN = {
    "composite": (
        "paste.composite_factory",
        {"cloudkitty+noauth": "url_map", "cloudkitty+keystone": "url_map"},
    ),
    "app": ("paste.app_factory", {"ck_api": "api", "healthcheck": "healthcheck"}),
    "filter": (
        "paste.filter_factory",
        {name: name for name in ("authtoken", "request_id", "cors", "http_proxy_to_wsgi")},
    ),
}
"""Of each kind of section the option that names where a part comes from, and the parts of this
service by the names that their sections have always had."""

Values = Mapping[str, Any]


def load(context: ApiContext) -> "WSGIApplication":
    """Return the API with everything in front of it.

    :raises ConfigurationError: there is no such file, or it is wrong.
    """
    path = paste_file(context)
    name = f"cloudkitty+{context.conf.auth_strategy}"
    try:
        loader = loadwsgi.ConfigLoader(str(path))
        _modernise(loader.parser)
        tree = loader.get_context(loadwsgi.APP, name)
        tree.global_conf[_CONTEXT] = context
        application: WSGIApplication = tree.create()
    except (LookupError, ImportError, AttributeError, configparser.Error) as error:
        raise ConfigurationError(f"[DEFAULT] api_paste_config: {path}: {error}") from error
    telemetry = context.telemetry
    if telemetry.exposition is not None:
        return Observed(application, telemetry, telemetry.exposition)
    return application


def paste_file(context: ApiContext) -> pathlib.Path:
    """Return the file to load: the configured one, else the shipped one."""
    wanted = context.conf.api_paste_config
    found = context.conf.find_file(wanted)
    if found:
        return pathlib.Path(found).resolve()
    if wanted != SHIPPED.name:
        raise ConfigurationError(f"[DEFAULT] api_paste_config: there is no {wanted}")
    return SHIPPED


def _modernise(parser: configparser.ConfigParser) -> None:
    """Let the parts that this service knows by name be its own, whatever package a file of
    another release says they come from. Their other settings stay, and so do foreign parts."""
    for section in parser.sections():
        kind, _, name = section.partition(":")
        factory, known = _OWN.get(kind, ("", {}))
        if name in known:
            for option in [option for option in parser.options(section) if _is_origin(option)]:
                parser.remove_option(section, option)
            parser.set(section, factory, f"{__name__}:{known[name]}")


def _is_origin(option: str) -> bool:
    return option == "use" or option.startswith("paste.")


class url_map:
    """A composite that hands a path to the application with the longest prefix."""

    def __init__(self, loader: Any, global_conf: Values, **prefixes: str) -> None:
        self._applications = sorted(
            (
                (prefix.rstrip("/"), loader.get_app(name, global_conf=global_conf))
                for prefix, name in prefixes.items()
            ),
            key=lambda pair: -len(pair[0]),
        )

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix, application in self._applications:
            if path == prefix or path.startswith(f"{prefix}/") or not prefix:
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
                environ["PATH_INFO"] = path[len(prefix) :]
                answer: Iterable[bytes] = application(environ, start_response)
                return answer
        raise LookupError("the composite has no application at /")


def api(global_conf: Values, **_local: str) -> "WSGIApplication":
    return app.build(global_conf[_CONTEXT])  # type: ignore[no-any-return]


def healthcheck(global_conf: Values, **local: str) -> "WSGIApplication":
    """The health check; values of the paste file are defaults of the section ``healthcheck``."""
    conf = global_conf[_CONTEXT].conf
    options = (*healthcheck_opts.HEALTHCHECK_OPTS, *healthcheck_opts.DISABLE_BY_FILE_OPTS)
    conf.register_opts(options, group="healthcheck")
    for option in options:
        if option.name in local:
            value = local[option.name]
            listed = [word.strip() for word in value.split(",")] if option.multi else value
            conf.set_default(option.name, listed, group="healthcheck")
    return oslo_middleware.Healthcheck(None, conf)  # type: ignore[no-any-return]


def cors(global_conf: Values, **_local: str) -> "Filter":
    return lambda application: oslo_middleware.CORS(application, global_conf[_CONTEXT].conf)


def http_proxy_to_wsgi(global_conf: Values, **_local: str) -> "Filter":
    return lambda application: oslo_middleware.HTTPProxyToWSGI(
        application, global_conf[_CONTEXT].conf
    )


def request_id(global_conf: Values, **_local: str) -> "Filter":
    return lambda application: oslo_middleware.RequestId(application, global_conf[_CONTEXT].conf)


def authtoken(
    global_conf: Values, acl_public_routes: str = "/, /v1, /v2, /openapi.json", **_: str
) -> "Filter":
    # Not imported where nobody is authenticated: it takes a while.
    from cloudkitty.rest.auth import AuthToken

    routes = [route.strip() for route in acl_public_routes.split(",")]
    return lambda application: AuthToken(application, global_conf[_CONTEXT].conf, routes)
