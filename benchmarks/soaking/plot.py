# SPDX-License-Identifier: Apache-2.0
"""Draws the samples. Needs matplotlib, which nothing else does."""

import csv
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

Row = dict[str, str]

COLOURS = {
    "down": "#d62728",
    "errors": "#ff7f0e",
    "slow": "#bcbd22",
    "broken": "#9467bd",
    "half": "#17becf",
}
"""Of the times at which the source fails in this way."""


def draw(samples: pathlib.Path, picture: pathlib.Path, title: str) -> None:
    """Draw the CSV file *samples* as the PNG file *picture*."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with samples.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure, panels = plt.subplots(4, 1, figsize=(11, 13), sharex=True, layout="constrained")
    _lag(panels[0], rows)
    _memory(panels[1], rows)
    _latency(panels[2], rows)
    _throughput(panels[3], rows)
    for panel in panels:
        _shade_flaps(panel, rows)
        panel.grid(alpha=0.3)
        panel.margins(x=0)
    panels[-1].set_xlabel("time (minutes)")
    figure.suptitle(title, fontsize=12)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour, alpha=0.25) for colour in COLOURS.values()]
    names = [f"source: {kind}" for kind in COLOURS]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    figure.savefig(picture, dpi=100)
    plt.close(figure)


def _column(rows: Sequence[Row], name: str) -> list[float]:
    return [float(row[name]) for row in rows]


def _lag(panel: Any, rows: Sequence[Row]) -> None:
    minutes = _column(rows, "minutes")
    panel.step(minutes, _column(rows, "lag_max"), where="post", label="the last scope", color="C3")
    panel.step(minutes, _column(rows, "lag_p50"), where="post", label="half of the scopes")
    changed = [
        float(now["minutes"])
        for before, now in itertools.pairwise(rows)
        if now["rule_changes"] != before["rule_changes"]
    ]
    panel.plot(
        changed,
        [0.02] * len(changed),
        "k|",
        markersize=7,
        transform=panel.get_xaxis_transform(),
        label="a price changes",
    )
    # The catch-up is many times as high as all that comes after it.
    panel.set_yscale("symlog", linthresh=5)
    ticks = (0, 1, 2, 3, 4, 5, 10, 20, 50, 100)
    panel.set_yticks(ticks, [str(tick) for tick in ticks])
    panel.set_ylim(-0.3, 1.3 * max(10, *_column(rows, "lag_max")))
    panel.set_ylabel("behind (periods)")
    panel.legend(loc="upper right")


def _memory(panel: Any, rows: Sequence[Row]) -> None:
    minutes = _column(rows, "minutes")
    panel.plot(minutes, _column(rows, "processor_mib"), label="cloudkitty-processor, all processes")
    panel.plot(minutes, _column(rows, "api_mib"), label="cloudkitty-api, all processes")
    panel.set_ylim(bottom=0)
    panel.set_ylabel("proportional memory (MiB)")
    panel.legend(loc="lower right")


def _latency(panel: Any, rows: Sequence[Row]) -> None:
    rows = [row for row in rows if int(row["requests"])]
    minutes = _column(rows, "minutes")
    panel.plot(minutes, _column(rows, "p99_ms"), label="99 of 100 requests", color="C1", lw=1)
    panel.plot(minutes, _column(rows, "p50_ms"), label="half of the requests", color="C0", lw=1)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    # Room for the legend.
    panel.set_ylim(top=10 * max(_column(rows, "p99_ms"), default=1))
    panel.set_ylabel("answered within (ms)")
    other = panel.twinx()
    load = _column(rows, "load")
    other.plot(minutes, load, label="load of the machine (right)", color="C7", lw=1)
    other.set_ylabel("load average of a minute")
    other.set_ylim(0, 2 * max(load, default=1))
    other.margins(x=0)
    _name_lines(panel, other)


def _throughput(panel: Any, rows: Sequence[Row]) -> None:
    minutes, requests, points = [], [], []
    for before, now in itertools.pairwise(rows):
        seconds = 60 * (float(now["minutes"]) - float(before["minutes"]))
        if seconds > 0:
            minutes.append(float(now["minutes"]))
            requests.append(int(now["requests"]) / seconds)
            points.append((int(now["points"]) - int(before["points"])) / seconds)
    panel.plot(minutes, requests, label="requests answered", color="C0", lw=1)
    panel.set_ylabel("requests/s")
    panel.set_ylim(0, 2 * max(requests, default=1))
    other = panel.twinx()
    other.plot(minutes, points, label="points rated (right)", color="C2", lw=1)
    other.set_ylabel("points/s")
    other.set_ylim(bottom=0)
    other.margins(x=0)
    _name_lines(panel, other)


def _name_lines(panel: Any, other: Any) -> None:
    """Put the lines of both axes in one legend."""
    lines = [*panel.get_lines(), *other.get_lines()]
    names = [str(line.get_label()) for line in lines]
    panel.legend(lines, names, loc="upper right", ncols=len(lines))


def _shade_flaps(panel: Any, rows: Sequence[Row]) -> None:
    end = float(rows[-1]["minutes"])
    stretches = itertools.groupby(enumerate(rows), key=lambda item: item[1]["flap"])
    for kind, stretch in stretches:
        if kind:
            numbers = [number for number, _row in stretch]
            after = numbers[-1] + 1
            until = float(rows[after]["minutes"]) if after < len(rows) else end
            panel.axvspan(
                float(rows[numbers[0]]["minutes"]), until, color=COLOURS[kind], alpha=0.25, lw=0
            )
