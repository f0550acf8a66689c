# SPDX-License-Identifier: Apache-2.0
"""Where an InfluxDB of version 1 is, as ``--from`` names it. Reads at most a password from a file.

The names of what may follow the question mark are those of the options in ``[storage_influxdb]`` of
the existing service.
"""

import pathlib
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from cloudkitty.importer.source import SourceError

SCHEME = "influxdb"

PORT = 8086

RETENTION_POLICY = "autogen"

_FORM = "write it like influxdb://USER:PASSWORD@HOST:8086/cloudkitty"
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_OPTIONS = ("retention_policy", "use_ssl", "insecure", "cafile", "password_file")


@dataclass(frozen=True, slots=True)
class Place:
    """``verify`` is whether and by which authorities a certificate is checked."""

    url: str
    database: str
    retention_policy: str = RETENTION_POLICY
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    verify: bool | str = True

    @property
    def name(self) -> str:
        """Kind, place and names, without user and password: the same for all ways of writing
        one URL."""
        where = self.url.partition("://")[2]
        return f"{SCHEME}://{where}/{self.database}?retention_policy={self.retention_policy}"


def parse(url: str) -> Place:
    """Return the place at a URL.

    :raises SourceError: the URL is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORT
    except ValueError as error:
        raise SourceError(f"--from: {error}; {_FORM}") from None
    database = unquote(parts.path.removeprefix("/"))
    if not host or not database:
        raise SourceError(f"--from: {_FORM}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        raise SourceError(
            f"--from: {', '.join(unknown)}: no such option; there are: {', '.join(_OPTIONS)}"
        )
    secure = _flag(options, "use_ssl")
    host = "127.0.0.1" if host in ("localhost", "::1") else f"[{host}]" if ":" in host else host
    return Place(
        url=f"{'https' if secure else 'http'}://{host}:{port}",
        database=database,
        retention_policy=options.get("retention_policy") or RETENTION_POLICY,
        username=unquote(parts.username) if parts.username else None,
        password=_password(parts.password, options.get("password_file")),
        verify=not _flag(options, "insecure") and (options.get("cafile") or True),
    )


def _flag(options: dict[str, str], name: str) -> bool:
    try:
        return _FLAGS[options.get(name, "false").lower()]
    except KeyError:
        raise SourceError(f"--from: {name}: {options[name]!r} is neither true nor false") from None


def _password(written: str | None, path: str | None) -> str | None:
    if not path:
        return None if written is None else unquote(written)
    try:
        return pathlib.Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"--from: password_file: {error}") from error
