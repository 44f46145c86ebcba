"""plugins: services whose volumes are of a plugin's driver."""

import pytest

from fixtures.claims import claim
from suites.support.placement import pending, stays
from suites.support.volume_plugin import FILE, installed
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.wait import State, eventually, wait


def mount_of(driver, volume, word):
    """Return a mount at /data of a volume of *driver* that is made with a word in it."""
    options = {"DriverConfig": {"Name": driver, "Options": {FILE: word}}}
    return {"Type": "volume", "Source": volume, "Target": "/data", "VolumeOptions": options}


def wait_known(cluster, node, driver):
    """Wait until the managers list the plugin of this name on *node* and on no other."""

    def known():
        found = [
            member["Description"]["Hostname"]
            for member in cluster.members()
            for plugin in member["Description"]["Engine"].get("Plugins") or []
            if plugin["Type"] == "Volume" and plugin["Name"] == driver
        ]
        return State(found == [node.name], f"listed on {few(found) or 'none'}")

    # A node tells the managers what it has every 20 s.
    wait(known, f"the managers to list plugin {driver} on {node} alone", deadline=60)


@claim("plugins/volume-placed", "plugins/volume-mounted")
@pytest.mark.cluster(apart=True)
def test_tasks_run_where_the_plugin_of_their_volume_is(cluster):
    if len(cluster.nodes) < 2:
        raise Blocked("the cluster has one node")
    here, elsewhere = cluster.nodes[-1], cluster.nodes[:-1]
    driver, word = cluster.unique("driver"), cluster.unique("word")
    with installed(here, driver):
        wait_known(cluster, here, driver)
        mounts = [mount_of(driver, cluster.unique("volume"), word)]
        service = cluster.create_service("inside", "client", replicas=len(cluster.nodes) + 1, mounts=mounts)
        tasks = service.expect_running(len(cluster.nodes) + 1)
        wrong = [str(task) for task in tasks if task.node != here.name]
        assert not wrong, (
            f"of the volume's driver only {here} has the plugin, and tasks run elsewhere: {few(wrong, '; ')}"
        )
        for task in tasks:
            found = cluster.probe(task).run(f"cat /data/{FILE}").output.strip()
            assert found == word, (
                f"the plugin on {here} made a volume with {word}, and its task finds {found or 'nothing'}"
            )
        constraint = [f"node.hostname=={elsewhere[0]}"]
        other = cluster.create_service("outside", "client", mounts=mounts, constraints=constraint)

        def waits():
            state = pending(other, 1)
            reason = "; ".join(f"{task.message} {task.error}".strip() for task in other.tasks())
            return State(state.done and "plugin" in reason, f"{state.summary}; its reason is {reason or 'none'}")

        eventually(waits, f"a task to wait, as {elsewhere[0]} lacks the plugin, and to say so")
        stays(waits, f"a task to wait while {elsewhere[0]} lacks the plugin", polls=4)
        service.remove()
        wait(
            lambda: State(not (left := service.containers(here, all=True)), f"{len(left)} left"),
            f"the containers of {service} to end",
            deadline=60,
        )
