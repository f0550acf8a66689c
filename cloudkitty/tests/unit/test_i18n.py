# SPDX-License-Identifier: Apache-2.0
"""Texts of the API in other languages, and the list of what there is to translate."""

import ast
import io
import pathlib

import oslo_i18n
import pytest
from babel.messages import extract, pofile

import cloudkitty
from cloudkitty import i18n
from cloudkitty.rating.errors import Invalid, name_taken
from cloudkitty.rating.hashmap.errors import no_such_group
from cloudkitty.rest import errors
from cloudkitty.rest.request import Request
from cloudkitty.tests import catalogue

ROOT = pathlib.Path(cloudkitty.__file__).parent


@pytest.fixture(autouse=True)
def _german(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.install(tmp_path, "de")
    monkeypatch.setenv(catalogue.VARIABLE, str(tmp_path))
    # The library looks for catalogues once in a process.
    monkeypatch.setattr(oslo_i18n, "get_available_languages", lambda domain: ["en_US", "de"])


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, None),
        ("", None),
        ("not; a, header;;", None),
        ("de", "de"),
        ("de-AT", "de"),
        ("fr, de;q=0.5", "de"),
        ("fr", None),
        ("en, de;q=0.5", None),
        ("en-GB, de;q=0.5", None),
        ("en;q=0.1, de;q=0.5", "de"),
        ("en;q=0", None),
        ("*", None),
    ],
)
def test_language_of_a_request(header: str | None, language: str | None) -> None:
    request = Request.blank("/v1")
    if header is not None:
        request.headers["Accept-Language"] = header
    assert request.language == language


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.NotFound(), "Das gibt es nicht."),
        (errors.MissingArgument(name="begin"), 'Es fehlt: "begin"'),
        (name_taken("Service", "vm", "1"), "Service vm gibt es schon (UUID: 1)"),
        # No translation, and one that does not fit.
        (errors.NotJson(), "Request is not in valid JSON format"),
        (errors.TooLarge(limit=5), "The body of the request is larger than 5 bytes."),
        # What users wrote is theirs.
        (Invalid("cost: {0} is {wrong}"), "cost: {0} is {wrong}"),
        (Invalid.like(no_such_group("7")), "Keine Gruppe (UUID: 7)"),
        (
            errors.InvalidInput(name="a", value="{0}", problem=i18n._("Mandatory field missing.")),
            "a ist nicht '{0}': Pflichtfeld.",
        ),
    ],
)
def test_errors_in_a_language(error: i18n.TranslatableError, told: str) -> None:
    assert errors.Answer(error, "de").text == told


def test_without_a_language_texts_are_english() -> None:
    assert errors.Answer(errors.NotFound()).text == "The resource could not be found."
    assert str(name_taken("Service", "vm", "1")) == "Service vm already exists (UUID: 1)"


def test_a_fault_is_translated_and_keeps_its_text_to_itself() -> None:
    answer = errors.Answer(RuntimeError("password=secret"), "de")
    assert (answer.status, answer.text) == (500, "Der Dienst hat versagt.")


def test_template_has_every_text_and_no_other() -> None:
    """What Babel extracts now is what ``cloudkitty.pot`` lists, with the files it is in."""
    found: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT.parent)
        if "tests" in path.relative_to(ROOT).parts:
            continue
        with path.open("rb") as source:
            for _line, text, _comments, _context in extract.extract("python", source):
                found.setdefault(text, set()).add(str(name))
    written = pofile.read_po(io.StringIO((ROOT / "locale" / "cloudkitty.pot").read_text()))
    listed = {
        message.id: {place for place, _line in message.locations}
        for message in written
        if message.id
    }
    assert listed == found, "cloudkitty.pot is stale: run tools/generate-samples"


def test_every_template_is_marked() -> None:
    """Each class of the registry, but for one whose text is all value."""
    source = ast.parse(pathlib.Path(errors.__file__).read_text())
    plain = [
        (cls.name, node.value.value)
        for cls in source.body
        if isinstance(cls, ast.ClassDef)
        for node in cls.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if [target.id for target in node.targets if isinstance(target, ast.Name)] == ["template"]
    ]
    assert plain == [("MetricNotFound", "{metric}")]
    assert len(errors.ApiError.__subclasses__()) > 25


def test_marked_texts_are_constants() -> None:
    """A text that is put together before it is marked is in no catalogue."""
    wrong = []
    for path in ROOT.rglob("*.py"):
        if "tests" in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_":
                constant = isinstance(node.args[0], ast.Constant)
                wrong += [] if constant else [f"{path.name}:{node.lineno}"]
    assert wrong == []
