"""1.3.2: the docker service, and the verbs of systemctl."""

import pytest

from fixtures.claims import claim
from swarmlab.wait import State, eventually

#: A machine in no swarm, for one test alone.
alone = pytest.mark.cluster(managers=0, workers=0, spare=1)


@claim("1.3.2/enable-now")
@alone
def test_enable_now_enables_and_starts(cluster):
    (node,) = cluster.spare
    systemctl(node, "disable docker.service")
    stop(node)
    before = service(node)
    assert before == ("disabled", "inactive"), f"the docker service of {node} is still {' and '.join(before)}"
    systemctl(node, "enable --now docker.service")
    after = service(node)
    assert after == ("enabled", "active"), f"after enable --now the docker service of {node} is {' and '.join(after)}"
    assert node.docker("version").ok, f"the docker service of {node} is active, and its engine does not answer"


@claim("1.3.2/service-verbs")
@alone
def test_start_stop_restart_and_disable_do_what_they_say(cluster):
    (node,) = cluster.spare
    first = engine(node)
    assert first, f"no engine runs on {node}"

    stop(node)
    left = engine(node)
    assert not left, f"the docker service of {node} was stopped, and its engine runs on as process {left}"

    systemctl(node, "start docker.service")
    started = engine(node)
    assert started, f"the docker service of {node} was started, and no engine runs"
    assert node.docker("version").ok, f"the engine of {node} was started, and does not answer"

    systemctl(node, "restart docker.service")
    restarted = engine(node)
    assert restarted, f"the docker service of {node} was restarted, and no engine runs"
    assert restarted != started, f"the docker service of {node} was restarted, and the engine is still {started}"

    systemctl(node, "disable docker.service")
    state = service(node)
    assert state == ("disabled", "active"), f"a disabled service runs on until it is stopped; {node}'s is {state}"


def systemctl(node, verb):
    """Run ``systemctl VERB``, which must succeed."""
    node.run(f"systemctl {verb}").expect(f"systemctl {verb} on {node}", error=AssertionError)


def stop(node):
    """Stop the service, and the socket that would start it again, if there is one."""
    socket = node.run("systemctl is-active docker.socket").out.strip() == "active"
    systemctl(node, f"stop docker.service{' docker.socket' if socket else ''}")
    eventually(
        lambda: State((found := service(node)[1]) == "inactive", found), f"the docker service of {node} to be inactive"
    )


def service(node):
    """Whether the docker service is enabled and active, as systemctl calls it."""
    return tuple(
        node.run(f"systemctl {question} docker.service").out.strip() for question in ("is-enabled", "is-active")
    )


def engine(node):
    """Return the process id of the engine; empty if it does not run."""
    return node.run("pidof dockerd").out.strip()
