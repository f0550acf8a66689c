# SPDX-License-Identifier: Apache-2.0
"""From which collector each service is taken, as the notes about collectors have it."""

from collections.abc import Mapping
from typing import Any

import voluptuous as vol

from cloudkitty.collector import metrics, schema
from cloudkitty.collector.steering import Plan, Steering
from cloudkitty.config import ConfigurationError
from cloudkitty.db.collectors import Notes

CHECKS: dict[str, metrics.CheckExtraArgs] = {
    "csv": schema.record({vol.Optional("kind", default="level"): schema.text}),
    "gnocchi": schema.record({vol.Required("region"): schema.text}),
    "plain": schema.record({vol.Optional("kind", default="plain"): schema.text}),
}


class Known:
    """Three collectors, of which those in ``broken`` cannot be made."""

    broken: set[str] = set()

    def checked(self, name: str, extra_args: Mapping[str, object]) -> Mapping[str, object]:
        if name not in CHECKS or name in self.broken:
            raise ConfigurationError(f"no {name}")
        try:
            return CHECKS[name](extra_args)
        except vol.Invalid as error:
            raise ConfigurationError("; ".join(schema.problems(error, "extra_args"))) from error


FILE = """
metrics:
  cpu: {unit: x, alt_name: instance}
  cpu.new: {unit: x, alt_name: instance, collector: gnocchi, extra_args: {region: n}}
  cpu.more: {unit: x, alt_name: instance}
  disk: {unit: x}
"""


def plan(notes: Notes, written: str = FILE) -> Plan:
    definitions = metrics.read(written, "project_id", CHECKS["csv"], collector="csv", others=CHECKS)
    return Steering(definitions, Known()).plan(notes)


def asked(found: Plan) -> list[tuple[str, str]]:
    assert not found.obstacles
    return [(one.name, one.collector) for one in found.metrics]


def off(*names: str, **mappings: str) -> Notes:
    return Notes(mappings, dict.fromkeys(names, False))


def test_a_service_comes_from_the_collector_that_the_file_names_first() -> None:
    assert asked(plan(Notes())) == [("cpu", "csv"), ("cpu.more", "csv"), ("disk", "csv")]


def test_a_mapping_chooses_the_definitions_of_its_collector() -> None:
    notes = Notes({"instance": "gnocchi"})
    assert asked(plan(notes)) == [("cpu.new", "gnocchi"), ("disk", "csv")]


def test_a_mapping_of_what_is_not_collected_changes_nothing() -> None:
    notes = Notes({"compute": "nobody", "cpu": "nobody"})
    assert plan(notes) == plan(Notes())


def test_a_service_is_asked_of_the_mapped_collector_in_the_same_words() -> None:
    found = plan(Notes({"disk": "plain"}))
    assert asked(found) == [("cpu", "csv"), ("cpu.more", "csv"), ("disk", "plain")]
    assert found.metrics[-1].extra_args == {"kind": "plain"}


def test_all_meters_of_the_first_collector_move_together() -> None:
    found = plan(Notes({"instance": "plain"}))
    assert asked(found)[:2] == [("cpu", "plain"), ("cpu.more", "plain")]


def test_words_that_the_mapped_collector_does_not_understand_are_an_obstacle() -> None:
    found = plan(Notes({"disk": "gnocchi"}))
    assert found.obstacles == (
        "service disk is mapped to the collector 'gnocchi', which cannot be asked for it: "
        "extra_args -> region: required key not provided; define it for that collector in the "
        "metrics file, or take the mapping away: DELETE /v1/collector/mappings/disk",
    )
    assert "disk" not in [one.name for one in found.metrics]


def test_a_mapping_to_nobody_is_an_obstacle() -> None:
    [obstacle] = plan(Notes({"disk": "nobody"})).obstacles
    assert "no nobody" in obstacle


def test_a_collector_that_is_disabled_is_passed_over() -> None:
    written = FILE.replace("  disk: {unit: x}\n", "")
    assert asked(plan(off("csv"), written)) == [("cpu.new", "gnocchi")]
    assert asked(plan(off("gnocchi"), written)) == [("cpu", "csv"), ("cpu.more", "csv")]


def test_enabling_what_is_enabled_changes_nothing() -> None:
    assert plan(Notes({}, {"csv": True, "gnocchi": True})) == plan(Notes())


def test_a_mapping_to_a_disabled_collector_is_passed_over() -> None:
    found = plan(off("gnocchi", instance="gnocchi"))
    assert asked(found) == [("cpu", "csv"), ("cpu.more", "csv"), ("disk", "csv")]


def test_a_mapping_rescues_a_service_whose_collector_is_disabled() -> None:
    written = "metrics: {disk: {unit: x}}"
    assert asked(plan(off("csv", disk="plain"), written)) == [("disk", "plain")]


def test_a_service_that_only_disabled_collectors_have_is_an_obstacle() -> None:
    [one] = plan(off("csv")).obstacles
    assert one == (
        "service disk has no source: the collector 'csv' is disabled; enable it with "
        'PUT /v1/collector/states/csv {"enabled": true}, or take the service out of the '
        "metrics file"
    )
    both = plan(off("csv", "gnocchi")).obstacles
    assert len(both) == 2
    assert "the collectors 'csv' and 'gnocchi' are disabled" in both[0]


def test_a_collector_that_cannot_be_made_is_an_obstacle_for_its_mapping(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(Known, "broken", {"plain"})
    [obstacle] = plan(Notes({"disk": "plain"})).obstacles
    assert "no plain" in obstacle
