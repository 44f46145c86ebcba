"""Configs: what a service is given that is no secret."""

from fixtures.claims import claim
from suites.support import payload_rules as rules


@claim("configs/lifecycle")
def test_a_config_is_listed_and_found_until_it_is_removed(cluster):
    rules.expect_lifecycle(cluster, "configs")


@claim("configs/kept-while-used")
def test_a_config_that_a_service_has_is_not_removed(cluster):
    rules.expect_kept_while_used(cluster, "configs")


@claim("configs/immutable")
def test_only_the_labels_of_a_config_can_be_changed(cluster):
    rules.expect_immutable(cluster, "configs")


@claim("configs/content-on-every-task")
def test_tasks_on_all_nodes_read_the_same_500_kb_of_a_config(cluster):
    rules.expect_whole_on_every_node(cluster, "configs")


@claim("configs/limit")
def test_a_config_that_is_empty_or_too_large_is_refused(cluster):
    rules.expect_limit(cluster, "configs")


@claim("configs/target-and-mode")
def test_a_config_is_a_file_with_the_given_path_owner_and_mode(cluster):
    rules.expect_target(cluster, "configs")


@claim("configs/twice")
def test_a_service_has_one_config_at_two_places(cluster):
    rules.expect_twice(cluster, "configs")


@claim("configs/updated-by-service")
def test_an_update_of_a_service_exchanges_its_configs(cluster):
    rules.expect_rotated(cluster, "configs")
