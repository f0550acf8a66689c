# SPDX-License-Identifier: Apache-2.0
"""What stands in configuration files and is no option of this release: names that other releases
of the rating service had, and typing mistakes.

Invariants: an option with a new name keeps its meaning; one that has no meaning any more is no
reason not to start, and a notice says what replaces it; what is neither is a mistake, and the
nearest real option is named. Sections that this service does not own are left alone, as libraries
and plugins have theirs.
"""

import difflib
import fnmatch
from collections.abc import Collection, Iterable, Mapping

from oslo_config import cfg

Written = Mapping[str, Mapping[str, list[str]]]
"""What stands in files: the values of each option, by section and name."""

Known = Mapping[str, Collection[str]]
"""The names of options that there are, by section."""

OLD_SECTIONS: Mapping[str, str] = {
    "tenant_fetcher": "fetcher",
    "keystone_fetcher": "fetcher_keystone",
    "source_fetcher": "fetcher_source",
    "gnocchi_collector": "collector_gnocchi",
    "ceilometer_collector": "collector_ceilometer",
}
"""Sections that have been called otherwise; what stands under the new name comes first."""

_LEDGER = (
    "rated usage is in the ledger, in [database] connection; cloudkitty-dbsync import-cloudkitty "
    "brings over the history of another database"
)

GONE: Mapping[tuple[str, str], str] = {
    ("DEFAULT", "transport_url"): "no message bus is needed: processor and API share the database",
    ("DEFAULT", "control_exchange"): "no message bus is needed",
    ("DEFAULT", "rpc_*"): "no message bus is needed",
    ("DEFAULT", "conn_pool_*"): "no message bus is needed",
    ("DEFAULT", "executor_thread_pool_size"): "see [orchestrator] max_threads",
    ("DEFAULT", "verbose"): "see debug",
    ("oslo_messaging_*", "*"): "no message bus is needed",
    ("api", "pecan_debug"): "an error answers with a sentence, and the log has the rest",
    ("auth", "*"): "see auth_type and its options in the section of each fetcher and collector",
    ("collect", "window"): "it has never had an effect",
    ("collect", "services"): "see [collect] metrics_conf: what the metrics file names is collected",
    ("collector_monasca", "*"): "Monasca is retired; see [collect] collector for what there is",
    ("fetcher_monasca", "*"): "Monasca is retired; see [fetcher] backend for what there is",
    ("fake_collector", "*"): "see [collector_csv] file",
    ("fake_fetcher", "*"): "see [fetcher_csv] file",
    ("orchestrator", "max_workers_reprocessing"): "the workers of [orchestrator] max_workers "
    "reprocess when no new period is due",
    ("output", "*"): "the API answers reports as CSV",
    ("state", "*"): "the state is in the database",
    ("storage", "retention_period"): "it has never had an effect",
    ("hybrid_storage", "*"): _LEDGER,
    ("storage_hybrid", "*"): _LEDGER,
    ("storage_gnocchi", "*"): _LEDGER,
    ("storage_influxdb", "*"): _LEDGER,
    ("storage_elasticsearch", "*"): _LEDGER,
    ("storage_opensearch", "*"): _LEDGER,
    ("storage_loki", "*"): _LEDGER,
}
"""What has no meaning here, by patterns of section and option, and what does it now."""

OLD_STORES = ("influxdb", "elasticsearch", "opensearch", "loki", "hybrid", "gnocchi")
"""Values of ``[storage] backend`` of other releases; unless a plugin of that name is installed,
the ledger serves."""

_NEAR = 0.75
_NEAR_SECTION = 0.9
"""How alike a section has to be to one of this service; plugins call theirs similarly."""


def read(paths: Iterable[str]) -> Written:
    """Return what stands in the files; what is in a later one replaces what is in one before.

    :raises iniparser.ParseError: a file is not an INI file.
    """
    written: dict[str, dict[str, list[str]]] = {}
    for path in paths:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(path, sections).parse()
        for section, options in sections.items():
            known = written.setdefault(section, {})
            known |= {_normal(name): values for name, values in options.items()}
    return written


def notices(written: Written) -> list[str]:
    """Return a sentence for everything that has another name now, or no meaning."""
    found: list[str] = []
    for section, options in written.items():
        if section in OLD_SECTIONS:
            found.append(f"[{section}] is called [{OLD_SECTIONS[section]}] now")
        whole = _gone(section, "*")
        if whole is not None:
            found.append(f"[{section}] has no effect: {whole}")
            continue
        for option in options:
            why = _gone(section, option)
            if why is not None:
                found.append(f"[{section}] {option} has no effect: {why}")
    return found + _old_store(written)


def _old_store(written: Written) -> list[str]:
    store = written.get("storage", {}).get("backend", [""])[-1]
    return [f"[storage] backend {store}: {_LEDGER}"] if store in OLD_STORES else []


def mistakes(written: Written, known: Known) -> list[str]:
    """Return a sentence for every option and section that is a typing mistake of one in *known*,
    which names the options by section.

    In ``DEFAULT``, where libraries have options too, only what is like a known one is a mistake.
    """
    found: list[str] = []
    for section, options in written.items():
        current = OLD_SECTIONS.get(section, section)
        if current in known:
            found += _mistaken_options(section, options, known[current])
        elif _gone(section, "*") is None:
            near = difflib.get_close_matches(section, known, n=1, cutoff=_NEAR_SECTION)
            found += [
                f"[{section}]: there is no such section; did you mean [{name}]?" for name in near
            ]
    return found


def _mistaken_options(section: str, options: Iterable[str], known: Collection[str]) -> list[str]:
    found = []
    for option in options:
        if option in known or _gone(section, option) is not None:
            continue
        near = difflib.get_close_matches(option, known, n=1, cutoff=_NEAR)
        if near:
            found.append(f"[{section}] {option}: no such option; did you mean {near[0]}?")
        elif section != "DEFAULT":
            listed = ", ".join(sorted(known))
            found.append(f"[{section}] {option}: no such option; there are: {listed}")
    return found


def _gone(section: str, option: str) -> str | None:
    for (sections, options), why in GONE.items():
        if fnmatch.fnmatchcase(section, sections) and fnmatch.fnmatchcase(option, options):
            return why
    return None


def _normal(option: str) -> str:
    return option.strip().replace("-", "_").lower()
