# SPDX-License-Identifier: Apache-2.0
"""What pages name is there: options and their values in examples, command lines, and modules."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import pathlib
import re
import shlex
import textwrap
from collections.abc import Callable, Iterator

import pytest
from oslo_config import cfg

from cloudkitty import config, plugins
from cloudkitty.cli import demo
from cloudkitty.tests.unit.test_documentation import CHECKOUT, PAGES

PACKAGE = CHECKOUT / "cloudkitty"

OTHERS = ("options.entry_points", "uwsgi")
"""Sections in examples that are not of our configuration files."""

NOT_MODULES = {
    plugins.COLLECTORS,
    plugins.FETCHERS,
    plugins.RATING_MODULES,
    plugins.STORAGES,
    # Named as what there is not.
    "cloudkitty.db.api",
}

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def library_options() -> dict[str, set[str]]:
    """The options that libraries register, by section."""
    written = (CHECKOUT / "tools" / "cloudkitty-config-generator.conf").read_text()
    wanted = re.findall(r"^namespace = (\S+)", written, re.MULTILINE)
    found: dict[str, set[str]] = {}
    for entry_point in importlib.metadata.entry_points(group="oslo.config.opts"):
        if entry_point.name in wanted:
            for group, options in entry_point.load()():
                names = {option.dest for option in options}
                names |= {old.name for option in options for old in option.deprecated_opts}
                found.setdefault(str(group or "DEFAULT"), set()).update(names)
    return found


LIBRARIES = library_options()


def blocks(path: pathlib.Path, language: str) -> list[str]:
    found = re.findall(
        rf"^\.\. code-block:: {language}\n(?: +:.*\n)*((?: +.*\n|\n)+)",
        path.read_text() + "\n",
        re.MULTILINE,
    )
    return [textwrap.dedent(block).strip() for block in found]


@every_page
def test_options_of_libraries_that_pages_name_exist(path: pathlib.Path) -> None:
    named = re.findall(r"``\[(\w+)\]\s+(\w+)(?:\s+=\s[^`]*)?``", path.read_text())
    of_libraries = [(group, name) for group, name in named if group not in config.GROUPS]
    for group, name in of_libraries:
        assert name in LIBRARIES.get(group, ()), f"there is no [{group}] {name}"


@every_page
def test_options_of_examples_exist_and_have_good_values(
    path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for number, block in enumerate(blocks(path, "ini")):
        sections = re.findall(r"^\[(.*)\]", block, re.MULTILINE)
        if set(sections) & set(OTHERS) or not sections:
            continue
        file = tmp_path / f"{number}.conf"
        file.write_text(block)
        conf = config.load([], config_files=[str(file)], check=False)
        assert config.mistakes(conf) == []
        assert list(config.wrong_values(conf)) == []
        for section in sections:
            assert section in config.GROUPS or section in LIBRARIES, f"there is no [{section}]"
        for section, options in config.written(conf).items():
            if section not in config.GROUPS and "auth_type" not in options:
                assert set(options) <= LIBRARIES[section]


def command_lines(path: pathlib.Path) -> Iterator[list[str]]:
    """The words of every line of a page, and of every literal in its text, that calls one of our
    programs."""
    text = path.read_text().replace("\\\n", " ")
    shown = re.findall(r"^ +(?:\$ )?(?:sudo -u \w+ )?(?:/\S+/)?(cloudkitty-\S.*)$", text, re.M)
    named = re.findall(r"``(cloudkitty-[a-z-]+\s[^`]+)``", text)
    named = [" ".join(line.split()) for line in named]
    # A command that is named without its arguments has to be there.
    named = [line if " -" in line or line.count(" ") > 1 else f"{line} --help" for line in named]
    for line in [*shown, *named]:
        words = shlex.split(line, comments=True)
        ends = [place for place, word in enumerate(words) if word in ("|", "&", ">", "&&", "<")]
        words = words[: min(ends)] if ends else words
        if words[0] in PROGRAMS and not is_output(words):
            yield words


def is_output(words: list[str]) -> bool:
    """Whether this is what a program says of itself, or a sentence."""
    return words[1:2] in (["listens"], ["and"])


PROGRAMS = {
    script.name: script.value.partition(":")[0]
    for script in importlib.metadata.entry_points(group="console_scripts")
    if script.name.startswith("cloudkitty-") and script.value.startswith("cloudkitty.")
}


class Parsed(Exception):
    """The command line has been read; nothing is run."""


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Callable[[list[str]], None]:
    """A function that has a program read a command line, and fails as the program does."""
    empty = tmp_path / "empty.conf"
    empty.touch()
    load = config.load

    def read(*args: object, **options: object) -> cfg.ConfigOpts:
        options["config_files"] = []
        load(*args, **options)  # type: ignore[arg-type]
        raise Parsed

    def parse(words: list[str]) -> None:
        program, *args = words
        for place, word in enumerate(args[:-1]):
            if word == "--config-file":
                args[place + 1] = str(empty)
        module = importlib.import_module(PROGRAMS[program])
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            try:
                if module is demo:
                    demo._parser().parse_args(args)
                    return
                monkeypatch.setattr("sys.argv", [program, *args])
                module.main()
            except Parsed:
                return
            except SystemExit as leaving:
                if leaving.code == 0 and args[-1] == "--help":
                    return
        pytest.fail(f"{shlex.join(words)}: {errors.getvalue()}")

    monkeypatch.setattr(config, "load", read)
    return parse


@every_page
def test_command_lines_can_be_read(path: pathlib.Path, parse: Callable[[list[str]], None]) -> None:
    for words in command_lines(path):
        parse(words)


def test_command_lines_are_found_and_wrong_ones_refused(
    parse: Callable[[list[str]], None],
) -> None:
    found = [words for path in PAGES for words in command_lines(path)]
    assert {words[0] for words in found} >= set(PROGRAMS) - {"cloudkitty-demo"}
    assert ["cloudkitty-status", "upgrade", "check"] in found
    for wrong in ("cloudkitty-processor --twice", "cloudkitty-status upgrade", "cloudkitty-demo x"):
        with pytest.raises(pytest.fail.Exception):
            parse(wrong.split())


@every_page
def test_modules_that_pages_name_exist(path: pathlib.Path) -> None:
    text = path.read_text()
    named = set(re.findall(r"``(cloudkitty(?:\.\w+)+)", text))
    named |= set(re.findall(r"python -m (cloudkitty(?:\.\w+)+)", text))
    for block in blocks(path, "python"):
        for module, names in re.findall(r"^from (cloudkitty[\w.]*) import (.+)$", block, re.M):
            named |= {f"{module}.{name.strip()}" for name in names.split(",")}
    missing = [name for name in named - NOT_MODULES if not is_there(name)]
    assert missing == []


def is_there(name: str) -> bool:
    """Whether that is a module, something in one, or a file of ours."""
    module, _, last = name.rpartition(".")
    if last in ("conf", "po", "pot", "mo", "sqlite"):
        return True
    try:
        if importlib.util.find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    return module != "" and is_there(module) and hasattr(importlib.import_module(module), last)


def test_places_that_the_architecture_names_exist() -> None:
    text = (CHECKOUT / "doc/source/contributor/architecture.rst").read_text()
    table = text.partition("Where things are\n")[2]
    folders = re.findall(r"``([a-z_/]+/)``", table)
    assert len(folders) > 15
    below = [PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_dir())]
    missing = [name for name in folders if not any((top / name).is_dir() for top in below)]
    assert missing == []


@every_page
def test_programs_of_the_checkout_that_pages_name_exist(path: pathlib.Path) -> None:
    named = re.findall(r"\b((?:benchmarks|releasenotes)/[\w./-]*\w)", path.read_text())
    assert [name for name in named if not (CHECKOUT / name).exists()] == []
