"""Tables and long outputs of docker commands, and the names of the suite's stacks."""

import pytest

from suites.support.commands import succeeded, table
from swarmlab.cluster.marks import of_a_stack
from swarmlab.cluster.node import Result


def test_a_table_is_read_by_its_header():
    printed = (
        "ID             NAME        NODE      DESIRED STATE   CURRENT STATE           ERROR     PORTS\n"
        "x9             one_web.1   slave01   Running         Running 2 minutes ago             \n"
        "x8              \\_ one.1   master    Shutdown        Failed 1 hour ago       no room   \n"
    )
    first, second = table(printed)
    assert (first["ID"], first["NAME"], first["NODE"], first["ERROR"]) == ("x9", "one_web.1", "slave01", "")
    assert (second["CURRENT STATE"], second["ERROR"], second["PORTS"]) == ("Failed 1 hour ago", "no room", "")


def test_columns_that_an_engine_has_beside_others_do_not_matter():
    assert [row["SERVICES"] for row in table("NAME      SERVICES   ORCHESTRATOR\none       2          Swarm\n")] == [
        "2"
    ]
    assert [row["SERVICES"] for row in table("NAME      SERVICES\none       2\n")] == ["2"]
    assert table("NAME      SERVICES\n") == []
    assert table("") == []


def test_what_is_of_a_stack_of_the_suites_is_known_by_the_stacks_name():
    label = "com.docker.stack.namespace"
    assert of_a_stack({"Spec": {"Labels": {label: "swc-stack-0a1b2c"}}})
    assert of_a_stack({"Labels": {label: "swc-stack-0a1b2c"}})
    assert not of_a_stack({"Labels": {label: "production"}})
    assert not of_a_stack({"Labels": {label: "swc-stack-of-another"}})
    assert not of_a_stack({"Labels": None, "Spec": {}})


def test_a_failed_command_is_told_by_the_last_line_of_its_output():
    assert succeeded(Result("compose up", 0, "started\n", "", "master"), "up") == "started\n"
    failed = Result("compose up", 17, "pulling\n", "no such image", "master")
    with pytest.raises(AssertionError, match=r"^up on master ended with 17: no such image$"):
        succeeded(failed, "up on master")
