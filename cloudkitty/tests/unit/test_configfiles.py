# SPDX-License-Identifier: Apache-2.0
"""What stands in configuration files of other releases, and typing mistakes."""

import logging
import pathlib

import pytest
from oslo_config import cfg

from cloudkitty import config, configfiles
from cloudkitty.cli import common
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.source import session
from cloudkitty.storage import factory

OLD = """
[DEFAULT]
transport_url = rabbit://openstack:secret@controller:5672/
verbose = true
log_dir = {logs}
[keystone_authtoken]
auth_section = ks_auth
[ks_auth]
auth_type = v3password
auth_url = http://127.0.0.1:5000
username = cloudkitty
user_domain_name = Default
password = secret
project_name = service
project_domain_name = Default
[tenant_fetcher]
backend = source
[source_fetcher]
sources = alpha, beta
[collect]
collector = ceilometer
window = 1800
services = compute,image
[ceilometer_collector]
auth_section = ks_auth
region_name = north
[orchestrator]
max_greenthreads = 7
max_workers_reprocessing = 3
[oslo_messaging_rabbit]
ssl = true
[storage]
backend = influxdb
[storage_influxdb]
username = cloudkitty
"""


def loaded(tmp_path: pathlib.Path, written: str) -> cfg.ConfigOpts:
    path = tmp_path / "cloudkitty.conf"
    path.write_text(written.format(logs=tmp_path))
    return config.load([], config_files=[str(path)])


class TestOldNames:
    def test_sections_with_an_old_name_keep_their_meaning(self, tmp_path: pathlib.Path) -> None:
        conf = loaded(tmp_path, OLD)
        assert conf.fetcher.backend == "source"
        assert conf.fetcher_source.sources == ["alpha", "beta"]
        assert conf.collector_ceilometer.region_name == "north"
        assert conf.orchestrator.max_threads == 7

    def test_credentials_may_be_in_a_section_of_their_own(self, tmp_path: pathlib.Path) -> None:
        auth = session.configured_auth(loaded(tmp_path, OLD), "collector_ceilometer")
        assert auth is not None
        assert "cloudkitty" in auth.get_cache_id_elements().values()

    def test_what_stands_under_the_new_name_comes_first(self, tmp_path: pathlib.Path) -> None:
        conf = loaded(tmp_path, "[tenant_fetcher]\nbackend = keystone\n[fetcher]\nbackend = csv\n")
        assert conf.fetcher.backend == "csv"

    def test_directories_are_read_too(self, tmp_path: pathlib.Path) -> None:
        (tmp_path / "20.conf").write_text("[source_fetcher]\nsources = b\n")
        (tmp_path / "10.conf").write_text("[source_fetcher]\nsources = a\n")
        conf = config.load(["--config-dir", str(tmp_path)], config_files=[])
        assert conf.fetcher_source.sources == ["b"]

    def test_each_is_named_once_with_what_replaces_it(
        self, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        conf = loaded(tmp_path, OLD)
        with caplog.at_level(logging.WARNING):
            common.log_notices(conf)
        told = [record.getMessage() for record in caplog.records]
        for beginning in (
            "[DEFAULT] transport_url has no effect: no message bus",
            "[DEFAULT] verbose has no effect: see debug",
            "[tenant_fetcher] is called [fetcher] now",
            "[source_fetcher] is called [fetcher_source] now",
            "[ceilometer_collector] is called [collector_ceilometer] now",
            "[collect] window has no effect",
            "[collect] services has no effect: see [collect] metrics_conf",
            "[orchestrator] max_workers_reprocessing has no effect",
            "[oslo_messaging_rabbit] has no effect: no message bus",
            "[storage_influxdb] has no effect: rated usage is in the ledger",
            "[storage] backend influxdb: rated usage is in the ledger",
        ):
            assert len([line for line in told if line.startswith(beginning)]) == 1, beginning
        assert len(told) == 11

    def test_a_store_of_other_releases_is_the_ledger(
        self, tmp_path: pathlib.Path, sqlite_database: Database
    ) -> None:
        conf = loaded(tmp_path, "[storage]\nbackend = opensearch\n")
        store = factory.build(conf, sqlite_database, Registry())
        assert type(store).__name__ == "SqlAlchemyStorage"


class TestMistakes:
    @pytest.mark.parametrize(
        ("written", "told"),
        [
            ("[DEFAULT]\ndebgu = 1\n", r"\[DEFAULT\] debgu: no such option; did you mean debug\?"),
            ("[collect]\nperoid = 1\n", r"\[collect\] peroid: no such option; .* period\?"),
            ("[collect]\nxyz = 1\n", r"\[collect\] xyz: no such option; there are: .*scope_key"),
            ("[colect]\nperiod = 1\n", r"\[colect\]: there is no such section; .*\[collect\]\?"),
            ("[source_fetcher]\nsource = 1\n", r"\[source_fetcher\] source: .* sources\?"),
            (
                "[collector_ceilometer]\nauth_type = password\nusrname = x\n",
                r"\[collector_ceilometer\] usrname: no such option; did you mean username\?",
            ),
            ("[collect]\nperoid = 1\n[api]\nprot = 1\n", r"period\?; \[api\] prot: .* port\?"),
        ],
    )
    def test_the_nearest_name_is_told(
        self, tmp_path: pathlib.Path, written: str, told: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=told):
            loaded(tmp_path, written)

    @pytest.mark.parametrize(
        "written",
        [
            "[collector_meters]\nurl = http://127.0.0.1\n",
            "[DEFAULT]\nsomething_of_a_library = 1\n",
            "[healthcheck]\nbackends = disable_by_file\n",
            "[collector_ceilometer]\nauth_type = v3applicationcredential\n"
            "application_credential_id = x\napplication_credential_secret = y\n",
            "[collector_ceilometer]\nauth-type = password\nauth_plugin = password\n",
        ],
    )
    def test_what_belongs_to_libraries_and_plugins_is_left_alone(
        self, tmp_path: pathlib.Path, written: str
    ) -> None:
        loaded(tmp_path, written)


def test_options_of_every_section_with_a_new_name_exist() -> None:
    for old, new in configfiles.OLD_SECTIONS.items():
        assert old not in config.GROUPS
        assert new in config.GROUPS
