"""Ways to an image: which is tried, what is told of those that failed, and what they leave. The engine is a double."""

import base64
import contextlib
import json
from types import SimpleNamespace

import docker
import pytest

from swarmlab import host
from swarmlab.errors import LabError, UsageError
from swarmlab.files import shown
from swarmlab.images import workshop
from swarmlab.images.recipes import RootFs
from tests.unit.helpers import Volumes

ROOT = RootFs("redis", "bullseye")
APT = "E: Unable to locate package no-such"
LOOKUP = "Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: no such host"
STEPS = [
    {"stream": "Step 1/3 : FROM debian:bullseye-slim\n"},
    {"stream": " ---> aaaaaaaaaaaa\n"},
    {"stream": "Step 2/3 : COPY . /tmp/recipe/\n"},
    {"stream": " ---> bbbbbbbbbbbb\n"},
    {"stream": "Step 3/3 : RUN apt-get update\n"},
    {"stream": "Reading package lists...\nE: Unable to locate package no-such\n"},
    {"error": "The command '/bin/sh -c apt-get update' returned a non-zero code: 100"},
]


class Engine:
    """An engine that pulls and builds as a test says, and has images by reference and id."""

    def __init__(self, pull=(), build=(), has=()):
        self.has, self._pull, self._build = dict(has), pull, build
        self.asked, self.volumes = [], Volumes()
        self.images = SimpleNamespace(get=self._get, list=lambda **_: [], remove=self._remove)
        self.api = SimpleNamespace(
            pull=self._pulled,
            build=self._built,
            images=lambda **_: [{"Id": id} for id in dict.fromkeys(self.has.values())],
            import_image_from_file=lambda *_, **how: self.has.update({f"{how['repository']}:{how['tag']}": "imported"}),
        )

    def _get(self, reference):
        if reference not in self.has:
            raise docker.errors.ImageNotFound(reference)

    def _remove(self, name):
        self.has = {reference: id for reference, id in self.has.items() if name not in (reference, id)}

    def _pulled(self, repository, tag, **_):
        self.asked.append("pull")
        if not any("error" in line for line in self._pull):
            self.has[f"{repository}:{tag}"] = "sha256:" + "a" * 64
        return iter(self._pull)

    def _built(self, **how):
        self.asked.append("build")
        self.built = how
        for line in self._build:
            if "bbbb" in str(line):
                self.has["<none>"] = "sha256:" + "b" * 64
            if line == "stop":
                raise KeyboardInterrupt
            yield line
        self.has[how["tag"]] = "built"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Return a function that makes an image with an engine, with mmdebstrap or without, and as root or not."""
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path))
    asked = []

    def make(engine, *, mmdebstrap="", root=(), works=False):
        monkeypatch.setattr(workshop, "as_root", lambda: None if root is None else list(root))
        monkeypatch.setattr(workshop, "why_not_root", lambda: "sudo asks for a password")
        monkeypatch.setattr(workshop.shutil, "which", lambda _: mmdebstrap)
        monkeypatch.setattr(workshop, "install", lambda purposes, _: engine.asked.append(f"install {purposes}"))

        def run(command, **_):
            engine.asked.append("mmdebstrap" if "mmdebstrap" in command else command[0])
            return SimpleNamespace(returncode=0 if works else 1, stderr=f"I: x\n{APT}\nE: apt-get failed\n")

        monkeypatch.setattr(workshop.children, "run", run)
        try:
            return workshop.Workshop(engine, asked.append).make(ROOT)
        finally:
            assert [left.name for left in tmp_path.iterdir()] in ([], ["images.lock"])

    make.told = asked
    return make


def test_the_first_way_that_works_is_the_only_one(made):
    engine = Engine()
    assert made(engine, mmdebstrap="/usr/bin/mmdebstrap", works=True) == ROOT.reference
    assert engine.asked == ["mmdebstrap"]
    engine = Engine(build=STEPS[:4])
    assert made(engine, mmdebstrap="/usr/bin/mmdebstrap", root=None) == ROOT.reference
    assert engine.asked == ["pull", "build"]
    engine = Engine(build=STEPS[:4])
    made(engine, mmdebstrap="/usr/bin/mmdebstrap")
    assert engine.asked == ["mmdebstrap", "pull", "build"]
    assert f"image {ROOT}: mmdebstrap failed: {APT}" in made.told


def test_every_way_that_was_tried_is_told_with_the_words_of_apt_and_of_the_registry(made):
    engine = Engine(pull=[{"error": LOOKUP}])
    with pytest.raises(LabError) as failed:
        made(engine)
    assert engine.asked == ["pull", "install ['images']", "mmdebstrap"]
    assert str(failed.value) == (
        f"image {ROOT} could not be made: build from debian:bullseye-slim: it cannot be pulled: "
        "registry-1.docker.io is not reached (no such host); check the network, the proxy (HTTPS_PROXY) or the "
        f"mirror; mmdebstrap: {APT}"
    )
    assert shown(failed.value, 480) == str(failed.value)


def test_a_build_that_fails_leaves_no_image_of_its_steps_nor_the_one_that_it_began_with(made):
    engine = Engine(build=STEPS)
    with pytest.raises(UsageError, match=r"mmdebstrap: not tried, as it takes root \(sudo asks for a password\); run"):
        made(engine, root=None)
    assert engine.has == {}
    base = {"debian:bullseye-slim": "sha256:" + "a" * 64}
    engine = Engine(build=STEPS, has=base)
    with pytest.raises(UsageError, match=f"build from debian:bullseye-slim: the engine could not build .*: {APT}"):
        made(engine, root=None)
    assert (engine.has, engine.asked) == (base, ["build"])


def test_an_interrupted_build_leaves_nothing_either(made):
    engine = Engine(build=[*STEPS[:4], "stop"])
    with pytest.raises(KeyboardInterrupt):
        made(engine, root=None)
    assert engine.has == {}


def test_a_registry_that_refuses_is_quoted(made):
    engine = Engine()

    def refused(*_, **__):
        raise docker.errors.APIError("x", explanation="toomanyrequests: You have reached your pull rate limit")

    engine.api.pull = refused
    with pytest.raises(
        UsageError, match="it cannot be pulled: toomanyrequests: You have reached your pull rate limit;"
    ):
        made(engine, root=None)


@pytest.mark.filterwarnings("ignore:docker-credential-broken")
@pytest.mark.parametrize("helper", ["fails", "gone"])
def test_a_program_for_logins_that_fails_keeps_nobody_from_making_images(tmp_path, monkeypatch, helper):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"credsStore": "broken"}')
    if helper == "fails":
        program = tmp_path / "docker-credential-broken"
        program.write_text("#!/bin/sh\necho 'no keyring' >&2; exit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    client = docker.DockerClient(base_url="unix:///nowhere", version="1.40")
    sent = {}
    monkeypatch.setattr(client.api, "images", lambda **_: [])
    monkeypatch.setattr(client.api, "_post", lambda *_, headers, **__: sent.update(headers) or {})
    monkeypatch.setattr(client.api, "_stream_helper", lambda *_, **__: iter([]))
    workshop.build(client, "x:1", path=str(tmp_path))
    assert base64.b64decode(sent["X-Registry-Config"]) == b'{"swarmlab.invalid": {}}'
    with pytest.raises(LabError, match=r"the login at docker\.io cannot be read"):
        workshop._login("debian")


@pytest.mark.parametrize("registry", ["registry.example:5000", "registry.example:5000/swarm"])
def test_the_login_of_a_registry_is_used_for_it_with_a_path_or_without(tmp_path, monkeypatch, registry):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    kept = {"https://index.docker.io/v1/": "aHViOmE=", "registry.example:5000": "b3duOmI="}
    logins = {"auths": {place: {"auth": login} for place, login in kept.items()}}
    (tmp_path / "config.json").write_text(json.dumps(logins))
    sent = []
    images = SimpleNamespace(push=lambda *_, auth_config, **__: sent.append(auth_config) or (), remove=lambda _: None)
    bench = workshop.Workshop(SimpleNamespace(images=images), lambda _: None)
    monkeypatch.setattr(bench, "has", lambda _: True)
    monkeypatch.setattr(bench, "_build", lambda *_: None)
    monkeypatch.setattr(workshop, "making_images_on", lambda *_: contextlib.nullcontext())
    bench.push(registry)
    assert {login["username"] for login in sent} == {"own"}


def test_an_image_is_pulled_where_the_login_cannot_be_read(monkeypatch):
    monkeypatch.setattr(workshop, "_login", lambda _: (_ for _ in ()).throw(LabError("it fails")))
    engine, how = Engine(), {}
    monkeypatch.setattr(engine.api, "pull", lambda *_, **given: how.update(given) or iter([]))
    workshop.Workshop(engine, print).pull("debian:bullseye-slim")
    assert how["auth_config"] == {}


def test_builds_use_the_proxies_that_a_container_reaches(monkeypatch, tmp_path):
    set_to = {"https_proxy": "http://ann:word@proxy.example:3128", "HTTP_PROXY": "http://ann@127.0.0.1:3128"}
    set_to |= {"no_proxy": "127.0.0.1,localhost"}
    for name in host._PROXIES:
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    engine = Engine()
    workshop.build(engine, "x:1", path=str(tmp_path))
    assert engine.built["buildargs"] == {name: set_to[name] for name in ("https_proxy", "no_proxy")}
    assert "HTTP_PROXY=http://ann@127.0.0.1:3128" in host.for_downloads()
