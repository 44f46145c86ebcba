"""What a service sets of the kernel for its tasks: settings, filters of calls, privileges, the first process."""

import base64
import json

from fixtures.claims import claim
from suites.support.placement import pending, stays
from suites.support.service_options import facts, knowing, on_every_node, tried, with_options
from swarmlab.errors import Blocked
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually

#: Settings that every kernel keeps for each network namespace: a container that answers no ping, not even its own.
SETTINGS = {"net.ipv4.icmp_echo_ignore_all": "1", "net.core.somaxconn": "333"}
#: Lets a process make no folder, and do everything else.
NO_FOLDERS = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}
#: Says the mode of its filter of calls, and whether it makes a folder and a file.
USE_CALLS = """
say filter $(sed -n 's/^Seccomp:[^0-9]*//p' /proc/self/status)
mkdir /tmp/folder; say makes_folder $?
touch /tmp/file; say makes_file $?
"""
#: Runs, as another user, a copy of `id` that takes its owner's rights, and says whose it has.
TAKE_RIGHTS = """
cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id
say user $(setpriv --reuid=1000 --regid=1000 --clear-groups /tmp/id -u)
say no_new_privileges $(sed -n 's/^NoNewPrivs:[^0-9]*//p' /proc/self/status)
"""
#: Leaves a process to the first one, and prints the name of that and how many processes have ended and wait for it.
LEAVE = "sh -c 'sleep 0.01 &'; "
LEFT = "echo first=$(cat /proc/1/comm); echo waiting=$(cat /proc/[0-9]*/stat 2> /dev/null | grep -c ') Z 1 ')"


@claim("containers/sysctls")
def test_tasks_have_the_kernel_settings_of_their_service(cluster):
    able = knowing(cluster, "1.40")
    read = "\n".join(f"say {name.replace('.', '_')} $(cat /proc/sys/{name.replace('.', '/')})" for name in SETTINGS)
    ping = "ping -c 1 -W 1 127.0.0.1 | grep -q '100%'; say deaf $?"
    service = with_options(cluster, "settings", {"Sysctls": SETTINGS}, tries=f"{read}\n{ping}")
    for node, found in tried(cluster, service).items():
        if node in able:
            values = {name: found.get(name.replace(".", "_")) for name in SETTINGS}
            assert values == SETTINGS, f"a task on {node} has the settings {values}, not {SETTINGS}"
            assert found["deaf"] == "0", f"a task on {node} answers a ping, and is set not to"


@claim("containers/seccomp-profile")
def test_a_profile_of_calls_is_in_force_in_tasks(cluster):
    able = filtering(cluster)
    profile = base64.b64encode(json.dumps(NO_FOLDERS).encode()).decode()
    service = with_options(
        cluster, "filtered", {"Privileges": {"Seccomp": {"Mode": "custom", "Profile": profile}}}, tries=USE_CALLS
    )
    for node, found in tried(cluster, service).items():
        if node in able:
            assert found["makes_folder"] != "0", f"a task on {node} makes a folder, which its profile forbids"
            assert found["makes_file"] == "0", f"a task on {node} makes no file, which its profile allows"


@claim("containers/seccomp-unconfined")
def test_tasks_have_no_filter_of_calls_if_the_service_wants_none(cluster):
    able = filtering(cluster)
    service = with_options(cluster, "unconfined", {"Privileges": {"Seccomp": {"Mode": "unconfined"}}}, tries=USE_CALLS)
    for node, found in tried(cluster, service).items():
        if node in able:
            assert found["filter"] == "0", f"a task on {node} is filtered (mode {found['filter']}), though unconfined"


def filtering(cluster):
    """Return the host names of the nodes whose engines filter calls by default, and take a service's profile.

    Raises:
        Blocked: there is none.
    """
    able = knowing(cluster, "1.44")
    chosen = {
        node.name
        for node in cluster.nodes
        if node.name in able and any("name=seccomp" in option for option in node.info().get("SecurityOptions") or [])
    }
    if not chosen:
        raise Blocked("no node's engine filters calls (seccomp)")
    return chosen


@claim("containers/no-new-privileges")
def test_a_program_of_another_owner_gains_tasks_no_rights(cluster):
    able = knowing(cluster, "1.44")
    held, free = (
        with_options(cluster, name, {"Privileges": {"NoNewPrivileges": value}}, tries=TAKE_RIGHTS)
        for name, value in (("held", True), ("free", False))
    )
    gained = tried(cluster, free)
    for node, found in tried(cluster, held).items():
        if node in able:
            if gained[node]["user"] != "0":
                raise Blocked(f"on {node} no program takes its owner's rights, in any container")
            assert found["no_new_privileges"] == "1", f"a task on {node} may gain privileges: NoNewPrivs is not set"
            assert found["user"] == "1000", f"a task on {node} gained the rights of user {found['user']}"


@claim("containers/init")
def test_an_init_process_ends_what_others_left(cluster):
    able = knowing(cluster, "1.37")
    service = with_options(cluster, "init", {"Command": ["sleep", "infinity"], "Init": True})
    tasks = [task for task in on_every_node(cluster, service) if task.node in able]
    parallel(lambda task: cluster.probe(task).run(LEAVE * 3).expect(), tasks)

    def ended():
        found = parallel(lambda task: facts(cluster, task, LEFT), tasks)
        wrong = [
            f"on {task.node} {fact.get('waiting')} wait for {fact.get('first')}"
            for task, fact in zip(tasks, found, strict=True)
            if fact.get("waiting") != "0"
        ]
        return State(not wrong, ", ".join(wrong) or "none")

    eventually(ended, "processes that were left by others to be gone when they ended", deadline=10)
    for task in tasks:
        first = facts(cluster, task, LEFT)["first"]
        assert first != "sleep", f"the first process of a task on {task.node} is its command, not an init process"


@claim("containers/cpu-reservation")
def test_a_task_waits_for_the_processors_that_it_reserves(cluster):
    most = max(member["Description"]["Resources"]["NanoCPUs"] for member in cluster.members())
    work = cluster.create_service("work", "idle", reservations={"NanoCPUs": most + 10**9})
    eventually(lambda: pending(work, 1), f"a task of {work}, which reserves more than any node has, to be pending")
    stays(lambda: pending(work, 1), f"the task of {work} to stay pending", polls=4)
    (task,) = work.tasks()
    assert "resource" in task.error + task.message, (
        f"the task waits for processors, and shows: {task.error or 'nothing'}"
    )

    def fit(spec):
        spec["TaskTemplate"]["Resources"] = {"Reservations": {"NanoCPUs": 10**6}}

    work.update(fit)
    work.expect_running(1)
