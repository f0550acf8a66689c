# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the documentation."""

import pathlib
import subprocess

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def in_git() -> bool:
    """Whether this is a checkout with history, from which release notes can be read."""
    try:
        command = ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


project = "CloudKitty"
copyright = "CloudKitty developers"
extensions = ["oslo_config.sphinxext", "oslo_policy.sphinxext"]
exclude_patterns = []
suppress_warnings = []
if in_git():
    extensions.append("reno.sphinxext")
else:
    exclude_patterns.append("release-notes.rst")
    suppress_warnings.append("toc.empty_glob")

html_theme = "alabaster"
html_theme_options = {
    "description": "Rating for OpenStack clouds",
    "page_width": "1100px",
    "fixed_sidebar": True,
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_show_sourcelink = False
