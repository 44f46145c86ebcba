"""Which resources of a cluster are the suites', and which only look so."""

import pytest

from swarmlab.cluster.leavings import LOOPBACK, _image, find, let_go
from swarmlab.cluster.marks import KEPT_LABEL, STACK_LABEL, SUITE_LABEL, is_unique, ours, unique
from swarmlab.cluster.node import Result
from swarmlab.cluster.service import SERVICE_NAME_LABEL
from swarmlab.errors import LabError


def test_the_names_that_suites_give_are_known():
    for name in ("web", "uchin_v_test", "my-nginx", "user"):
        assert is_unique(unique(name))
    stack = unique("stack")
    assert is_unique(f"{stack}_web")
    assert is_unique(f"{stack}_web.1.abcdef")


@pytest.mark.parametrize(
    "name", ["swc-web", "swc-backup", "swc-data-12345", "swc-web-abcdef0", "my-swc-web-abcdef", "web", "swc-web-ABCDEF"]
)
def test_names_that_only_look_like_it_are_not(name):
    assert not is_unique(name)
    assert not ours(name, {"swarm-conformance-of": "others", STACK_LABEL: "swc-shop"})


@pytest.mark.parametrize("label", [SUITE_LABEL, KEPT_LABEL])
def test_a_label_of_the_suites_is_enough(label):
    assert ours("web", {label: ""})
    assert ours("stack_web", {STACK_LABEL: unique("stack")})


class Engine:
    """Answers as a node's engine; what is deleted is noted."""

    name = "master"
    root = True

    def __init__(self, **answers):
        self._answers = answers
        self.deleted = []

    def __str__(self):
        return self.name

    def ask(self, method, path, **_):
        if method == "DELETE":
            self.deleted.append(path)
            return None
        return self._answers.get(path.strip("/").partition("?")[0].replace("/", "_"), [])

    def containers(self, **_):
        return self._answers.get("containers", [])

    def heal(self):
        self.deleted.append("table")

    def look(self, command):
        return Result(command, 0, self._answers.get("machine", ""), "")


def image(*tags, labels=None, digests=()):
    return {"Id": "sha256:1", "RepoTags": list(tags), "RepoDigests": list(digests), "Labels": labels}


@pytest.mark.parametrize(
    ("given", "removed"),
    [
        (image("redis:latest"), []),
        (image("redis:latest", f"{LOOPBACK}:30099/redis:latest"), [f"/images/{LOOPBACK}:30099/redis:latest"]),
        (image("swc-web:1"), []),
        (image("swc-web-abcdef:latest"), ["/images/swc-web-abcdef:latest"]),
        (image("swc-registry:123"), ["/images/swc-registry:123"]),
        (image("registry.example/swc/web:1"), ["/images/registry.example/swc/web:1"]),
        (image("registry.example/swcx/web:1"), []),
        (image("<none>:<none>", labels={SUITE_LABEL: ""}), ["/images/sha256:1"]),
        (image("shop:1", labels={SUITE_LABEL: ""}), []),
        (image("<none>:<none>"), []),
    ],
)
def test_of_images_the_suites_names_alone_are_removed(given, removed):
    engine = Engine()
    for one in _image(engine, given, "registry.example/swc"):
        one.remove()
    assert engine.deleted == removed


def test_what_is_found_is_listed_with_its_node_and_in_the_order_of_removal():
    web = unique("web")
    labels = {unique("label"): "yes", "zone": "a"}
    engine = Engine(
        services=[
            {"ID": "1", "Spec": {"Name": web, "Labels": {}}},
            {"ID": "2", "Spec": {"Name": "swc-mirror", "Labels": {}}},
        ],
        nodes=[
            {
                "ID": "n",
                "Spec": {"Labels": labels},
                "Description": {"Hostname": "master"},
            }
        ],
        volumes={"Volumes": [{"Name": unique("data"), "Labels": None}, {"Name": "swc-backup", "Labels": {}}]},
        machine=f"/var/tmp/{unique('folder')}\n/var/tmp/swc-notes\nroot\n{unique('user')}\nswc-admin\n"
        "table swarmlab_fault incoming",
    )
    found = find([engine], engine)
    assert [one.kind for one in found] == ["service", "volume", "folder", "user", "table", "label"]
    assert str(found[0]) == f"service {web}"
    assert str(found[1]).endswith(" on master")


class Forgetful(Engine):
    """An engine whose containers of removed services stay until somebody else removes them."""

    def containers(self, **_):
        return [made for made in super().containers() if f"/containers/{made['Id']}" not in self.deleted]


def container(id, service, state):
    return {"Id": id, "State": state, "Labels": {SERVICE_NAME_LABEL: service}}


def test_what_an_engine_leaves_of_a_removed_service_is_removed_and_nothing_else(monkeypatch):
    monkeypatch.setattr("swarmlab.cluster.leavings.wait", lambda state, _, **how: state() or state() or fail(how))
    ended = [container("1", unique("web"), "exited"), container("2", "shop_web", "exited")]
    engine = Forgetful(containers=ended)
    let_go([engine])
    assert engine.deleted == ["/containers/1"]
    running = Forgetful(containers=[container("1", unique("web"), "running")])
    with pytest.raises(LabError):
        let_go([running])
    assert running.deleted == []


def fail(how):
    raise how["error"]
