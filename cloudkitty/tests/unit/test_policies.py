# SPDX-License-Identifier: Apache-2.0
"""Names and defaults of policy rules are part of the API."""

import pathlib

import pytest
from oslo_config import cfg

from cloudkitty import policies
from cloudkitty.rest import errors
from cloudkitty.rest.caller import Caller
from cloudkitty.rest.policy import Policy, build_enforcer, get_enforcer

READER = "rule:project_reader_or_admin"

DEFAULTS = {
    "context_is_admin": "role:admin",
    "default": "",
    "project_member_api": "role:member and project_id:%(project_id)s",
    "project_reader_api": "role:reader and project_id:%(project_id)s",
    "project_member_or_admin": "rule:project_member_api or rule:context_is_admin",
    "project_reader_or_admin": "rule:project_reader_api or rule:context_is_admin",
    "collector:list_mappings": "role:admin",
    "collector:get_mapping": "role:admin",
    "collector:manage_mapping": "role:admin",
    "collector:get_state": "role:admin",
    "collector:update_state": "role:admin",
    "info:list_services_info": "",
    "info:get_service_info": "",
    "info:list_metrics_info": "",
    "info:get_metric_info": "",
    "info:get_config": "",
    "rating:list_modules": "role:admin",
    "rating:get_module": "role:admin",
    "rating:update_module": "role:admin",
    "rating:quote": "",
    "rating:module_config": "role:admin",
    "report:list_tenants": "role:admin",
    "report:get_summary": READER,
    "report:get_total": READER,
    "storage:list_data_frames": READER,
    "dataframes:get": READER,
    "summary:get_summary": READER,
    "scope:get_state": "role:admin",
    "scope:patch_state": "role:admin",
    "scope:post_state": "role:admin",
    "v2_rating:list_modules": "role:admin",
    "v2_rating:get_module": "role:admin",
    "v2_rating:update_module": "role:admin",
}


@pytest.fixture
def policy(conf: cfg.ConfigOpts) -> Policy:
    return Policy(build_enforcer(conf))


def caller(*roles: str, project: str | None = "alpha", **more: str) -> Caller:
    return Caller(roles=list(roles), project_id=project, **more)


@pytest.mark.parametrize(("name", "check"), DEFAULTS.items())
def test_defaults(name: str, check: str) -> None:
    rules = {rule.name: rule.check_str for rule in policies.list_rules()}
    assert rules[name] == check


def test_rules_of_endpoints_are_for_projects() -> None:
    for rule in policies.list_rules():
        assert (":" not in rule.name) or rule.scope_types == ["project"]


def test_a_reader_reads_the_own_project(policy: Policy) -> None:
    policy.authorize(caller("reader"), "report:get_total", project_id="alpha")
    with pytest.raises(errors.Forbidden):
        policy.authorize(caller("reader"), "report:get_total", project_id="beta")


def test_a_check_without_project_is_for_administrators(policy: Policy) -> None:
    policy.authorize(caller("admin"), "report:get_total")
    for project in ("alpha", None):
        with pytest.raises(errors.Forbidden):
            policy.authorize(caller("reader", project=project), "report:get_total")


def test_nobodys_project_is_not_called_none(policy: Policy) -> None:
    with pytest.raises(errors.Forbidden):
        policy.authorize(caller("reader", project=None), "report:get_total", project_id="None")
    policy.authorize(caller("admin", project=None), "report:get_total", project_id="None")


@pytest.mark.parametrize("scope", [{"system_scope": "all"}, {"domain_id": "default"}])
def test_tokens_of_no_project_are_refused(policy: Policy, scope: dict[str, str]) -> None:
    with pytest.raises(errors.Forbidden):
        policy.authorize(caller("admin", project=None, **scope), "rating:quote")


def test_operators_may_say_otherwise(conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('"rating:list_modules": "role:billing"\n')
    conf.set_override("policy_file", str(path), "oslo_policy")
    policy = Policy(build_enforcer(conf))
    policy.authorize(caller("billing"), "rating:list_modules")
    with pytest.raises(errors.Forbidden):
        policy.authorize(caller("admin"), "rating:list_modules")


def test_old_defaults_can_be_had_back(conf: cfg.ConfigOpts) -> None:
    conf.set_override("enforce_new_defaults", False, "oslo_policy")
    policy = Policy(build_enforcer(conf))
    policy.authorize(caller("member"), "report:get_total", project_id="alpha")
    with pytest.raises(errors.Forbidden):
        policy.authorize(caller("member"), "report:get_total", project_id="beta")


def test_without_authentication_everything_is_allowed() -> None:
    policy = Policy(None)
    policy.authorize(caller(), "rating:module_config")
    assert policy.is_admin(caller())


def test_tools_get_an_enforcer(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cloudkitty.conf"
    path.write_text("")
    enforcer = get_enforcer(["--config-file", str(path)])
    assert "report:get_total" in enforcer.registered_rules
