# SPDX-License-Identifier: Apache-2.0
"""What clients are told about exceptions."""

import pytest
import sqlalchemy.exc
import webob.exc
import wsme.exc

from cloudkitty.rest import errors


class Refused(Exception):
    """An error of another room that takes part by its status."""

    http_status = 409


def subclasses(base: type[errors.ApiError]) -> list[type[errors.ApiError]]:
    return [cls for child in base.__subclasses__() for cls in (child, *subclasses(child))]


CLIENTS = [cls for cls in subclasses(errors.ApiError) if cls is not errors.RatingFailed]


@pytest.mark.parametrize("error", CLIENTS)
def test_every_error_of_the_registry_is_the_clients(error: type[errors.ApiError]) -> None:
    assert 400 <= error.http_status < 500
    assert error.template != errors.GENERIC


def test_an_error_fills_its_template() -> None:
    answer = errors.Answer(errors.Forbidden(rule="rating:quote"))
    assert answer.status == 403
    assert answer.fault() == {
        "faultcode": "Client",
        "faultstring": "Policy doesn't allow rating:quote to be performed.",
        "debuginfo": None,
    }


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (Refused("it is taken"), 409, "it is taken"),
        (wsme.exc.ClientSideError("wrong", status_code=422), 422, "wrong"),
        (webob.exc.HTTPNotFound(), 404, "Nothing matches the given URI"),
    ],
)
def test_errors_of_others(error: Exception, status: int, text: str) -> None:
    answer = errors.Answer(error)
    assert (answer.status, answer.text) == (status, text)
    assert not answer.unexpected


def test_a_fault_of_the_service_keeps_its_text_to_itself() -> None:
    answer = errors.Answer(RuntimeError("password=secret"))
    assert answer.status == 500
    assert answer.unexpected
    assert answer.fault()["faultcode"] == "Server"
    assert "secret" not in answer.text


def failed(reason: Exception) -> errors.Answer:
    error = errors.RatingFailed(module="pyscripts")
    error.__cause__ = reason
    return errors.Answer(error)


def test_rating_that_fails_names_the_module_and_logs_the_reason() -> None:
    answer = failed(RuntimeError("script gold, line 3: secret\nand more"))
    assert (answer.status, answer.cause) == (503, "script gold, line 3: secret")
    assert answer.fault()["faultcode"] == "Server"
    assert "pyscripts" in answer.text
    assert "secret" not in answer.text


def test_rating_that_fails_without_database() -> None:
    answer = failed(sqlalchemy.exc.TimeoutError("no connection"))
    assert (answer.status, answer.text) == (503, errors.AWAY)
    assert answer.cause == "no connection"
