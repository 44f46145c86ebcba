"""Whether nodes can pull from the inventory's registry is known before anything is judged."""

from types import SimpleNamespace

import pytest

from swarmlab.cluster.node import Node
from swarmlab.errors import EngineRefused, LabError, NoAnswer, UsageError
from swarmlab.images import recipes
from swarmlab.labs.existing.images import check_registry

REGISTRY = "registry.example:5000/swc"


class Puller:
    """A node that pulls all images but those that a test names."""

    arch, images = "amd64", "amd64"

    def __init__(self, name="master", **refused):
        self.name, self.refused, self.pulled = name, {key.replace("_", "-"): why for key, why in refused.items()}, []

    def __str__(self):
        return self.name

    def _check(self, image):
        name = image.removeprefix(f"{REGISTRY}/").partition(":")[0]
        why = self.refused.get(name) or self.refused.get("every")
        if isinstance(why, Exception):
            raise why
        if why:
            raise EngineRefused(self.name, 500, why)

    def pull(self, image):
        self.pulled.append(image)
        self._check(image)

    def ask(self, _, path):
        return {"Arch": self.arch} if path == "/version" else {"Architecture": self.images}


def test_every_node_pulls_every_image_and_the_smallest_first():
    nodes = [Puller("master"), Puller("slave01")]
    check_registry(nodes, REGISTRY)
    for node in nodes:
        assert sorted(node.pulled) == sorted(f"{REGISTRY}/{name}" for name in recipes.workloads())
        assert node.pulled[0].startswith(f"{REGISTRY}/hello:")


def test_images_for_other_processors_are_told_before_the_large_ones_are_pulled():
    nodes = [Puller("master"), Puller("slave01")]
    nodes[1].arch = "arm64"
    with pytest.raises(UsageError) as told:
        check_registry(nodes, REGISTRY)
    assert str(told.value).startswith(f"node slave01: is of arm64, and the images in {REGISTRY} are for amd64; on a")
    assert f"push-images {REGISTRY}" in str(told.value)
    assert "\n" not in str(told.value)
    assert len(nodes[0].pulled) == 1


@pytest.mark.parametrize(
    ("why", "mend"),
    [
        ("manifest for registry.example:5000/swc/hello:1 not found: manifest unknown", f"push-images {REGISTRY}"),
        ("http: server gave HTTP response to HTTPS client", "add registry.example:5000 to insecure-registries"),
        ("dial tcp: lookup registry.example: no such host", "let the node resolve its name, or mend registry"),
        ("dial tcp 10.0.0.9:5000: connect: connection refused", "start the registry, and let the node reach it"),
        ("x509: certificate signed by unknown authority", "/etc/docker/certs.d/registry.example:5000/ca.crt"),
        ("pull access denied", "let it be pulled from without a login"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "a machine with the node's processor"),
        ("something else", "see that docker pull works there"),
        (NoAnswer("the engine of slave01 does not answer POST /images/create: timed out"), "start the registry"),
    ],
)
def test_a_node_that_cannot_pull_is_told_with_the_engines_words_and_the_mend(why, mend):
    with pytest.raises(LabError) as told:
        check_registry([Puller("master"), Puller("slave01", every=why)], REGISTRY)
    assert str(told.value).startswith(f"node slave01: cannot pull {REGISTRY}/hello:")
    assert str(why) in str(told.value)
    assert mend in str(told.value)
    assert "\n" not in str(told.value)


def test_all_nodes_that_cannot_are_told_at_once():
    with pytest.raises(LabError, match=r"^node master, slave01: cannot pull "):
        check_registry([Puller("master", every="x"), Puller("slave01", every="x"), Puller("slave02")], REGISTRY)


def test_an_image_that_is_not_in_the_registry_is_told():
    with pytest.raises(LabError, match=f"^node master: cannot pull {REGISTRY}/redis.*manifest unknown; bring the"):
        check_registry([Puller(redis="manifest unknown")], REGISTRY)


@pytest.mark.parametrize(
    ("status", "text", "why"),
    [
        (200, '{"status":"Pulling"}\n{"status":"Downloaded"}', ""),
        (200, '{"status":"Pulling"}\n{"errorDetail":{},"error":"manifest unknown"}', "manifest unknown"),
        (404, '{"message":"manifest unknown"}', "manifest unknown"),
        (500, "no JSON", "no JSON"),
    ],
)
def test_an_error_in_the_midst_of_a_pull_is_an_error(status, text, why):
    sent = {}

    def request(_, url, *, params, **__):
        sent.update(params, url=url)
        return SimpleNamespace(text=text, ok=status < 400, status_code=status)

    api = SimpleNamespace(base_url="http://x", api_version="1.41", request=request)
    node = SimpleNamespace(name="master", engine=SimpleNamespace(api=api))
    if why:
        with pytest.raises(EngineRefused, match=why):
            Node.pull(node, f"{REGISTRY}/web:1")
    else:
        Node.pull(node, f"{REGISTRY}/web:1")
    assert sent == {"fromImage": f"{REGISTRY}/web", "tag": "1", "url": "http://x/v1.41/images/create"}
