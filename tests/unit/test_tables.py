"""Tables and long outputs of docker commands, and the names and files of the suite's stacks."""

import pytest
import yaml

from suites.support import stacks
from suites.support.commands import detached, succeeded, table
from suites.support.stacks import filled
from swarmlab.cluster.marks import of_a_stack
from swarmlab.cluster.node import Result
from swarmlab.cluster.swarm import Swarm


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


def test_variables_of_a_compose_file_are_filled_in_as_they_are_given_or_by_default():
    text = """published: ${PORT:-8000}, mode: "${MODE:-ingress}", place: "${PLACE:-node.role == manager}\""""
    assert filled(text, PORT=8888) == 'published: 8888, mode: "ingress", place: "node.role == manager"'


@pytest.mark.parametrize(
    ("file", "network"), [("composetest/stack.yml", "default"), ("wordpress/docker-compose.yml", "overlay")]
)
def test_the_network_of_a_stack_is_given_a_wide_subnet_where_those_of_the_swarm_are_small(monkeypatch, file, network):
    wide = iter(["172.30.0.0/16", "172.31.0.0/16", None])
    monkeypatch.setattr(stacks, "wide_subnet", lambda _: next(wide))
    cluster, text = Swarm([]), filled((stacks.COMPOSE / file).read_text(encoding="utf-8"))

    def subnets(name):
        written = yaml.safe_load(stacks.with_room(stacks.Stack(cluster, None, name), text))
        return written["networks"][network].get("ipam", {}).get("config")

    assert subnets("one") == subnets("one") == [{"subnet": "172.30.0.0/16"}]
    assert subnets("other") == [{"subnet": "172.31.0.0/16"}]
    assert subnets("third") is None


class CommandLine:
    """A node whose command line prints this help."""

    def __init__(self, help):
        self._help = help

    def docker(self, command):
        return Result(command, 0, self._help, "")


def test_a_command_is_detached_where_it_has_the_option():
    assert (
        detached(CommandLine("Options:\n  -d, --detach   Exit immediately\n"), "service scale")
        == "service scale --detach"
    )
    assert detached(CommandLine("Options:\n      --help   Print usage\n"), "service scale") == "service scale"
