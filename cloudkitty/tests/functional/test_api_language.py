# SPDX-License-Identifier: Apache-2.0
"""A running API answers in the language that the client asks for, and logs in English."""

import pathlib

import pytest
import requests

from cloudkitty.db.engine import Database
from cloudkitty.tests import catalogue
from cloudkitty.tests.functional.live import LiveApi, write_configuration


def test_languages(
    sqlite_database: Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.install(tmp_path / "locale", "de")
    monkeypatch.setenv(catalogue.VARIABLE, str(tmp_path / "locale"))
    # The language of the machine is of no account.
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    server = LiveApi(write_configuration(tmp_path, sqlite_database.url))

    def ask(path: str, language: str | None) -> tuple[object, str | None]:
        headers = {} if language is None else {"Accept-Language": language}
        answer = requests.get(server.url + path, headers=headers, timeout=60)
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json(), answer.headers.get("Content-Language")

    try:
        english = {"message": "The resource could not be found."}
        assert ask("/nowhere", "de, en;q=0.5") == ({"message": "Das gibt es nicht."}, "de")
        assert ask("/nowhere", "de-CH")[0] == {"message": "Das gibt es nicht."}
        for other in (None, "en", "fr", "en-US, de;q=0.9"):
            assert ask("/nowhere", other) == (english, None)
        fault, language = ask("/v1/rating/quote/nowhere", "de")
        assert fault == {
            "faultcode": "Client",
            "faultstring": "Das gibt es nicht.",
            "debuginfo": None,
        }
        assert language == "de"
        services = "/v1/rating/module_config/hashmap/services"
        body = {"name": "vm"}
        made = requests.post(server.url + services, json=body, timeout=60).json()["service_id"]
        again = requests.post(
            server.url + services, json=body, headers={"Accept-Language": "de"}, timeout=60
        )
        assert again.status_code == 409
        assert again.json()["faultstring"] == f"Service vm gibt es schon (UUID: {made})"
    finally:
        assert server.stop() == 0
    assert server.process.stdout is not None
    assert "gibt es" not in server.process.stdout.read()
