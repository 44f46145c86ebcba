"""Which resources of a cluster are the suites', and which only look so."""

import threading

import pytest

from swarmlab.cluster.leavings import LOOPBACK, Found, Leaving, _image, _place, find, let_go, remove
from swarmlab.cluster.marks import KEPT_LABEL, LABEL_IMAGE, STACK_LABEL, SUITE_LABEL, is_unique, ours, unique
from swarmlab.cluster.node import Result
from swarmlab.cluster.service import SERVICE_NAME_LABEL
from swarmlab.errors import Blocked, LabError, NoAnswer


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

    def run(self, command):
        return Result(command, 0, "", "")


def image(*tags, labels=None, digests=()):
    return {"Id": "sha256:1", "RepoTags": list(tags), "RepoDigests": list(digests), "Labels": labels}


MADE = {LABEL_IMAGE: "web"}


@pytest.mark.parametrize(
    ("given", "removed"),
    [
        (image("redis:latest"), []),
        (image("redis:latest", f"{LOOPBACK}:30099/redis:latest"), [f"/images/{LOOPBACK}:30099/redis:latest"]),
        (image("swc-web:1"), []),
        (image("swc-web-abcdef:latest"), ["/images/swc-web-abcdef:latest"]),
        (image("swc-registry:123"), ["/images/swc-registry:123"]),
        (image("registry.example/swc/web:1", labels=MADE), ["/images/registry.example/swc/web:1"]),
        (image("registry.example/swc/shop:1"), []),  # the owner's
        (image("registry.example/swcx/web:1", labels=MADE), []),
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


@pytest.mark.parametrize("registry", ["docker.io/someone", "index.docker.io/someone"])
def test_images_of_docker_hub_are_known_as_engines_list_them(registry):
    engine = Engine()
    for given in (image("someone/web:1", labels=MADE), image("web:1", labels=MADE)):
        for one in _image(engine, given, registry):
            one.remove()
    assert engine.deleted == ["/images/someone/web:1"]


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
    found = find([engine], engine).leavings
    assert [one.kind for one in found] == ["service", "label", "volume", "folder", "user", "table"]
    assert str(found[0]) == f"service {web}"
    assert str(found[2]).endswith(" on master")


class Silent(Engine):
    """An engine that does not answer any more."""

    name = "slave01"

    def ask(self, *_, **__):
        raise NoAnswer("the engine of slave01 does not answer")

    containers = ask


def test_a_node_that_is_silent_does_not_keep_the_others_from_being_cleaned():
    volume = unique("data")
    engine, silent = Engine(volumes={"Volumes": [{"Name": volume, "Labels": None}]}), Silent()
    found = find([silent, engine], engine, begun={"slave01": 1.0})
    assert found.missed == ["what is left on slave01 (the engine of slave01 does not answer)"]
    assert (found.nodes, remove(found), engine.deleted) == ([engine], [], [f"/volumes/{volume}"])


def test_what_is_on_nodes_is_removed_where_no_manager_answers():
    engine = Engine(volumes={"Volumes": [{"Name": unique("data"), "Labels": None}]})
    for manager in (None, Silent()):
        found = find([engine], manager)
        assert [one.kind for one in found.leavings] == ["volume"]
        (missed,) = found.missed
        assert missed.startswith("what is left in the swarm, such as services (")


def test_where_it_is_not_known_when_the_run_began_the_build_cache_stays():
    engine = Engine(volumes={"Volumes": []})
    found = find([engine], engine, begun={"master": None})
    assert (found.leavings, found.missed) == ([], [])
    (line,) = found.unknown
    assert "build cache of master" in line


def test_a_command_that_fails_is_no_removal_and_a_folder_needs_no_root():
    class Ordinary(Engine):
        """A node whose user is not root, and may not remove others' folders."""

        def look(self, command):
            code = int(command == f"rm -rf {folders[1]}")
            return Result(command, code, self._answers["machine"], "Permission denied" if code else "", "master")

        def run(self, _):
            raise Blocked("the user is not root")

    folders = [f"/var/tmp/{unique('cli-hadoop')}", f"/var/tmp/{unique('cli-root')}"]
    engine = Ordinary(volumes={"Volumes": []}, machine="\n".join([*folders, unique("user")]))
    told = remove(find([engine], engine))
    assert [line.partition(" on ")[0].split("-")[0] for line in told] == ["folder /var/tmp/swc", "user swc"]
    assert folders[1] in told[0]
    assert "Permission denied" in told[0]
    assert told[1].endswith("the user is not root")


def test_nodes_are_cleaned_at_once_and_services_before_containers_before_all_else():
    done, together = [], threading.Barrier(2, timeout=10)

    def leaving(kind, node, *, of_swarm=False, alone=False):
        def act():
            if not alone:
                together.wait()
            done.append((kind, node))

        return Leaving(kind, kind, node, of_swarm, act)

    listed = [
        *(leaving(kind, node) for kind in ("container", "network", "volume") for node in ("a", "b")),
        *(leaving(kind, "a", of_swarm=True, alone=True) for kind in ("service", "network")),
        leaving("label", "b", alone=True),
    ]
    assert remove(Found(sorted(listed, key=_place), [], [], [])) == []
    kinds = list(dict.fromkeys(done))
    assert kinds[0] == ("service", "a")
    assert set(kinds[1:3]) == {("container", "a"), ("container", "b")}
    assert kinds[3:5] == [("network", "a"), ("label", "b")]
    assert done[-1][0] == "volume"


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
