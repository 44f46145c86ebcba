"""Users and groups of tasks, and environments that the command line reads from a file."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.service_options import seen, tried, with_options

USER, GROUP, OTHERS = "1000", "1001", ("1002", "1003")
NAME = "swc-of-its-own"

WHO = """
say user "$(sed -n 's/^Uid:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/self/status)"
say group "$(sed -n 's/^Gid:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/self/status)"
say groups "$(sed -n 's/^Groups:[^0-9]*//p' /proc/self/status)"
touch /swc-root; say writes_root $?
touch /tmp/mine; say owner $(stat -c %u:%g /tmp/mine)
say hostname $(hostname)
"""


@claim("containers/user-and-groups")
def test_tasks_run_as_the_user_and_in_the_groups_that_are_given(cluster):
    options = {"User": f"{USER}:{GROUP}", "Groups": list(OTHERS)}
    service = with_options(cluster, "user", options, tries=WHO)
    for node, found in tried(cluster, service).items():
        assert (found["user"], found["group"]) == (USER, GROUP), (
            f"a task on {node} runs as {found['user']}:{found['group']}, not as {USER}:{GROUP}"
        )
        lacking = set(OTHERS) - set(found["groups"].split())
        assert not lacking, f"a task on {node} is in the groups {found['groups']}, not in {', '.join(sorted(lacking))}"
        assert found["writes_root"] != "0", f"a task on {node} writes where only root may"
        assert found["owner"] == f"{USER}:{GROUP}", f"a file of a task on {node} belongs to {found['owner']}"


@claim("names/hostname")
def test_tasks_have_the_host_name_that_is_given(cluster):
    tries = f"{WHO}say own $(getent -s files hosts {NAME} | cut -d ' ' -f 1)"
    service = with_options(cluster, "named", {"Hostname": NAME}, tries=tries)
    for node, found in tried(cluster, service).items():
        assert found["hostname"] == NAME, f"a task on {node} has the host name {found['hostname']}, not {NAME}"
        assert found["own"], f"a task on {node} does not know its own name {NAME}"


@pytest.fixture
def folder(cluster):
    """A folder on the first manager, and what makes files there."""
    bench = cluster.bench(cluster.manager)
    yield bench
    bench.clear()


@claim("containers/environment-file")
def test_tasks_have_the_environment_of_a_file(cluster, folder):
    path = folder.folder({"env": "# a comment\nFIRST=one word\n\nSECOND=two = 2\n"})
    name = cluster.unique("env")
    options = f"--name {name} --label {cluster.label} --mode global --env-file {path}/env --env SECOND=given"
    accepted(cluster.manager, f"service create --detach {options} {cluster.image('client')}")
    wanted = {"FIRST": "one word", "SECOND": "given"}
    for node, found in seen(cluster, cluster.service(name), "tr '\\000' '\\n' < /proc/1/environ").items():
        values = {key: found.get(key) for key in wanted}
        assert values == wanted, f"in a task on {node} the variables are {values}, and should be {wanted}"
