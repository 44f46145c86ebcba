"""Engines elsewhere: their names, certificates, and whether their networks are in reach. The engine is a double."""

import hashlib
import json
import os
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmlab import host
from swarmlab.errors import UsageError
from swarmlab.labs import nearness, outer
from swarmlab.labs.answering import refused_by_tls
from swarmlab.labs.context import named_engine
from swarmlab.labs.nearness import why_apart
from swarmlab.labs.tunnel import Tunnel
from tests.proof.remote.far import Certificates

HERE = {"Name": socket.gethostname(), "KernelVersion": os.uname().release, "OSType": "linux"}


def engine(*bridges, **info):
    """Return a double of an engine with networks, each given as its name and its bridge."""
    networks = [
        SimpleNamespace(
            id=f"{number:012x}{0:052x}",
            attrs={"Name": name, "Driver": "bridge", "Options": {nearness._NAME: bridge} if bridge else {}},
        )
        for number, (name, bridge) in enumerate(bridges)
    ]
    return SimpleNamespace(info=lambda: HERE | info, networks=SimpleNamespace(list=lambda: networks))


def apart(engine, *, here=(), enter=(), monkeypatch, listener=None):
    """Return why an engine is out of reach, where this process sees the bridges *here* and could enter to *enter*."""
    monkeypatch.setattr(nearness.netns, "interface_exists", lambda name: name in here)
    monkeypatch.setattr(nearness.netns, "may_enter", lambda _, name: name in enter)
    monkeypatch.setattr(nearness, "listener_pid", lambda _: listener)
    return why_apart(engine, "unix:///x")


DEFAULT = ("bridge", "docker0")
OWN = ("own", None)
BRIDGE = "br-000000000001"


def test_an_engine_whose_bridges_are_here_is_in_reach(monkeypatch):
    assert apart(engine(DEFAULT), here=["docker0"], monkeypatch=monkeypatch) == ""
    assert apart(engine(DEFAULT, OWN), here=["docker0", BRIDGE], monkeypatch=monkeypatch) == ""


def test_another_engines_default_bridge_is_not_taken_for_the_engines(monkeypatch):
    assert "another machine (far" in apart(engine(DEFAULT, Name="far"), here=["docker0"], monkeypatch=monkeypatch)
    assert "kernel 6.0-vm" in apart(engine(DEFAULT, KernelVersion="6.0-vm"), here=["docker0"], monkeypatch=monkeypatch)
    assert "may not enter" in apart(engine(DEFAULT, OWN), here=["docker0"], monkeypatch=monkeypatch)


def test_an_engine_in_a_namespace_is_in_reach_of_who_may_enter_it(monkeypatch):
    found = apart(engine(DEFAULT, OWN), enter=[BRIDGE], listener=1, monkeypatch=monkeypatch)
    assert found == ""
    found = apart(engine(DEFAULT, OWN), enter=[], listener=1, monkeypatch=monkeypatch)
    assert found == "its networks are in a namespace that this user may not enter"


def test_a_container_that_was_given_another_engines_socket_refuses_it(monkeypatch):
    monkeypatch.setenv("SWARMLAB_COURIER", "1")
    made = outer.OuterEngine.__new__(outer.OuterEngine)
    made._users = made.own = None
    with pytest.raises(UsageError, match="of another engine; set SWARMLAB_ENGINE_SOCKET"):
        made.need_networks()


# Certificates


def over_tls(folder, monkeypatch):
    for name in ("DOCKER_CONTEXT", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
    return named_engine()


def test_certificates_are_read_where_docker_reads_them(tmp_path, monkeypatch):
    made = Certificates(tmp_path / "own")
    found = over_tls(made.folder, monkeypatch)
    assert found.credentials.environment() == {"DOCKER_CERT_PATH": str(made.folder), "DOCKER_TLS_VERIFY": "1"}
    assert found.credentials.config().ca_cert == str(made.folder / "ca.pem")
    monkeypatch.delenv("DOCKER_CERT_PATH")
    monkeypatch.setenv("DOCKER_CONFIG", str(made.folder))
    assert named_engine().credentials.folder == made.folder


@pytest.mark.parametrize("missing", ["ca.pem", "cert.pem", "key.pem"])
def test_a_missing_file_is_named(tmp_path, monkeypatch, missing):
    made = Certificates(tmp_path / "own")
    (made.folder / missing).unlink()
    with pytest.raises(UsageError, match=rf"^DOCKER_HOST=\S+: {made.folder}/{missing} cannot be read: No such file"):
        over_tls(made.folder, monkeypatch)


def test_an_expired_certificate_is_named_with_its_day(tmp_path, monkeypatch):
    made = Certificates(tmp_path / "own", days=1, begun=3)
    with pytest.raises(UsageError, match=rf"certificate {made.folder}/cert.pem expired on 20\d\d-\d\d-\d\d; renew it"):
        over_tls(made.folder, monkeypatch)
    made = Certificates(tmp_path / "future", days=9, begun=-3)
    with pytest.raises(UsageError, match=r"cert.pem is not valid before 20"):
        over_tls(made.folder, monkeypatch)
    (made.folder / "cert.pem").write_text("none")
    with pytest.raises(UsageError, match="holds no certificate"):
        over_tls(made.folder, monkeypatch)


def test_a_context_brings_its_certificates(tmp_path, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "prod")
    meta = tmp_path / "contexts" / "meta" / "x"
    meta.mkdir(parents=True)
    endpoint = {"Host": "tcp://127.0.0.1:1"}
    (meta / "meta.json").write_text(json.dumps({"Name": "prod", "Endpoints": {"docker": endpoint}}))
    assert named_engine().credentials is None
    folder = tmp_path / "contexts" / "tls" / hashlib.sha256(b"prod").hexdigest()
    folder.mkdir(parents=True)
    Certificates(folder / "docker")
    assert named_engine().credentials.verify
    endpoint["SkipTLSVerify"] = True
    (meta / "meta.json").write_text(json.dumps({"Name": "prod", "Endpoints": {"docker": endpoint}}))
    assert not named_engine().credentials.verify


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1000)",
            "TLS: certificate verify failed: certificate has expired",
        ),
        ("Client sent an HTTP request to an HTTPS server.", "it speaks TLS only: set DOCKER_TLS_VERIFY"),
        ("Connection refused", ""),
    ],
)
def test_what_tls_says_is_told(said, why):
    assert refused_by_tls(said) == why


# ssh


@pytest.mark.parametrize("address", ["ssh://", "ssh://-oProxyCommand=x", "ssh://a:secret@b", "ssh://h:99999999"])
def test_what_is_no_address_of_ssh_is_refused(address):
    with pytest.raises(UsageError, match=r"^NAME: is no address of ssh; write ssh://USER@HOST"):
        Tunnel(address, "NAME")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of sockets, with a short name; that of temporary files is too long for the path of a socket."""
    long = tmp_path / ("a folder" * 20)
    long.mkdir()
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        place = Path(made) / "run"
        monkeypatch.setattr(host, "run_folder", lambda: place)
        monkeypatch.setattr("tempfile.tempdir", str(long))
        yield place


def test_ssh_that_cannot_connect_is_told_in_its_own_words(folder):
    with pytest.raises(UsageError, match=r"NAME: ssh cannot connect: .*; this has to work without a q.*: ssh -l u -p"):
        Tunnel("ssh://u@localhost:1", "NAME")
    assert not folder.exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("echo sh: docker: not found >&2; exit 127", r"has no docker command \(sh: docker: not found\); install"),
        ("echo no daemon >&2; exit 1", "docker on h reaches no engine: no daemon; mend that there"),
    ],
)
def test_what_is_missing_behind_ssh_is_told(tmp_path, monkeypatch, ending, told):
    (tmp_path / "ssh").write_text(f"#!/bin/sh\n{ending}\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(UsageError, match=told):
        Tunnel("ssh://h", "NAME")


def test_each_connection_to_a_tunnel_is_a_command_behind_ssh(tmp_path, folder, monkeypatch):
    (tmp_path / "ssh").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/words\nexec cat\n')
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (folder / "tunnels" / "1-2" / "left").mkdir(parents=True)  # by a process that was killed
    tunnel = Tunnel("ssh://u@h:7/run/own.sock", "NAME")
    assert [each.name for each in (folder / "tunnels").iterdir()] == [host.own_name()]
    place = tunnel.url.removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(place)
        asking.sendall(b"ping")
        assert asking.recv(4) == b"ping"
    tunnel.close()
    assert not folder.exists()
    first, second = (tmp_path / "words").read_text().splitlines()
    assert first == second
    assert first.endswith("-l u -p 7 -- h docker --host unix:///run/own.sock system dial-stdio")
    assert "BatchMode=yes" in first
