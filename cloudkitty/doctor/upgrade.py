# SPDX-License-Identifier: Apache-2.0
"""What ``upgrade check`` looks at before services are started with new code."""

from oslo_config import cfg
from oslo_upgradecheck.upgradecheck import Code, Result, UpgradeCommands
from oslo_utils import fileutils

from cloudkitty.doctor import configuration, database
from cloudkitty.doctor.bounded import Deadline
from cloudkitty.doctor.finding import Level


class Checks(UpgradeCommands):  # type: ignore[misc]
    """The checks, by the names that the table shows."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf

    def _configuration(self) -> Result:
        problems = configuration.problems(self._conf)
        return Result(Code.FAILURE, "; ".join(problems)) if problems else Result(Code.SUCCESS)

    def _storage_version(self) -> Result:
        version = self._conf.storage.version
        if version >= 2:
            return Result(Code.SUCCESS)
        return Result(
            Code.WARNING,
            f"[storage] version is {version}: version 2 of the API is not served. Set it to 2; "
            "the ledger is the same.",
        )

    def _policy_file(self) -> Result:
        # Releases of oslo.policy differ in whether they still read the second one.
        path = self._conf.find_file(self._conf.oslo_policy.policy_file) or self._conf.find_file(
            "policy.json"
        )
        if path is None or not fileutils.is_json(path):
            return Result(Code.SUCCESS)
        return Result(
            Code.WARNING,
            f"[oslo_policy] policy_file: {path} is JSON, which oslo.policy does not read for ever. "
            "Convert it with oslopolicy-convert-json-to-yaml --namespace cloudkitty "
            f"--policy-file {path} --output-file policy.yaml.",
        )

    def _schema(self) -> Result:
        finding, _ = database.check(self._conf, Deadline(database.SECONDS))
        if finding.level is Level.OK:
            return Result(Code.SUCCESS)
        return Result(Code.FAILURE, finding.text)

    _upgrade_checks = (
        ("Configuration", _configuration),
        ("Storage version", _storage_version),
        ("Policy File JSON to YAML Migration", _policy_file),
        ("Database schema", _schema),
    )
