"""Images of services: the digest that a tag stands for, and credentials for a registry."""

import re

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, detached
from suites.support.gate import REFUSED, Gate
from suites.support.payloads import expect_replaced
from suites.support.task_states import expect_all
from suites.support.upgrade.moving_tag import MovingTag, contents
from swarmlab.lists import few

#: Never start a task in place of one that ended.
ONCE = "--restart-condition none"


def image_of(service):
    """Return the image of the service's specification."""
    return service.inspect()["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]


@pytest.fixture
def tagged(cluster):
    """A service of a task on every node with a tag that had release 1 of web and now has release 2, and the tag."""
    tag = MovingTag(cluster)
    tag.move("web:1")
    service = tag.create("pinned")
    service.expect_running(len(cluster.nodes))
    tag.move("web:2")
    return service, tag


def expect_release(cluster, service, release):
    """Judge that every task runs this release of web."""
    others = {node: found or "unknown" for node, found in contents(cluster, service).items() if found != release}
    told = few(f"release {found} on {node}" for node, found in others.items())
    assert not others, f"the tasks of {service} must run release {release}, and run {told}"


@claim("services/digest-pinned")
def test_a_service_runs_the_image_that_its_tag_had(cluster, tagged):
    service, tag = tagged
    made = image_of(service)
    assert re.fullmatch(rf"{re.escape(tag.name)}@sha256:[0-9a-f]{{64}}", made), (
        f"a service that was created with {tag.name} has the image {made}, and not its digest"
    )
    before = service.running()
    service.renew()
    expect_replaced(service, before)
    expect_release(cluster, service, "1")


@claim("services/update-resolves-tag")
def test_an_update_with_a_tag_brings_what_the_tag_has_now(cluster, tagged):
    service, tag = tagged
    made, before = image_of(service), service.running()
    accepted(cluster.manager, f"{detached(cluster.manager, 'service update')} --image {tag.name} {service.name}")
    now = image_of(service)
    anew = "@sha256:" in now and now != made
    assert anew, f"{tag.name} is another image by now, and an update with it has {now} in place of {made}"
    expect_replaced(service, before)
    expect_release(cluster, service, "2")


@pytest.fixture
def asked(cluster):
    """A function that creates a service of a task on every node, whose image is behind a gate, with a password."""
    gate, bench = Gate(cluster), cluster.bench(cluster.manager)
    made = []

    def ask(password):
        folder = bench.folder({"config.json": gate.client(password)})
        name, create = cluster.unique("asker"), detached(cluster.manager, "service create")
        options = f"--with-registry-auth --mode global {ONCE} --label {cluster.label} --name {name}"
        # The image prints a line and ends.
        accepted(cluster.manager, f"--config {folder} {create} {options} {gate.image}")
        made.append(cluster.service(name))
        return made[-1]

    yield ask
    bench.clear()
    for service in made:
        for node in cluster.nodes:
            node.docker(f"image rm {image_of(service)}")


@claim("services/registry-credentials")
def test_credentials_reach_every_node(cluster, asked):
    service = asked("")
    expect_all(cluster, service, "complete", len(cluster.nodes), so=", with the image behind a gate")


@claim("services/registry-refuses")
def test_a_task_whose_image_is_refused_is_rejected_and_says_so(cluster, asked):
    service = asked("wrong")
    image = image_of(service)

    def says(task):
        return image in task.error or REFUSED.search(task.error)

    expect_all(cluster, service, "rejected", len(cluster.nodes), says, so=f", naming {image} as the reason")
