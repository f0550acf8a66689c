# SPDX-License-Identifier: Apache-2.0
"""The sample files of the checkout say what the program registers today."""

import pathlib
import re
import socket

import pytest
from oslo_config import cfg
from oslo_config import generator as config_generator
from oslo_policy import generator as policy_generator

CHECKOUT = pathlib.Path(__file__).parents[3]
SAMPLES = CHECKOUT / "etc" / "cloudkitty"
STALE = "is stale: run tools/generate-samples"


def blocks(sample: str) -> dict[tuple[str, str], str]:
    """Cut a sample into the options of each section and each namespace."""
    found: dict[tuple[str, str], str] = {}
    for section in re.split(r"^(?=\[)", sample, flags=re.MULTILINE):
        name = section.partition("]")[0].lstrip("[")
        for block in section.split("#\n# From ")[1:]:
            namespace, _, options = block.partition("\n")
            found[name, namespace] = options.strip("#\n")
    return found


def test_configuration_sample_has_every_option_as_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CHECKOUT)
    target = tmp_path / "sample"
    conf = cfg.ConfigOpts()
    config_generator.register_cli_opts(conf)
    conf(
        [
            "--config-file",
            "tools/cloudkitty-config-generator.conf",
            "--output-file",
            str(target),
        ]
    )
    config_generator.generate(conf)

    fresh = blocks(target.read_text())
    committed = blocks((SAMPLES / "cloudkitty.conf.sample").read_text())

    # Options of libraries change with the libraries; ours with this tree only.
    ours = {key for key in fresh if key[1].startswith("cloudkitty")}
    assert len(ours) > 5
    assert {key for key in committed if key[1].startswith("cloudkitty")} == ours
    for key in sorted(ours):
        assert committed[key] == fresh[key], f"[{key[0]}] of cloudkitty.conf.sample {STALE}"


def test_policy_sample_has_every_policy_as_it_is(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "sample"
    policy_generator.generate_sample(
        ["--namespace", "cloudkitty", "--output-file", str(target)], conf=cfg.ConfigOpts()
    )
    assert "report:get_total" in target.read_text()
    assert (SAMPLES / "policy.yaml.sample").read_text() == target.read_text(), (
        f"policy.yaml.sample {STALE}"
    )


@pytest.mark.parametrize("name", ["cloudkitty.conf.sample", "policy.yaml.sample"])
def test_samples_name_no_machine(name: str) -> None:
    sample = (SAMPLES / name).read_text()
    for word in (str(CHECKOUT), str(pathlib.Path.home())):
        assert word == "/" or word not in sample
    assert not re.search(rf"= {re.escape(socket.gethostname())}$", sample, re.MULTILINE)
