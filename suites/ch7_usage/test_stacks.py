"""7.3: stacks deployed, changed, listed and removed."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, table
from suites.support.reasons import explained
from suites.support.stacks import (
    deploy,
    deploy_project,
    deployed,
    nothing_of,
    removed,
    runs,
    service_names,
    services,
    why_left,
    with_room,
)
from suites.support.traffic import GOSSIP, PROBES, REQUESTS, without_loss
from swarmlab.cluster.marks import STACK_LABEL
from swarmlab.cluster.service import SERVICE_NAME_LABEL, TASK_LABEL
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually

#: A config and a secret.
CONTENT = """configs:
  greeting:
    file: ./greeting
    labels: ["{label}"]
secrets:
  word:
    file: ./word
    labels: ["{label}"]
"""
#: One of each kind that a file may have; tasks must find the content of `FILES`.
WHOLE = (
    """version: "3.3"
services:
  web:
    image: {web}
    networks: [inner]
    volumes: ["data:/data"]
    configs:
      - source: greeting
        target: /greeting
    secrets: [word]
    deploy:
      mode: global
      labels: ["{label}"]
  client:
    image: {client}
    networks: [inner]
    deploy:
      labels: ["{label}"]
"""
    + CONTENT
    + """volumes:
  data:
    labels: ["{label}"]
networks:
  inner:
    labels: ["{label}"]
"""
)
FILES = {"greeting": "good morning\n", "word": "open sesame\n"}
#: Two services, of which one is changed.
PAIR = """services:
  changing:
    image: {image}
    networks: [default]
    deploy:
      replicas: {replicas}
      labels: ["{label}"]
  steady:
    image: {steady}
    networks: [default]
    deploy:
      replicas: 2
      labels: ["{label}"]
"""
#: A service with what an engine and the managers keep as it was made, on one node.
KEPT = (
    """version: "3.3"
services:
  web:
    image: {image}
    volumes: ["data:/data"]
    configs: [greeting]
    secrets: [word]
    deploy:
      labels: ["{label}"]
      placement:
        constraints: ["node.id == {node}"]
volumes:
  data:
    driver_opts: {{type: tmpfs, device: tmpfs, o: "{options}"}}
    labels: ["{label}"]
networks:
  default:
    labels: ["{label}"]
"""
    + CONTENT
)
#: What the managers say to other content of a config or secret.
_LABELS_ALONE = "only updates to Labels are allowed"
#: The only service of another stack beside it.
ALONE = """services:
  alone:
    image: {image}
    networks: [default]
    deploy:
      labels: ["{label}"]
"""


@pytest.fixture
def whole(cluster, stack):
    """The path of `WHOLE` on the manager."""
    images = {"web": cluster.image("web:1"), "client": cluster.image("client")}
    text = with_room(stack, WHOLE.format(label=cluster.label, **images))
    return stack.place({"docker-compose.yml": text, **FILES}, "docker-compose.yml")


def one_of_each(cluster):
    """Return the replicas of the services of `WHOLE`."""
    return {"web": len(cluster.nodes), "client": 1}


@claim("7.3/stack-deploy")
def test_deploy_makes_all_that_the_file_names(cluster, stack, whole):
    deployed(stack, whole)
    wanted = {
        "services": {"web", "client"},
        "networks": {"inner"},
        "configs": {"greeting"},
        "secrets": {"word"},
    }
    for kind, names in wanted.items():
        labelled = {resource.get("Name") or resource["Spec"]["Name"] for resource in stack.of(kind)}
        named = {f"{stack.name}_{name}" for name in names}
        assert labelled == named, f"{kind} with the label {STACK_LABEL}={stack} are {sorted(labelled)}, not {named}"
    eventually(lambda: runs(stack, one_of_each(cluster)), f"{stack} to run its services", deadline=120)
    (network,) = stack.of("networks")
    made = (network["Driver"], network["Scope"])
    assert made == ("overlay", "swarm"), f"{network['Name']} is of driver and scope {made}, not an overlay of the swarm"
    for task in stack.service("web").running():
        uses_everything(stack, cluster.node(task.node), task.container)
    eventually(
        lambda: names_lead_to_all(stack),
        f"the name web to lead to every task in the network of {stack}",
        deadline=GOSSIP,
        alike=True,
    )


def uses_everything(stack, node, container):
    """Judge that a task of web has the stack's own config, secret, volume and network."""
    for path, text in {"/greeting": FILES["greeting"], "/run/secrets/word": FILES["word"]}.items():
        read = node.execute(container, f"cat {path}")
        assert (read.ok, read.out) == (True, text), f"in the task on {node}, {path} is {read.output!r}, not {text!r}"
    wrote = node.execute(container, f"echo {node} > /data/mine")
    wrote.expect(f"in the task on {node}, a write to its volume", error=AssertionError)
    volumes = {volume["Name"]: volume for volume in stack.volumes(node)}
    name = f"{stack}_data"
    assert list(volumes) == [name], f"{node} has the volumes {sorted(volumes)} of {stack}, not {name}"
    label = (volumes[name]["Labels"] or {}).get(STACK_LABEL)
    assert label == stack.name, f"the volume {name} on {node} has {label} as its {STACK_LABEL}"
    kept = node.run(f"cat {volumes[name]['Mountpoint']}/mine").out.strip()
    assert kept == node.name, f"what the task on {node} wrote to /data is not in the volume {name}"
    inspected = node.ask("GET", f"/containers/{container}/json")
    networks = set(inspected["NetworkSettings"]["Networks"])
    assert networks == {f"{stack}_inner"}, f"the task on {node} is in the networks {sorted(networks)}"


def names_lead_to_all(stack):
    """Whether the name web resolves to every task of web in each task of the stack, which also reaches it."""
    cluster = stack.cluster
    network = f"{stack}_inner"
    web = stack.service("web").running()
    address = stack.service("web").virtual_address(network)
    lost, unresolved = {}, []
    urls = [f"http://{target.addresses[network]}/bytes/65536" for target in web]

    def ask(source):
        probe = cluster.probe(source)
        return *probe.resolve_each(["web", "tasks.web"]), probe.fetch(urls, at_once=REQUESTS)

    sources = [*web, *stack.service("client").running()]
    for source, (found, tasks, answers) in zip(sources, parallel(ask, sources, at_once=PROBES), strict=True):
        if found != {address}:
            unresolved.append(f"on {source.node}, web is {few(sorted(found)) or 'unknown'}, not {address}")
        if tasks != (held := {task.addresses[network] for task in web}):
            unresolved.append(f"on {source.node}, tasks.web are {few(sorted(tasks))}, not {few(sorted(held))}")
        for target, answer in zip(web, answers, strict=True):
            if (answer.size, answer.container) != (65536, target.container[:12]):
                pair = cluster.node(source.node), cluster.node(target.node)
                lost.setdefault(pair, f"{source.node} -> {target.node}: {answer}")
    pairs = [(cluster.node(source.node), cluster.node(target.node)) for source in sources for target in web]
    return State(False, few(unresolved, "; ")) if unresolved else without_loss(lost, cluster.nodes, pairs)


@claim("7.3/stack-spreads")
def test_the_tasks_of_a_stack_run_on_several_nodes(cluster, stack):
    port = cluster.port()
    count = len(cluster.nodes)
    # No routing mesh is involved: every node has a task and is asked at its own port, and redis has no virtual address.
    deploy_project(
        stack,
        "composetest",
        "stack.yml",
        PYTHON_IMAGE=cluster.image("python:3"),
        REDIS_IMAGE=cluster.image("redis"),
        PORT=port,
        PORT_MODE="host",
        ENDPOINT_MODE="dnsrr",
        REPLICAS=count,
        LABEL=cluster.label,
    )

    def on_every_node():
        state = runs(stack, {"web": count, "redis": 1})
        # Only one task of a node can have the port, so that as many tasks as nodes must be on all nodes.
        where = {task.node for task in stack.service("web").running()}
        lacking = few(node.name for node in cluster.nodes if node.name not in where)
        return State(state.done and not lacking, f"no task of web on {lacking or 'none'}; {state.summary}")

    eventually(on_every_node, f"{stack} to run its services, one task of web on every node", deadline=120)
    names = accepted(cluster.manager, "service ls --format '{{.Name}}'").split()
    for name in ("web", "redis"):
        assert f"{stack}_{name}" in names, f"docker service ls shows no service {stack}_{name}"
        for task in stack.service(name).running():
            is_a_task(stack, cluster.node(task.node), task, name)
    latest = 0
    for _ in range(2):
        for node in cluster.nodes:
            latest = counts_on(stack, node, port, latest)


def is_a_task(stack, node, task, name):
    """Judge that a task of the service *name* is a container on its node, with the labels of a task."""
    running = {
        container["Id"]: container["Labels"] for container in stack.containers(node) if container["State"] == "running"
    }
    assert task.container in running, f"the task {task.id} of {stack}_{name} is on {node}, which has no container of it"
    labels = running[task.container]
    carried = {key: labels.get(key) for key in (TASK_LABEL, SERVICE_NAME_LABEL)}
    wanted = {TASK_LABEL: task.id, SERVICE_NAME_LABEL: f"{stack}_{name}"}
    assert carried == wanted, f"the container of {stack}_{name} on {node} is labelled as {carried}, not {wanted}"


def counts_on(stack, node, port, before):
    """Judge that the page on *node* counts on from the page of another node, as all use one redis.

    Args:
        stack: the stack.
        node: the node.
        port: the published port.
        before: the count of the other node's page.

    Returns:
        The count.
    """
    answer = eventually(
        lambda: State((got := node.get(port, timeout=30)).ok, f"{got}; {got.body.decode(errors='replace').strip()}"),
        f"the page of {stack} on {node} to answer",
        deadline=60,
    ).summary
    text = answer.partition("; ")[2]
    count = int("".join(filter(str.isdigit, text)) or 0)
    assert text == f"Hello World! I have been seen {count} times.", f"the page of {stack} on {node} says {text!r}"
    # More than one is possible: an answer that came too late was counted too.
    assert count > before, f"the page of {stack} on {node} counts {count}, and another node's had counted {before}"
    return count


@claim("7.3/stack-redeploy")
def test_deploying_again_updates_what_changed_alone(cluster, stack):
    old, new = cluster.image("web:1"), cluster.image("web:2")
    about = {"steady": cluster.image("client"), "label": cluster.label}
    deployed(stack, stack.write(PAIR.format(image=old, replicas=2, **about)))
    eventually(lambda: runs(stack, {"changing": 2, "steady": 2}), f"{stack} to run its services", deadline=120)
    before = {name: account(stack, name) for name in ("changing", "steady")}
    network = stack.of("networks")[0]["Id"]

    deployed(stack, stack.write(PAIR.format(image=new, replicas=2, **about)))
    changing = stack.service("changing")
    eventually(
        lambda: changing.replaced(2, lambda task: task.image == new),
        f"both tasks of {changing} to run {new} after {stack} was deployed with it",
        deadline=120,
    )
    assert changing.id == before["changing"]["id"], f"{changing} was made anew instead of updated"
    is_as_before(stack, "steady", before["steady"])

    updated = account(stack, "changing")
    deployed(stack, stack.write(PAIR.format(image=new, replicas=3, **about)))
    eventually(
        lambda: changing.replaced(3, lambda task: task.image == new),
        f"3 tasks of {changing} to run after {stack} was deployed with as many",
        deadline=120,
    )
    gone = sorted(set(updated["tasks"].items()) - set(account(stack, "changing")["tasks"].items()))
    assert not gone, f"{changing} got one task more, and its tasks {gone} were replaced"
    is_as_before(stack, "steady", before["steady"])
    # The same file again changes nothing.
    grown = account(stack, "changing")
    deployed(stack, stack.write(PAIR.format(image=new, replicas=3, **about)))
    eventually(lambda: runs(stack, {"changing": 3, "steady": 2}), f"{stack} to go on running", stable=3, deadline=60)
    is_as_before(stack, "changing", grown)
    is_as_before(stack, "steady", before["steady"])
    now = [network["Id"] for network in stack.of("networks")]
    assert now == [network], f"the network of {stack} must stay {network[:12]}, and is {now}"


@claim("7.3/stack-redeploy")
def test_volumes_configs_and_secrets_stay_as_they_were_made(cluster, stack):
    manager = cluster.manager
    about = {"image": cluster.image("web:1"), "label": cluster.label, "node": manager.node_id()}

    def place(options="size=1m", **changed):
        text = KEPT.format(options=options, **about)
        return stack.place({"docker-compose.yml": text, **FILES, **changed}, "docker-compose.yml")

    deployed(stack, place())
    eventually(lambda: runs(stack, {"web": 1}), f"{stack} to run its service", deadline=120)
    (volume,) = stack.volumes(manager)
    made, tasks = volume["Options"], [task.id for task in stack.service("web").running()]
    assert made["o"] == "size=1m", f"the volume of {stack} on {manager} was made with other options: {made}"

    # The service asks for other options from now on, and each engine keeps the volume that it has.
    deployed(stack, place("size=2m"))
    eventually(lambda: renewed(stack, tasks), f"a task of {stack} that asks for the volume's new options", deadline=120)
    asked = stack.service("web").inspect()["Spec"]["TaskTemplate"]["ContainerSpec"]["Mounts"][0]
    asked = asked["VolumeOptions"]["DriverConfig"]["Options"]["o"]
    assert asked == "size=2m", f"{stack}_web was deployed with size=2m for its volume, and asks for {asked}"
    (volume,) = stack.volumes(manager)
    assert volume["Options"] == made, f"the volume of {stack} on {manager} was {made}, and is {volume['Options']} now"

    before = account(stack, "web")
    for kind, file in (("config", "greeting"), ("secret", "word")):
        versions = {each["ID"]: each["Version"]["Index"] for each in stack.of(f"{kind}s")}
        done = deploy(stack, place("size=2m", **{file: "another\n"}))
        assert not done.ok, f"docker stack deploy on {manager} took a {kind} whose content changed: {done.output}"
        refused = f"docker stack deploy on {manager} refused a {kind} whose content changed in other words:"
        assert _LABELS_ALONE in done.output, f"{refused} {done.output}"
        now = {each["ID"]: each["Version"]["Index"] for each in stack.of(f"{kind}s")}
        assert now == versions, f"docker stack deploy on {manager} refused a {kind}, and changed it"
        is_as_before(stack, "web", before)


def renewed(stack, tasks):
    """Whether the only task that runs of the service web is none of *tasks*."""
    running = stack.service("web").running()
    state = runs(stack, {"web": 1})
    return State(state.done and len(running) == 1 and running[0].id not in tasks, state.summary)


def account(stack, name):
    """Return a service's id, specification, tasks and containers, which stay if the file does not change."""
    service = stack.service(name)
    tasks = {}
    for task in service.running():
        node = stack.cluster.node(task.node)
        started = node.ask("GET", f"/containers/{task.container}/json")["State"]["StartedAt"]
        tasks[task.id] = f"container {task.container[:12]} on {node}, started {started}"
    return {"id": service.id, "spec": service.inspect()["Spec"], "tasks": tasks}


def is_as_before(stack, name, before):
    """Judge that a service is as `account` was *before*."""
    now = account(stack, name)
    assert now["id"] == before["id"], f"{stack}_{name} did not change in the file, and was made anew"
    changed = [key for key in before["spec"] if now["spec"].get(key) != before["spec"][key]]
    assert not changed, f"{stack}_{name} did not change in the file, and {', '.join(changed)} of it did"
    assert now["tasks"] == before["tasks"], (
        f"{stack}_{name} did not change in the file, and its tasks {before['tasks']} became {now['tasks']}"
    )


@claim("7.3/stack-listing")
def test_stack_commands_show_the_stack(cluster, new_stack):
    manager = cluster.manager
    stack, other = new_stack("stack"), new_stack("other")
    about = {"image": cluster.image("web:1"), "steady": cluster.image("client"), "label": cluster.label}
    deployed(stack, stack.write(PAIR.format(replicas=3, **about)))
    deployed(other, other.write(ALONE.format(image=cluster.image("client"), label=cluster.label)))
    eventually(lambda: runs(stack, {"changing": 3, "steady": 2}), f"{stack} to run its services", deadline=120)
    eventually(lambda: runs(other, {"alone": 1}), f"{other} to run its service", deadline=120)

    shown = {row.get("NAME"): row.get("SERVICES") for row in table(accepted(manager, "stack ls"))}
    for deployed_stack, count in ((stack, "2"), (other, "1")):
        assert deployed_stack.name in shown, f"docker stack ls does not show {deployed_stack}; it shows {shown}"
        assert shown[deployed_stack.name] == count, (
            f"docker stack ls shows {shown[deployed_stack.name]} services of {deployed_stack}, not {count}"
        )

    def shows_services():
        rows = table(accepted(manager, f"stack services {stack}"))
        listed = {row.get("NAME"): tuple(row.get(key) for key in ("MODE", "REPLICAS", "IMAGE")) for row in rows}
        wanted = {
            f"{stack}_changing": ("replicated", "3/3", about["image"]),
            f"{stack}_steady": ("replicated", "2/2", f"{about['steady']}:latest"),
        }
        # Engines show a reference without tag as it was given, or with the tag latest.
        return State(without_latest(listed) == without_latest(wanted), f"it shows {listed}, not {wanted}")

    eventually(shows_services, f"docker stack services to show the services of {stack}", deadline=60)

    def shows_tasks():
        rows = table(accepted(manager, f"stack ps --no-trunc {stack}"))
        # Tasks that were replaced are listed too.
        rows = [row for row in rows if row.get("DESIRED STATE") != "Shutdown"]
        listed = {row.get("ID", ""): tuple(row.get(key) for key in ("NAME", "NODE", "DESIRED STATE")) for row in rows}
        wanted = {
            task.id: (f"{stack}_{name}.{task.slot}", task.node, "Running")
            for name in ("changing", "steady")
            for task in stack.service(name).running()
        }
        current = {row.get("ID", ""): row.get("CURRENT STATE", "") for row in rows}
        odd = [id for id in wanted if not current.get(id, "").startswith("Running")]
        return State(listed == wanted and not odd, f"it shows {listed} in the states {current}, and there are {wanted}")

    eventually(shows_tasks, f"docker stack ps to show the tasks of {stack}", deadline=60)


def without_latest(rows):
    """Return the rows, with the tag latest removed from every word."""
    return {name: tuple(word.removesuffix(":latest") for word in fields if word) for name, fields in rows.items()}


@claim("7.3/stack-rm")
def test_rm_removes_all_but_the_volumes(cluster, new_stack, stack, whole):
    other = new_stack("other")
    deployed(stack, whole)
    deployed(other, other.write(ALONE.format(image=cluster.image("client"), label=cluster.label)))
    eventually(lambda: runs(stack, one_of_each(cluster)), f"{stack} to run its services", deadline=120)
    eventually(lambda: runs(other, {"alone": 1}), f"{other} to run its service", deadline=120)
    neighbour = account(other, "alone")
    written = {}
    for task in stack.service("web").running():
        done = cluster.node(task.node).execute(task.container, f"echo kept on {task.node} > /data/mine")
        done.expect(f"in the task on {task.node}, a write to its volume", error=AssertionError)
        written[task.node] = f"kept on {task.node}"

    eventually(lambda: removed(stack), f"docker stack rm to remove {stack}", deadline=60)
    with explained(lambda: why_left(stack)):
        eventually(
            lambda: nothing_of(stack),
            f"services, networks, secrets and configs of {stack} to be gone after stack rm",
            deadline=120,
        )
    shown = [row.get("NAME") for row in table(accepted(cluster.manager, "stack ls"))]
    assert stack.name not in shown, f"{stack} was removed, and docker stack ls shows it"
    for node in cluster.nodes:
        volumes = {volume["Name"]: volume for volume in stack.volumes(node)}
        assert set(volumes) == {f"{stack}_data"}, f"after stack rm, {node} has the volumes {sorted(volumes)} of {stack}"
        kept = node.run(f"cat {volumes[f'{stack}_data']['Mountpoint']}/mine")
        assert kept.out.strip() == written[node.name], f"after stack rm, the volume on {node} holds {kept.output!r}"
    assert services(other) == {"alone": "1/1"}, f"{stack} was removed, and {other} beside it has {services(other)}"
    is_as_before(other, "alone", neighbour)

    # Deployed again, the stack finds its data.
    deployed(stack, whole)
    eventually(lambda: runs(stack, one_of_each(cluster)), f"{stack} to run again", deadline=120)
    for task in stack.service("web").running():
        read = cluster.node(task.node).execute(task.container, "cat /data/mine")
        assert read.out.strip() == written[task.node], (
            f"{stack} was deployed again, and on {task.node} reads {read.output}"
        )


@claim("7.3/one-service-per-create")
def test_service_create_makes_one_service_and_a_stack_makes_several(cluster, stack):
    manager = cluster.manager
    before = service_names(manager)
    name = cluster.unique("one")
    options = f"--detach --label {cluster.label} --name {name} {cluster.image('client')}"
    # A second image makes no second service: all arguments after the image are the command of its tasks.
    accepted(manager, f"service create {options} sleep 1000")
    made = service_names(manager) - before
    assert made == {name}, f"docker service create --name {name} made the services {sorted(made)}"
    (task,) = cluster.service(name).expect_running(1)
    assert task.image.startswith(cluster.image("client")), f"{name} runs {task.image}"
    container = cluster.service(name).inspect()["Spec"]["TaskTemplate"]["ContainerSpec"]
    arguments = container.get("Args")
    assert arguments == ["sleep", "1000"], f"the arguments after the image are not those of {name}: {container}"

    before = service_names(manager)
    images = {"image": cluster.image("web:1"), "steady": cluster.image("client"), "label": cluster.label}
    path = stack.write(PAIR.format(replicas=1, **images))
    refused = manager.docker(f"service create --detach -c {path} {stack}")
    made = service_names(manager) - before
    assert not refused.ok, f"docker service create took the file of a stack, and made {sorted(made)}"
    deployed(stack, path)
    made = service_names(manager) - before
    wanted = {f"{stack}_changing", f"{stack}_steady"}
    assert made == wanted, f"docker stack deploy of two services made {sorted(made)}"
    eventually(lambda: runs(stack, {"changing": 1, "steady": 2}), f"{stack} to run both its services", deadline=120)

    def related():
        (web,) = stack.service("changing").running()
        found = [cluster.probe(task).resolve("tasks.changing") for task in stack.service("steady").running()]
        wanted = {web.addresses[f"{stack}_default"]}
        return State(all(addresses == wanted for addresses in found), f"the other's tasks find {found}")

    eventually(related, f"one service of {stack} to be found by its name from the other", deadline=GOSSIP)
