"""The settings of a swarm that exists which its owner may have chosen otherwise."""

import datetime
import re
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarmlab.cluster.node import Result
from swarmlab.cluster.pki import pem_of
from swarmlab.errors import EngineRefused
from swarmlab.labs.existing import settings
from swarmlab.needs import MADE

DAYS_90 = 90 * 24 * 3600 * 10**9


def root(name):
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime(2026, 1, 1)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + datetime.timedelta(days=9))
    return pem_of(made.sign(key, hashes.SHA256()))


class Node:
    """A node that answers as it is told; what is not told is as an engine makes it."""

    own_processors = True

    def __init__(
        self,
        name="web1",
        *,
        bridge=None,
        security=(),
        tool=True,
        reaches=True,
        swarm=None,
        ingress="ingress",
        port=2377,
    ):
        self.name = name
        self._info = {"SecurityOptions": list(security)}
        self._tool, self._reaches = tool, reaches
        self.address = f"{name}.example"
        self.answers = {
            "/networks/bridge": {"Options": {"com.docker.network.bridge.name": "docker0", **(bridge or {})}},
            "/networks": [{"Name": ingress, "Ingress": True}, {"Name": "bridge", "Ingress": False}],
            "/nodes": [{"ManagerStatus": {"Addr": f"10.0.0.1:{port}"}}, {"Description": {}}],
            "/swarm": {
                "Spec": {"Orchestration": {"TaskHistoryRetentionLimit": 5}, "CAConfig": {"NodeCertExpiry": DAYS_90}},
                "TLSInfo": {"TrustRoot": root("swarm-ca")},
            }
            | (swarm or {}),
        }

    def __str__(self):
        return self.name

    def ask(self, _, path):
        if self.answers[path] is None:
            raise EngineRefused(self.name, 404, "no such network")
        return self.answers[path]

    def info(self):
        return self._info

    def look(self, command):
        if "/dev/tcp/" in command:
            reached = re.search("for address in (.*?);", command)[1] if self._reaches else ""
            return Result("", 0, reached, "")
        return Result("", 0 if self._tool else 127, "", "")


def lacking(*nodes):
    looks = settings.look_for(nodes, nodes[0], 30000)
    return {feature: why for feature, look in looks.items() if (why := look())}


def test_a_node_tries_all_others_at_once_and_is_reached_where_it_is_refused(tmp_path):
    (tmp_path / "timeout").write_text("""#!/bin/sh
        case $4 in
            */10.0.0.7/*) sleep 1; exit 124 ;;
            */10.0.0.8/30000) echo "bash: connect: Connection refused" >&2; exit 1 ;;
            */10.0.0.9/30000) sleep 1 ;;
            *) echo "bash: connect: No route to host" >&2; exit 1 ;;
        esac""")
    (tmp_path / "timeout").chmod(0o755)

    def reached(*addresses):
        begun = time.monotonic()
        line = settings._PROBE.format(port=30000, addresses=" ".join(addresses))
        done = subprocess.run(
            ["sh", "-c", f"PATH={tmp_path}:$PATH; {line}"], check=True, capture_output=True, text=True
        )
        assert (time.monotonic() - begun < 10, done.stderr) == (True, "")
        return set(done.stdout.split())

    assert reached("10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.0.10") == {"10.0.0.8", "10.0.0.9"}
    assert reached(*["10.0.0.9"] * 30) == {"10.0.0.9"}
    assert reached() == set()


def test_all_but_the_way_between_nodes_is_looked_for():
    assert set(settings.look_for([], Node(), 30000)) == MADE - {"node-ssh"}


def test_what_is_as_engines_make_it_lacks_nothing():
    assert not lacking(Node(), Node("db1"))
    icc = {"com.docker.network.bridge.enable_icc": "true", "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0"}
    assert not lacking(Node(bridge=icc, security=["name=seccomp,profile=builtin"]))


@pytest.mark.parametrize(
    ("feature", "other"),
    [
        ("icc", {"bridge": {"com.docker.network.bridge.enable_icc": "false"}}),
        ("default-bridge", {"bridge": {"com.docker.network.bridge.name": "br0"}}),
        ("default-bridge", {"bridge": {"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}}),
        ("host-files", {"security": ["name=apparmor", "name=userns"]}),
        ("node-ports", {"reaches": False}),
    ],
)
def test_what_one_node_lacks_is_told_with_its_name(feature, other):
    found = lacking(Node(), Node("db1", **other))
    assert list(found) == [feature]
    assert found[feature].endswith(": db1")


def test_tools_that_a_node_lacks_are_told():
    assert set(lacking(Node(), Node("db1", tool=False))) == {"compose-tool", "curl"}


def test_an_engine_without_a_default_bridge_is_told():
    node = Node()
    node.answers["/networks/bridge"] = None
    assert set(lacking(node)) == {"icc", "default-bridge"}


@pytest.mark.parametrize(
    ("feature", "other"),
    [
        ("default-ingress", {"ingress": "mesh"}),
        ("default-port", {"port": 2400}),
        ("default-expiry", {"swarm": {"Spec": {"CAConfig": {"NodeCertExpiry": DAYS_90 // 3}}}}),
        ("swarm-ca", {"swarm": {"TLSInfo": {"TrustRoot": root("our own")}}}),
        ("swarm-ca", {"swarm": {"Spec": {"CAConfig": {"ExternalCAs": [{"URL": "https://ca"}]}}}}),
    ],
)
def test_what_the_swarm_is_set_to_is_told(feature, other):
    assert list(lacking(Node(**other))) == [feature]


def test_the_tasks_that_managers_keep_are_read():
    assert settings.task_history(Node()) == 5
    assert settings.task_history(Node(swarm={"Spec": {"Orchestration": {"TaskHistoryRetentionLimit": 0}}})) == 0
    assert settings.task_history(Node(swarm={"Spec": {}})) == 5
