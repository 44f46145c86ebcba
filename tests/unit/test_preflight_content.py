"""Preflight's checks of images and registries. The words of engines were recorded on engine 20.10.24."""

import pytest

from swarmlab.cluster.marks import SUITE_LABEL
from swarmlab.preflight import checks
from swarmlab.preflight.content import parse, questions
from swarmlab.preflight.model import LACKS, LIMITED, LOGIN, THERE, UNREACHED, Pull
from tests.unit.test_preflight import found, only, sound
from tests.unit.test_preflight_services import service, task

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
TAGGED = "registry:5000/web:1"
PINNED = f"{TAGGED}@{ONE}"
SILENT = 'Get "https://registry:5000/v2/": dial tcp 192.168.58.1:5000: i/o timeout'


def image(identity="sha256:aa", digest=ONE, tag=TAGGED):
    digests = [f"registry:5000/web@{digest}"] if digest else []
    return {"Id": identity, "RepoTags": [tag] if tag else [], "RepoDigests": digests}


@pytest.fixture
def sight():
    """A service with a pinned image and a task on each of three nodes."""
    return running(PINNED)


def running(reference):
    one = sound()
    spec = {"ContainerSpec": {"Image": reference}}
    one.services = [service(replicas=3, template=spec)]
    for slot, view in enumerate(one.nodes, 1):
        one.tasks.append(task(slot=slot, node=view.name, Spec=spec))
        one.tasks[-1]["Status"]["ContainerStatus"] = {"ContainerID": f"c-{view.name}"}
        view.images = [image()]
        view.containers = [{"Id": f"c-{view.name}", "State": "running", "ImageID": "sha256:aa", "Labels": {}}]
        view.pulls = {reference: Pull(THERE, digest=ONE)}
        view.info["Architecture"] = "x86_64"
    return one


def well(sight):
    for check in ("images", "registries"):
        assert {level for level, _, _ in found(sight, check)} == {"ok"}, found(sight, check)


@pytest.mark.parametrize(
    ("reference", "registry", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io", "nginx", "latest", ""),
        ("docker.io/library/nginx:1.25", "docker.io", "nginx", "1.25", ""),
        ("portainer/agent:2", "docker.io", "portainer/agent", "2", ""),
        (PINNED, "registry:5000", "registry:5000/web", "1", ONE),
        (f"ghcr.io/a/b/c@{TWO}", "ghcr.io", "ghcr.io/a/b/c", "", TWO),
        ("localhost/web:1", "localhost", "localhost/web", "1", ""),
    ],
)
def test_references_are_read(reference, registry, repository, tag, digest):
    parts = parse(reference)
    assert (parts.registry, parts.repository, parts.tag, parts.digest) == (registry, repository, tag, digest)


def test_nothing_is_found_where_all_is_pinned_and_there(sight):
    well(sight)
    sight.services = []
    well(sight)


def test_an_image_without_a_digest_is_told_but_not_the_suites():
    sight = running(TAGGED)
    only(sight, "images", "info", (), f"image without a digest: web ({TAGGED})")
    sight.services[0]["Spec"]["Labels"] = {SUITE_LABEL: ""}
    well(sight)


def other_content(sight, name, **changed):
    view = next(view for view in sight.nodes if view.name == name)
    view.images = [image(**{"identity": "sha256:bb", "digest": TWO, **changed})]
    view.containers[0]["ImageID"] = "sha256:bb"


def test_nodes_that_run_other_content_under_one_name_are_named():
    sight = running(TAGGED)
    sight.services[0]["Spec"]["Labels"] = {SUITE_LABEL: ""}
    other_content(sight, "slave02")
    for view in sight.nodes:
        view.pulls = {}
    part = f"web runs different content of {TAGGED}: 111111111111 on master, slave01; 222222222222 on slave02"
    only(sight, "images", "warning", ("slave02",), part)
    # The same content, which engines with different stores give different ids.
    other_content(sight, "slave02", digest=ONE)
    well(sight)
    # Without digests, as after docker load, ids count, if they depend on nothing else.
    for view in sight.nodes:
        view.images[0]["RepoDigests"] = []
    only(sight, "images", "warning", ("slave02",), "aa on master, slave01; bb on slave02")
    sight.nodes[2].info["DriverStatus"] = [["driver-type", "io.containerd.snapshotter.v1"]]
    well(sight)
    sight.nodes[2].info |= {"DriverStatus": None, "Architecture": "aarch64"}
    well(sight)


def test_a_tag_that_means_another_content_in_the_registry_is_named():
    sight = running(TAGGED)
    sight.services[0]["Spec"]["Labels"] = {SUITE_LABEL: ""}
    sight.nodes[0].pulls = {TAGGED: Pull(THERE, digest=TWO)}
    sight.nodes[1].pulls = sight.nodes[2].pulls = {}
    names = ("master", "slave01", "slave02")
    only(sight, "images", "warning", names, f"{TAGGED} is 222222222222 in the registry now")
    sight.services[0]["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] = PINNED
    well(sight)  # a pinned service does not care


def test_a_node_that_would_run_other_content_is_named():
    sight = running(TAGGED)
    sight.services[0]["Spec"]["Labels"] = {SUITE_LABEL: ""}
    sight.tasks.pop()
    other_content(sight, "slave02")
    only(sight, "images", "info", ("slave02",), f"{TAGGED} has other content there than the tasks of web run")
    for view in sight.nodes:
        view.pulls = {TAGGED: Pull(UNREACHED, words=SILENT)}
    assert found(sight, "images")[0][:2] == ("warning", ("slave02",))


def test_a_digest_that_the_registry_does_not_have_is_named(sight):
    for view in sight.nodes:
        view.pulls = {PINNED: Pull(LACKS, words="manifest unknown: manifest unknown")}
    only(sight, "images", "warning", (), f"the registry does not have the digest of web, {PINNED}")
    sight.nodes[2].images = []
    sight.tasks.pop()
    only(sight, "images", "warning", ("slave02",), "and slave02 lacks it too")
    spec = {"ContainerSpec": {"Image": PINNED}}
    sight.tasks.append(task("preparing", slot=3, node="slave02", made=5, Spec=spec))
    only(sight, "images", "error", ("slave02",), "and slave02 lacks it too")
    for view in sight.nodes:
        view.pulls = {PINNED: Pull(LOGIN, words="unauthorized: authentication required")}
    well(sight)  # a registry that asks for a login tells nothing


def test_a_node_that_cannot_ask_the_registry_is_named(sight):
    sight.nodes[1].pulls = {PINNED: Pull(UNREACHED, words=SILENT)}
    only(sight, "registries", "warning", ("slave01",), "it cannot ask the registry registry:5000, master, slave02 can")
    sight.nodes[1].images = []
    spec = {"ContainerSpec": {"Image": "registry:5000/nothing:1"}}
    sight.tasks[1] = task("preparing", slot=2, node="slave01", made=5, Spec=spec)
    only(sight, "registries", "error", ("slave01",), "i/o timeout")


def test_a_registry_that_counts_who_asks_is_no_way_that_is_closed():
    sight, words = running("nginx:1"), "toomanyrequests: You have reached your pull rate limit"
    sight.nodes[1].images = []
    sight.nodes[1].pulls = {"nginx:1": Pull(LIMITED, words=words)}
    part = f"the registry docker.io takes no more requests from it for now, master, slave02 can: {words}"
    only(sight, "registries", "warning", ("slave01",), part)
    (finding,) = checks.look("registries", sight)
    assert finding.mend.endswith("on a manager: docker login; docker service update --with-registry-auth web")
    for view in sight.nodes:
        view.pulls = {"nginx:1": Pull(LIMITED, words=words)}
    spec = {"ContainerSpec": {"Image": "nginx:1"}}
    failed = {"err": "No such image: nginx:1", "Spec": spec}
    sight.tasks[1:2] = [
        *(task("rejected", slot=2, node="slave01", made=made, **failed) for made in (90, 60, 30)),
        task("ready", slot=2, node="slave01", made=3, desired="ready", Spec=spec),
    ]
    (finding,) = checks.look("replicas", sight)
    assert finding.summary.endswith("; the registry takes no more requests for now")
    assert "docker service update --with-registry-auth web" in finding.mend


def test_a_registry_that_nobody_can_ask_matters_where_an_image_is_missing(sight):
    for view in sight.nodes:
        view.pulls = {PINNED: Pull(UNREACHED, words=SILENT)}
    assert {level for level, _, _ in found(sight, "registries")} == {"info"}
    sight.nodes[2].images = []
    told = {nodes: level for level, nodes, _ in found(sight, "registries")}
    assert told == {("slave02",): "warning", ("master", "slave01"): "info"}


def test_who_asks_for_what(sight):
    asked = [(view.name, reference) for view, reference in questions(sight)]
    assert asked == [("master", PINNED), ("slave01", PINNED), ("slave02", PINNED)]
    sight.members[2]["Spec"]["Availability"] = "drain"
    assert [view.name for view, _ in questions(sight)] == ["master", "slave01"]
    # Docker's own registry counts who asks: only for what a node lacks.
    hub = running("nginx:1.25")
    for view in hub.nodes:
        view.images = [{"Id": "sha256:aa", "RepoTags": ["nginx:1.25"], "RepoDigests": []}]
    assert not questions(hub)
    hub.nodes[1].images = []
    assert [(view.name, reference) for view, reference in questions(hub)] == [("slave01", "nginx:1.25")]


def test_every_image_that_a_node_refused_is_asked_for_once(sight):
    sight.services = []
    refused = [("registry:5000/a:1", 2), ("registry:5000/b:1", 1)]
    sight.tasks = [
        task("rejected", slot=1, node="slave01", err="No such image", Spec={"ContainerSpec": {"Image": name}})
        for name, number in refused
        for _ in range(number)
    ]
    assert [(view.name, name) for view, name in questions(sight)] == [("slave01", name) for name, _ in refused]
