"""Templates: placeholders in a service, and in configs and secrets, that each task gets filled in for itself."""

from fixtures.claims import claim
from suites.support.mounts import volume as known
from suites.support.payloads import create, make, on_every_node, printed, value
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.versions import parsed

#: What every engine knows of a task, as a template.
TASK = "{{.Service.Name}}/{{.Service.ID}}/{{.Node.ID}}/{{.Task.ID}}/{{.Task.Slot}}"


def ids(cluster):
    """Return the id of every node by host name."""
    return {name: id for id, name in cluster.names().items()}


def expect_known(cluster, version):
    """Check that every engine of a mixed swarm knows this version of the API: nodes fill in what they know.

    Raises:
        Blocked: one does not.
    """
    known = {node.name: node.ask("GET", "/version")["ApiVersion"] for node in cluster.nodes}
    older = [f"{name} knows {found}" for name, found in known.items() if parsed(found) < parsed(version)]
    if older:
        raise Blocked(f"engines of API {version} are needed, and {few(older)}")


def spread(cluster, name, **settings):
    """Create a service of as many replicas as there are nodes, expect them to run, and return both."""
    count = len(cluster.nodes)
    service = create(cluster, name, replicas=count, **settings)
    return service, service.expect_running(count)


def filled(cluster, service, task):
    """Return `TASK` as it must be filled in for *task*."""
    return f"{service.name}/{service.id}/{ids(cluster)[task.node]}/{task.id}/{task.slot}"


@claim("templates/env")
def test_variables_of_a_task_have_the_facts_of_that_task(cluster):
    labels = '{{index .Service.Labels "' + cluster.label + '"}}.'
    service, tasks = spread(cluster, "teller", environment={"TASK": TASK, "LABEL": labels, "PLAIN": "as it is"})
    for task in tasks:
        found = printed(cluster, task, 'echo "$TASK"; echo "$LABEL"; echo "$PLAIN"').splitlines()
        wanted = [filled(cluster, service, task), ".", "as it is"]
        assert found == wanted, f"the task on {task.node} has the variables {found}, not {wanted}"


@claim("templates/hostname")
def test_a_tasks_host_name_has_the_facts_of_that_task(cluster):
    _, tasks = spread(cluster, "teller", container={"Hostname": "h-{{.Task.Slot}}-{{.Node.ID}}"})
    for task in tasks:
        found = printed(cluster, task, "hostname")
        wanted = f"h-{task.slot}-{ids(cluster)[task.node]}"
        assert found == wanted, f"the task of slot {task.slot} on {task.node} has the host name {found}, not {wanted}"


@claim("templates/node-hostname")
def test_a_task_is_told_the_name_of_its_node(cluster):
    expect_known(cluster, "1.33")
    name = "{{.Node.Hostname}}"
    _, tasks = on_every_node(cluster, "teller", environment={"HOST": f"on {name}"}, container={"Hostname": name})
    for task in tasks:
        found = printed(cluster, task, 'hostname; echo "$HOST"').splitlines()
        wanted = [task.node, f"on {task.node}"]
        assert found == wanted, f"the task on {task.node} has host name and variable {found}, not {wanted}"


@claim("templates/mount-source")
def test_each_slot_has_a_volume_of_its_own(cluster):
    name = cluster.unique("slot")
    options = {"Labels": {cluster.label: ""}}
    mount = {"Type": "volume", "Source": name + "-{{.Task.Slot}}", "Target": "/data", "VolumeOptions": options}
    _, tasks = spread(cluster, "keeper", mounts=[mount])
    for task in tasks:
        printed(cluster, task, f"echo {task.slot} > /data/slot")
    for task in tasks:
        node, wanted = cluster.node(task.node), f"{name}-{task.slot}"
        made = known(node, wanted)
        listed = [entry["Name"] for entry in node.ask("GET", "/volumes")["Volumes"] or [] if name in entry["Name"]]
        assert made, f"the task of slot {task.slot} runs on {node}, which has the volumes {few(listed) or 'none'} of it"
        mounts = node.ask("GET", f"/containers/{task.container}/json")["Mounts"]
        found = [mount["Source"] for mount in mounts if mount["Destination"] == "/data"]
        assert found == [made["Mountpoint"]], f"the task of slot {task.slot} on {node} has {found}, not {wanted}"
        slot = printed(cluster, task, "cat /data/slot")
        assert slot == str(task.slot), f"the task of slot {task.slot} on {node} has the volume of slot {slot}"


def expect_filled(cluster, kind, path):
    """Judge that a config or secret that is a template is filled in for each task.

    Args:
        cluster: the swarm.
        kind: configs or secrets.
        path: the file that tasks read.
    """
    expect_known(cluster, "1.37")
    shade, word = value(), value()
    shown = make(cluster, "configs", shade)
    hidden = make(cluster, "secrets", word)
    # The name of the node is left empty by engines, and promised for the settings of services alone.
    text = TASK + '/{{env "COLOUR"}}/{{config "/shade"}}/{{secret "word"}}'
    template = make(cluster, kind, text, template=True)
    given = {"configs": [shown.at("/shade")], "secrets": [hidden.at("word")]}
    given[kind].append(template.at(path))
    service, tasks = spread(cluster, "reader", environment={"COLOUR": "blue-{{.Task.Slot}}"}, **given)
    for task in tasks:
        found = printed(cluster, task, f"cat {path}")
        assert found != text, f"in the task on {task.node}, {path} has its placeholders as they were written"
        wanted = f"{filled(cluster, service, task)}/blue-{task.slot}/{shade}/{word}"
        assert found == wanted, f"in the task on {task.node}, {path} is {found}, not {wanted}"


@claim("templates/config")
def test_a_config_that_is_a_template_is_filled_in_for_each_task(cluster):
    expect_filled(cluster, "configs", "/told")


@claim("templates/secret")
def test_a_secret_that_is_a_template_is_filled_in_for_each_task(cluster):
    expect_filled(cluster, "secrets", "/run/secrets/told")
