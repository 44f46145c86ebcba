"""6.2: Portainer, a page that shows the swarm and its containers."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, succeeded
from suites.support.compose_projects import Project, tools
from suites.support.portainer import PORT, Portainer, expect_page, require_free_port, run
from suites.support.stacks import COMPOSE
from swarmlab.cluster.marks import unique
from swarmlab.wait import State, eventually

pytestmark = pytest.mark.touches("open a page that gives its first visitor the engine")


@pytest.fixture
def image(cluster):
    """The image of Portainer that the user gave."""
    return cluster.image("portainer")


@pytest.fixture
def volume(cluster):
    """A volume that was made with the document's command, on the manager."""
    require_free_port(cluster.manager)
    name = unique("portainer-data")
    accepted(cluster.manager, f"volume create --label {cluster.label} {name}")
    return name


@pytest.fixture
def portainer(cluster, image, volume):
    """Portainer on the manager, started with the document's command, for tests that judge something else."""
    run(cluster.manager, image, cluster.label, volume)
    expect_page(cluster.manager, f"Portainer on {cluster.manager} to answer on port {PORT}")
    return Portainer(cluster.manager)


@claim("6.2/portainer-run")
def test_portainer_started_by_run_answers_on_its_port(cluster, image, volume):
    manager = cluster.manager
    container = run(manager, image, cluster.label, volume)
    expect_page(manager, f"Portainer, which was started by docker run on {manager}, to answer on port {PORT}")
    assert Portainer(manager).wants_administrator(), f"Portainer on {manager} with a new volume has an administrator"
    state = manager.ask("GET", f"/containers/{container}/json")
    assert state["State"]["Running"], f"Portainer on {manager} is {state['State']['Status']}"
    mounted = {mount["Destination"]: mount.get("Name") or mount["Source"] for mount in state["Mounts"]}
    assert mounted.get("/data") == volume, f"Portainer on {manager} has {mounted.get('/data')} at /data, not {volume}"


@claim("6.2/portainer-compose")
def test_portainer_started_by_its_compose_file_answers_on_its_port(cluster, image, lab):
    manager = cluster.manager
    bench = cluster.bench(manager)
    text = (COMPOSE / "portainer" / "docker-compose.yml").read_text(encoding="utf-8")
    settings = f"PORTAINER_IMAGE={image} LABEL={cluster.label}"
    for tool in tools(manager, lab.declared(manager.name).compose):
        require_free_port(manager)
        folder = bench.folder({"docker-compose.yml": text})
        project = Project(manager, tool, unique("portainer"), folder, PORT, settings)
        done = project.compose("up -d")
        succeeded(done, f"{tool} up on {manager}")
        expect_page(manager, f"Portainer, which was started by {tool} on {manager}, to answer on port {PORT}")
        portainer = Portainer(manager)
        assert portainer.wants_administrator(), f"{portainer} has an administrator, and was started for the first time"
        assert portainer.set_administrator().ok, f"{portainer} does not take an administrator"
        # Its command names the engine (-H), so that the engine need not be added.
        assert portainer.endpoints(portainer.token()), f"{portainer} was started with -H, and knows no engine"
        mounts = [mount for part in project.containers() for mount in part["Mounts"]]
        volumes = [part["Name"] for part in mounts if part["Type"] == "volume" and part["Destination"] == "/data"]
        wanted = [f"{project.name}_portainer_data"]
        assert volumes == wanted, f"Portainer, which was started by {tool}, has {volumes} at /data, not {wanted}"
        done = project.compose("down -v")
        succeeded(done, f"{tool} down on {manager}")
    bench.clear()


@claim("6.2/portainer-first-login")
def test_the_first_visit_sets_the_administrator_and_later_ones_log_in(portainer):
    assert portainer.wants_administrator(), f"{portainer} asks its first visitor for no administrator"
    early = portainer.log_in()
    assert not early.ok, f"{portainer} lets somebody log in before there is an administrator"
    answer = portainer.set_administrator()
    assert answer.ok, f"{portainer} does not take the administrator's name and password: {answer}"
    assert not portainer.wants_administrator(), f"{portainer} asks for an administrator again after one was set"
    again = portainer.ask("POST", "/users/admin/init", body={"Username": "other", "Password": "another-password-1"})
    assert not again.ok, f"{portainer} lets a second visitor set an administrator: {again}"

    for what, (user, password) in {
        "another password": (portainer.user, "no-password-of-it"),
        "an empty password": (portainer.user, ""),
        "another name": ("nobody", portainer.password),
        "the second visitor's name and password": ("other", "another-password-1"),
    }.items():
        answer = portainer.log_in(user, password)
        assert not answer.ok, f"{portainer} lets somebody log in with {what}: {answer}"
    for token in ("", "eyJhbGciOiJIUzI1NiJ9.e30.nobody"):
        answer = portainer.ask("GET", "/endpoints", token=token)
        assert not answer.ok, f"{portainer} shows its engines to somebody who did not log in: {answer}"
    portainer.endpoints(portainer.token())


@claim("6.2/portainer-scheme")
def test_portainer_speaks_plain_http_on_its_port(cluster, image, volume):
    run(cluster.manager, image, cluster.label, volume)
    expect_page(cluster.manager, f"Portainer on {cluster.manager} to speak HTTP on port {PORT}")
    # The calls that a browser makes from the page must be in plain HTTP as well.
    portainer = Portainer(cluster.manager)
    answer = portainer.ask("GET", "/users/admin/check")
    assert answer.status in (204, 404), f"{portainer} does not speak HTTP on port {PORT}: {answer}"


@claim("6.2/portainer-shows-swarm")
def test_portainer_shows_the_nodes_and_makes_and_removes_a_container(cluster, portainer):
    manager = cluster.manager
    assert portainer.set_administrator().ok, f"{portainer} does not take an administrator"
    token = portainer.token()
    engine = f"/endpoints/{portainer.add_endpoint(token, unique('local'))}/docker"

    shown = {item["ID"]: about(item) for item in portainer.call("GET", f"{engine}/nodes", token=token)}
    there = {item["ID"]: about(item) for item in cluster.members()}
    lacking = sorted(there[id] for id in set(there) - set(shown))
    assert not lacking, f"{portainer} does not show the nodes {lacking}"
    assert shown == there, (
        f"{portainer} shows the nodes {sorted(shown.values())}, and there are {sorted(there.values())}"
    )

    client = cluster.image("client")
    accepted(manager, f"pull {client}")
    name = unique("made")
    spec = {"Image": client, "Labels": {cluster.label: ""}}
    made = portainer.call("POST", f"{engine}/containers/create?name={name}", token=token, body=spec)["Id"]
    assert made in {item["Id"] for item in manager.containers(all=True)}, f"{portainer} made no container on {manager}"
    portainer.call("POST", f"{engine}/containers/{made}/start", token=token)
    eventually(
        lambda: State(made in {item["Id"] for item in manager.containers()}, "it does not"),
        f"the container that {portainer} started to run",
    )
    listed = {item["Id"] for item in portainer.call("GET", f"{engine}/containers/json", token=token)}
    here = {item["Id"] for item in manager.containers()}
    assert made in listed, (
        f"{portainer} does not show the container that it made; it shows {len(listed)} of {len(here)}"
    )
    portainer.call("DELETE", f"{engine}/containers/{made}?force=true", token=token)
    left = {item["Id"] for item in manager.containers(all=True)}
    assert made not in left, f"{portainer} removed the container {name}, and it is on {manager} still"


def about(node):
    """Return host name, role and state of a node, which Portainer shows."""
    return f"{node['Description']['Hostname']} ({node['Spec']['Role']}, {node['Status']['State']})"


@claim("6.2/settings-survive")
def test_settings_outlive_the_container_in_its_volume(cluster, image, volume):
    manager = cluster.manager
    promise = f"Portainer on {manager} to answer on port {PORT}"
    container = run(manager, image, cluster.label, volume)
    expect_page(manager, promise)
    portainer = Portainer(manager)
    assert portainer.set_administrator().ok, f"{portainer} does not take an administrator"
    name = unique("local")
    identity = portainer.add_endpoint(portainer.token(), name)

    container = replaced(manager, container, image, cluster.label, volume)
    expect_page(manager, f"{promise} after its container was replaced")
    kept = not portainer.wants_administrator()
    assert kept, f"{portainer} forgot its administrator when its container was replaced, its volume kept"
    known = portainer.endpoints(portainer.token())
    assert known.get(name) == identity, f"{portainer} knew the engine {name}, and knows {known} in another container"

    # See that they are in the volume and nowhere else: start it with another one.
    other = unique("portainer-data")
    accepted(manager, f"volume create --label {cluster.label} {other}")
    container = replaced(manager, container, image, cluster.label, other)
    expect_page(manager, f"{promise} with another volume")
    assert portainer.wants_administrator(), f"{portainer} has settings with a new volume, so it keeps them elsewhere"
    replaced(manager, container, image, cluster.label, volume)
    expect_page(manager, f"{promise} with its volume again")
    portainer.token()


def replaced(node, container, image, label, volume):
    """Remove a container of Portainer and start another. Return the name of the new one."""
    accepted(node, f"stop {container}")
    accepted(node, f"rm {container}")
    return run(node, image, label, volume)
