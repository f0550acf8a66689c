# SPDX-License-Identifier: Apache-2.0
"""Checks the configuration files: values that do not fit, options that do not exist, and those
that have no meaning any more."""

import pathlib
from collections.abc import Iterator

from oslo_config import cfg

from cloudkitty import config, configfiles
from cloudkitty.doctor.finding import Finding, error, ok, warning

SUBJECT = "configuration"


def check(conf: cfg.ConfigOpts) -> list[Finding]:
    """Return what is wrong with values and names of options."""
    found = [error(SUBJECT, problem) for problem in problems(conf)]
    found += [warning(SUBJECT, notice) for notice in configfiles.notices(config.written(conf))]
    if not found:
        read = ", ".join(_files(conf)) or "no file: every option has its default"
        found.append(ok(SUBJECT, f"every option has a value that fits; read: {read}"))
    return found


def problems(conf: cfg.ConfigOpts) -> list[str]:
    """Return why no service would start."""
    return [*config.mistakes(conf), *config.wrong_values(conf), *_wrong_values(conf)]


def _wrong_values(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Read what libraries have registered: whole sections, and options in those of ours."""
    for section in conf:
        options = conf[section]
        if not isinstance(options, cfg.ConfigOpts.GroupAttr):
            continue
        ours = {option.dest for option in config.GROUPS.get(section, ())}
        for option in options:
            try:
                if option not in ours:
                    options[option]
            except (ValueError, cfg.Error) as failure:
                yield f"[{section}] {option}: {failure}"


def _files(conf: cfg.ConfigOpts) -> list[str]:
    directories = map(pathlib.Path, conf.config_dir or ())
    inside = [str(path) for one in directories for path in sorted(one.glob("*.conf"))]
    return [*(conf.config_file or ()), *inside]
