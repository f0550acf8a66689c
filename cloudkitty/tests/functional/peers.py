# SPDX-License-Identifier: Apache-2.0
"""Real servers that the environment names, and on which tests run; without one they are skipped."""

import os

import pytest


def named(kind: str) -> str:
    """The URL that ``CLOUDKITTY_TEST_<KIND>`` gives, with no slash at its end."""
    variable = f"CLOUDKITTY_TEST_{kind}"
    url = os.environ.get(variable)
    if not url:
        pytest.skip(f"no such server: {variable} is not set")
    return url.rstrip("/")
