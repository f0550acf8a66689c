# SPDX-License-Identifier: Apache-2.0
"""How long it takes to collect one period of a cloud from a real source, in how many requests, and
how much of that time the source makes us wait.

``python benchmarks/sources.py [gnocchi|prometheus] [--scopes N] [--batch N] [--repeat N]``: all
that are there, unless one is named. ``CLOUDKITTY_TEST_GNOCCHI`` is the URL of a Gnocchi; of
Prometheus, the programs ``prometheus`` and ``promtool`` have to be installed. What is measured is
made first: every scope has 20 resources. Every sum is checked.
"""

import argparse
import json

import source_gnocchi
import source_prometheus

SOURCES = {"gnocchi": source_gnocchi, "prometheus": source_prometheus}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", choices=sorted(SOURCES))
    parser.add_argument("--scopes", type=int, help="default: what a source makes in some seconds")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for name, source in SOURCES.items():
        if options.source not in (None, name):
            continue
        reason = source.missing()
        if reason:
            print(json.dumps({"name": name, "skipped": reason}), flush=True)
            continue
        source.run(options.scopes or source.SCOPES, options.batch, options.repeat)


if __name__ == "__main__":
    main()
