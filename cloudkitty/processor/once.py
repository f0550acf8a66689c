# SPDX-License-Identifier: Apache-2.0
"""Rate all that is due, show how far it has got, and end."""

import sys
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from tqdm import tqdm

from cloudkitty.processor import memory
from cloudkitty.processor.build import Processor
from cloudkitty.processor.worker import Outcome
from cloudkitty.scope import ScopeState


class Summary(NamedTuple):
    """What a run has done: periods of scopes, points, the scopes that failed, and how many wait for
    late usage."""

    periods: int
    points: int
    failed: Sequence[ScopeState]
    waiting: int


def rate_all(processor: Processor, stream: TextIO = sys.stderr) -> Summary:
    """Rate every period that is due, with a progress bar if *stream* is a terminal.

    :raises FetchError: the scopes cannot be listed.
    """
    memory.settle()
    processor.source.fetch(processor.clock())
    periods = points = waiting = 0
    with tqdm(
        total=processor.rounds.due(), unit=" periods", file=stream, disable=not stream.isatty()
    ) as bar:

        def watch(outcome: Outcome) -> None:
            nonlocal periods, points, waiting
            periods += len(outcome.rated)
            points += outcome.points
            waiting += len(outcome.waiting)
            bar.update(len(outcome.rated) + len(outcome.overtaken))

        failed = processor.rounds.run_all(lambda: False, watch)
    return Summary(periods, points, failed, waiting)
