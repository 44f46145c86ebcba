"""5.3 and 5.4: compose files that Compose and a swarm take, and those that they refuse."""

import pytest

from fixtures.claims import claim
from fixtures.cluster import on_one_node
from suites.support.compose_projects import project, tools
from suites.support.stacks import deploy, listed, services
from swarmlab.wait import State, eventually

#: All of the document's sections (5.4), with volumes, networks and configs that a service uses. The version is the
#: first that has all of them.
WHOLE = """version: "3.3"
services:
  web:
    image: {image}
    labels: ["{label}"]
    networks: [inner]
    volumes: ["data:/data"]
    configs:
      - source: greeting
        target: /greeting
volumes:
  data:
    labels: ["{label}"]
networks:
  inner:
    labels: ["{label}"]
configs:
  greeting:
    file: ./greeting
    labels: ["{label}"]
"""
SHORT = """version: "3.3"
services:
  web:
    image: {image}
    labels: ["{label}"]
"""
#: A line that makes a file wrong, by its key: an unknown key, and keys with a value of the wrong type.
WRONG = {"imagee": "imagee: nothing", "ports": "ports: 8080", "environment": "environment: 7"}


@claim("5.3/build-not-in-swarm")
def test_stack_deploy_builds_nothing(cluster, stack):
    manager = cluster.manager
    context = stack.bench.folder({"Dockerfile": f"FROM {cluster.image('web:1')}\nENV SWC_BUILT=1\n"})
    before = images(manager)
    path = stack.write(f"services:\n  web:\n    build: {context}\n")
    done = deploy(stack, path)
    assert not done.ok, f"docker stack deploy on {manager} accepted a service with only build: {done.output}"
    assert not listed(stack), f"docker stack deploy on {manager} refused a file, and made {services(stack)} of it"

    path = stack.write(f"services:\n  web:\n    build: {context}\n    image: {cluster.image('web:1')}\n")
    done = deploy(stack, path)
    assert done.ok, f"docker stack deploy on {manager} refused build beside image: {done.output}"
    assert "build" in done.output, f"docker stack deploy on {manager} does not say that it ignores build: {done.output}"
    eventually(
        lambda: State((found := services(stack)) == {"web": "1/1"}, f"it has {found}"),
        "the stack with build beside image to run its service",
        deadline=60,
    )
    (service,) = listed(stack)
    image = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].partition("@")[0]
    assert image == cluster.image("web:1"), f"the service of a stack runs {image}, and was given another image"
    built = [image for image in images(manager) - before if "SWC_BUILT=1" in environment(manager, image)]
    assert not built, f"docker stack deploy on {manager} built the image {built}"


@claim("5.4/sections")
@on_one_node
def test_a_file_of_the_documents_sections_is_valid(cluster, node, bench, stack, lab):
    image = cluster.image("web:1")
    for text in (WHOLE, SHORT):
        files = {"docker-compose.yml": text.format(image=image, label=bench.label), "greeting": "hello\n"}
        last = "with" if text is WHOLE else "without"
        for tool in tools(node, lab.declared(node.name).compose):
            done = project(bench, tool, files).compose("config --quiet")
            assert done.ok, f"{tool} on {node} refuses a file {last} volumes, networks and configs: {done.output}"
        done = deploy(stack, f"{stack.bench.folder(files)}/docker-compose.yml")
        assert done.ok, f"docker stack deploy refuses a file {last} volumes, networks and configs: {done.output}"
        eventually(
            lambda: State((found := services(stack)) == {"web": "1/1"}, f"it has {found}"),
            f"a stack of a file {last} volumes, networks and configs to run its service",
            deadline=60,
        )


@pytest.mark.parametrize("key", WRONG)
@claim("5.4/bad-file-refused")
@on_one_node
def test_a_wrong_file_is_refused_with_the_keys_name(cluster, node, bench, stack, key, lab):
    text = SHORT.format(image=cluster.image("web:1"), label=bench.label).rstrip() + f"\n    {WRONG[key]}\n"
    files = {"docker-compose.yml": text}
    for tool in tools(node, lab.declared(node.name).compose):
        wrong = project(bench, tool, files)
        done = wrong.compose("up -d")
        assert not done.ok, f"{tool} on {node} accepted a file with {WRONG[key]}"
        assert key in done.output, f"{tool} on {node} refused {WRONG[key]} without naming it: {done.output}"
        assert not wrong.containers(), f"{tool} on {node} refused a file, and started {len(wrong.containers())} of it"
    done = deploy(stack, f"{stack.bench.folder(files)}/docker-compose.yml")
    assert not done.ok, f"docker stack deploy accepted a file with {WRONG[key]}"
    assert key in done.output, f"docker stack deploy refused {WRONG[key]} without naming it: {done.output}"
    assert not listed(stack), f"docker stack deploy refused a file with {WRONG[key]}, and started {services(stack)}"


def images(node):
    """Return the ids of the images on a node."""
    return {image["Id"] for image in node.ask("GET", "/images/json")}


def environment(node, image):
    """Return the environment variables of an image."""
    return node.ask("GET", f"/images/{image}/json")["Config"].get("Env") or []
