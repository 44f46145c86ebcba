"""What the container of a command is given, and the engines that it cannot be made on. The engine is a double."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

from swarmlab.courier import carry, stream
from swarmlab.courier.carry import Courier
from swarmlab.errors import LabError, UsageError
from swarmlab.images import run_image
from swarmlab.paths import ROOT
from swarmlab.wait import wait

URL = "unix:///home/ops/own.sock"


def courier(*, url=URL, refuses=(), **info):
    """Return a courier to an engine that refuses to mount some paths, and the list of what it was asked to create."""
    asked = []

    def create(_, command, **options):
        source = options["host_config"]["Mounts"][0]["Source"]
        if source in refuses:
            raise docker.errors.APIError("", explanation=f"bind source path does not exist: {source}")
        asked.append((command, source, options))
        return {"Id": "1"}

    api = SimpleNamespace(create_container=create, create_host_config=lambda mounts, **_: {"Mounts": mounts})
    client = SimpleNamespace(
        api=api,
        info=lambda: {"Architecture": os.uname().machine, "KernelVersion": os.uname().release} | info,
        containers=SimpleNamespace(get=lambda id: SimpleNamespace(id=id)),
        images=SimpleNamespace(list=lambda **_: []),
    )
    engine = SimpleNamespace(client=client, url=url, named=None)
    return Courier(engine, "pytest", ["suites/"], lambda _: None), asked


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in ("SWARMLAB_ENGINE_SOCKET", "SWARMLAB_CACHE", "SWARMLAB_PRIVATE"):
        monkeypatch.delenv(name, raising=False)


def test_the_socket_is_looked_for_where_the_engine_may_have_it(monkeypatch):
    made, asked = courier()
    made._create("image")
    assert [source for _, source, _ in asked] == ["/home/ops/own.sock"]
    made, asked = courier(refuses=["/home/ops/own.sock"])
    made._create("image")
    assert asked[0][1] == "/var/run/docker.sock"
    # That of Docker Desktop is on this machine, and the engine in a virtual one.
    made, asked = courier(KernelVersion="6.0-vm")
    made._create("image")
    assert asked[0][1] == "/var/run/docker.sock"
    monkeypatch.setenv("SWARMLAB_ENGINE_SOCKET", "/run/x.sock")
    made._create("image")
    assert asked[-1][1] == "/run/x.sock"


def test_an_engine_without_a_socket_is_refused():
    made, _ = courier(url="ssh://far", refuses=["/var/run/docker.sock"])
    with pytest.raises(
        UsageError, match=r"the engine at ssh://far has no socket at /var/run/docker\.sock on its machine"
    ):
        made._create("image")


def test_the_environment_that_means_the_same_there_goes_along(monkeypatch):
    for name in (
        "DOCKER_HOST",
        "SWARMLAB_PRIVATE",
        "SWARMLAB_CACHE",
        "SWARMLAB_ENGINE_MIRROR",
        "NO_COLOR",
        "CI_JOB_TOKEN",
    ):
        monkeypatch.setenv(name, "own")
    made, asked = courier()
    made._create("image")
    command, _, options = asked[0]
    assert command == ["python", "-m", "pytest", "suites/"]
    assert options["working_dir"] == str(Path.cwd())
    given = options["environment"]
    assert given["DOCKER_HOST"] == "unix:///var/run/docker.sock"
    assert given["PYTHONPATH"] == str(ROOT)
    assert (given["SWARMLAB_ENGINE_MIRROR"], given["NO_COLOR"]) == ("own", "own")
    assert not {"SWARMLAB_PRIVATE", "SWARMLAB_CACHE", "CI_JOB_TOKEN"} & set(given)


def test_the_time_zone_goes_as_an_offset(monkeypatch):
    for minutes, told in ((120, "<X>-2:00"), (0, "<X>+0:00"), (-210, "<X>+3:30"), (330, "<X>-5:30")):
        now = SimpleNamespace(tm_gmtoff=minutes * 60)
        monkeypatch.setattr(carry, "time", SimpleNamespace(localtime=lambda now=now: now, strftime=lambda _: "X"))
        assert carry._zone() == told


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"OSType": "windows"}, "the engine at unix:///home/ops/own.sock runs containers of windows; switch it"),
        ({"SecurityOptions": ["name=rootless"]}, "own.sock is rootless, and nodes need control groups"),
    ],
)
def test_an_engine_on_which_no_node_works_is_refused_before_anything_is_made(info, told):
    made, asked = courier(**info)
    with pytest.raises(UsageError, match=told):
        made.check()
    assert not asked


def test_an_engine_with_another_processor_needs_debians_image(monkeypatch):
    class Shop:
        def __init__(self, *_):
            pass

        def has(self, _):
            return False

        def pull(self, _):
            raise LabError("it cannot be pulled: no route")

    monkeypatch.setattr(run_image, "Workshop", Shop)
    made, _ = courier(Architecture="riscv64")
    with pytest.raises(
        UsageError, match=r"own.sock is riscv64, this machine \S+: the project's image cannot be made here, and "
    ):
        made._image()
    monkeypatch.setattr(run_image, "run_image", lambda *_: "made")
    alike = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    made, _ = courier(Architecture=alike)
    assert made._image() == "made"


def test_signals_go_to_the_container_and_then_to_whoever_had_them():
    before, sent = signal.getsignal(signal.SIGTERM), []
    client = SimpleNamespace(api=SimpleNamespace(kill=lambda id, name: sent.append((id, name))))
    forwarder = stream.Forwarder(client, "1", lambda _: None)
    try:
        for _ in range(3):  # a terminal and a shell may each send the same
            signal.raise_signal(signal.SIGTERM)
        wait(lambda: sent, "a signal to be sent on", deadline=5)
    finally:
        forwarder.stop()
    assert sent == [("1", "SIGTERM")]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_container_prints_goes_to_both_outputs(capfd):
    pieces = [(b"out\n", None), (None, b"error\n"), (b"more\n", b"")]
    client = SimpleNamespace(
        api=SimpleNamespace(attach=lambda *_, **how: iter(pieces) if how["demux"] else iter([b"x"]))
    )
    stream.attach(client, "1", terminal=False).join(5)
    assert capfd.readouterr() == ("out\nmore\n", "error\n")
    stream.attach(client, "1", terminal=True).join(5)
    assert capfd.readouterr() == ("x", "")
