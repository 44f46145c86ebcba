"""The likeness of an existing swarm: how it is read, without secrets, and how it is copied into a lab."""

import base64
import copy
import http.server
import json
import socketserver
import threading
from types import SimpleNamespace

import docker
import pytest

from swarmlab.cli import rehearse
from swarmlab.cli.main import main
from swarmlab.cluster.node import Node
from swarmlab.errors import LabError, UsageError
from swarmlab.images.engines import EngineChoice
from swarmlab.labs.hosts import host_names
from swarmlab.labs.registry import DEFAULT
from swarmlab.rehearsal import run as play
from swarmlab.rehearsal.decision import Decision, _of_likeness, _unlike
from swarmlab.rehearsal.likeness import apply as bodies
from swarmlab.rehearsal.likeness.model import Likeness
from swarmlab.rehearsal.likeness.read import Reader, nearest, of_answers, same
from swarmlab.rehearsal.likeness.services import MOST_REPLICAS, MOST_TASKS
from swarmlab.rehearsal.plan import Plan

HOSTS = host_names(30)
#: Stands wherever a secret may be, and nowhere in what is written.
SECRET = "hunter2-and-more"
LABEL = "swarm-conformance"


def member(name, role="manager", engine="20.10.24+dfsg1", labels=None, *, leads=False, **more):
    return {
        "ID": f"id-{name}",
        "Spec": {"Role": role, "Availability": "active", "Labels": labels or {}, **more},
        "Description": {"Hostname": name, "Engine": {"EngineVersion": engine, "Labels": {"disk": "ssd"}}},
        "Status": {"State": "ready", "Addr": "10.0.0.1"},
        **({"ManagerStatus": {"Leader": leads, "Addr": "10.0.0.1:2377"}} if role == "manager" else {}),
    }


NODES = [
    member("a", labels={"zone": "east", "api_token": SECRET}),
    member("b", leads=True, labels={"zone": "west"}, Availability="drain"),
    member("c", "worker", "24.0.7", labels={"zone": "west"}),
]
SERVICE = {
    "Name": "shop_web",
    "Labels": {"com.docker.stack.namespace": "shop", "traefik.auth": SECRET},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "registry.example/shop:7@sha256:12",
            "Command": ["serve"],
            "Args": ["--key", SECRET],
            "Env": [f"DB_PASS={SECRET}", f"PATH={SECRET}", "DEBUG"],
            "User": "www",
            "Healthcheck": {"Test": ["CMD-SHELL", f"curl -u x:{SECRET} localhost"]},
            "Hosts": [f"10.0.0.1 {SECRET}"],
            "Hostname": "web-{{.Task.Slot}}",
            "Mounts": [
                {"Type": "bind", "Source": f"/srv/{SECRET}", "Target": "/srv"},
                {"Type": "volume", "Source": "data", "Target": "/var/lib/data", "VolumeOptions": {
                    "DriverConfig": {"Name": "local", "Options": {"o": f"username=x,password={SECRET}"}}}},
                {"Type": "tmpfs", "Target": "/run", "TmpfsOptions": {"SizeBytes": 1000000}},
            ],
            "Configs": [{"ConfigName": "settings", "File": {"Name": "/etc/nginx/nginx.conf", "Mode": 0o444}}],
            "Secrets": [{"SecretName": "key", "File": {"Name": "key.pem", "Mode": 0o400}}],
        },
        "RestartPolicy": {"Condition": "any", "MaxAttempts": 3, "Delay": 5},
        "Placement": {
            "Constraints": ["node.hostname != C", "engine.labels.disk==ssd", "node.labels.api_token==" + SECRET,
                            "node.ip==10.0.0.0/8"],
            "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
            "MaxReplicas": 2,
        },
        "Resources": {"Limits": {"MemoryBytes": 1000000}, "Reservations": {"NanoCPUs": 1000}},
        "Networks": [{"Target": "n1", "Aliases": ["web"]}, {"Target": "n3"}],
        "LogDriver": {"Name": "splunk", "Options": {"splunk-token": SECRET}},
    },
    "Mode": {"Replicated": {"Replicas": 2}},
    "UpdateConfig": {"Parallelism": 1, "Order": "start-first"},
    "EndpointSpec": {"Mode": "vip", "Ports": [{"Protocol": "tcp", "TargetPort": 8000, "PublishedPort": 443,
                                               "PublishMode": "ingress"}]},
}  # fmt: skip
ANSWERS = {
    "swarm": {
        "ID": "swarm-1",
        "JoinTokens": {"Worker": f"SWMTKN-1-{SECRET}"},
        "DataPathPort": 4790,
        "Spec": {
            "Orchestration": {"TaskHistoryRetentionLimit": 0},
            "Raft": {"SnapshotInterval": 500},
            "Dispatcher": {"HeartbeatPeriod": int(60e9)},
            "CAConfig": {"NodeCertExpiry": int(86400e9)},
            "EncryptionConfig": {"AutoLockManagers": True},
        },
    },
    "nodes": NODES,
    "networks": [
        {"Id": "n0", "Name": "ingress", "Driver": "overlay", "Ingress": True},
        {"Id": "n1", "Name": "front", "Driver": "overlay", "Attachable": True, "Options": {
            "encrypted": "", "com.docker.network.driver.overlay.vxlanid_list": "4097", "secret": SECRET,
            "com.docker.network.driver.mtu": "1400"},
            "IPAM": {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]}},
        {"Id": "n3", "Name": "lan", "Driver": "macvlan"},
    ],
    "configs": [{"ID": "c1", "Spec": {"Name": "settings", "Data": base64.b64encode(SECRET.encode()).decode()}}],
    "secrets": [{"ID": "s1", "Spec": {"Name": "key"}}],
    "services": [{"ID": "v1", "Spec": SERVICE}],
}  # fmt: skip


def read(workers=None, **changes):
    return of_answers({**copy.deepcopy(ANSWERS), **changes}, "swarm.yaml", workers, HOSTS, nearest)


def services(*changes):
    """Services like the one above, but for what is given of each."""
    made = [{**copy.deepcopy(SERVICE), **change} for change in changes]
    return read(services=[{"ID": str(place), "Spec": spec} for place, spec in enumerate(made)])


# Reading


def test_no_secret_of_the_swarm_is_written(tmp_path):
    made = read()
    made.write(tmp_path / "likeness.json")
    text = (tmp_path / "likeness.json").read_text()
    for secret in (SECRET, base64.b64encode(SECRET.encode()).decode(), "SWMTKN"):
        assert secret not in text
    assert Likeness.load(tmp_path / "likeness.json") == made


def test_values_of_labels_have_stand_ins_that_constraints_match():
    spread = copy.deepcopy(SERVICE)
    spread["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.zone == West", "engine.labels.zone!=west"]}
    made = read(services=[{"ID": "v1", "Spec": spread}])
    zones = {one["name"]: one["labels"]["zone"] for one in made.data["nodes"]}
    assert zones["b"] == zones["c"] != zones["a"]
    assert [one["value"] for one in made.data["services"][0]["constraints"]] == [zones["b"], "value-1"]
    assert "west" not in str(made.data).lower()


def test_a_likeness_has_the_shape_of_the_swarm():
    made = read()
    assert [(one["name"], one["host"], one["role"], one["rehearsed"]) for one in made.data["nodes"]] == [
        ("b", "master", "manager", "20.10.24"),  # the leader, as the lab's first manager is
        ("a", "slave01", "manager", "20.10.24"),
        ("c", "slave02", "worker", "20.10.24"),
    ]
    assert (made.managers, made.workers) == (2, 1)
    assert set(made.data["nodes"][1]["labels"]) == {"zone", "api_token"}
    [network] = made.data["networks"]
    assert (network["name"], network["encrypted"], network["subnets"][0]["subnet"]) == ("front", True, "10.9.0.0/24")
    assert made.data["configs"] == [{"name": "settings", "bytes": len(SECRET)}]
    [service] = made.data["services"]
    assert service["environment"] == ["DB_PASS", "DEBUG", "PATH"]
    assert service["networks"] == [{"network": "front", "aliases": ["web"]}]


@pytest.mark.parametrize(
    "limit",
    [
        "c runs 24.0.7, rehearsed as 20.10.24.",
        "b is drained: in the lab it is active, and copied services are kept off it.",
        "a is called slave01 in the lab.",
        "Nodes send a heartbeat every 60 s, rehearsed with 10 s, because all share one machine.",
        "The task history limit is 0, rehearsed with 2.",
    ],
)
def test_what_the_lab_has_otherwise_is_a_limit(limit):
    assert limit in read().data["limits"]


@pytest.mark.parametrize(
    "line",
    [
        "Autolock: after each restart of its engine",
        "The data path port of overlay networks, 4790",
        "Network lan, of driver macvlan",
        "Option secret of network front",
        "Of service shop_web: command, arguments, health check, user, entries of /etc/hosts, its 3 attempts",
        "bind mount at /srv",
        "driver of volume data",
        "constraint on node.ip",
        "network lan",
        "log driver",
    ],
)
def test_what_is_left_out_is_told(line):
    assert line in "\n".join(read().data["left_out"])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"Mode": {"ReplicatedJob": {}}}, "Service shop_web: it is a job"),
        ({"TaskTemplate": {"PluginSpec": {}}}, "Service shop_web: it runs no containers"),
        (
            {"TaskTemplate": {**SERVICE["TaskTemplate"], "RestartPolicy": {"Condition": "none"}}},
            "Service shop_web: it never restarts",
        ),
    ],
)
def test_a_service_that_cannot_be_copied_is_left_out_by_name(change, line):
    made = services(change)
    assert made.data["services"] == []
    assert line in "\n".join(made.data["left_out"])


def test_more_tasks_than_one_machine_takes_are_left_out():
    many = services(*({"Name": f"s{number}", "Mode": {"Replicated": {"Replicas": 40}}} for number in range(12)))
    kept = many.data["services"]
    assert {one["replicas"] for one in kept} == {MOST_REPLICAS}
    assert len(kept) == MOST_TASKS // MOST_REPLICAS
    assert "Service s0 has 40 replicas, rehearsed with 6." in many.data["limits"]
    assert "Service s11: with it there would be more than 60 tasks." in many.data["left_out"]


def test_a_swarm_that_is_too_large_keeps_its_managers_and_workers_that_differ():
    managers = [member(f"m{number}", leads=not number) for number in range(5)]
    same = [member(f"w{number}", "worker") for number in range(50)]
    made = read(nodes=[*managers, *same, member("x", "worker", "28.5.2"), member("y", "worker", labels={"gpu": "1"})])
    names = [one["name"] for one in made.data["nodes"]]
    assert names == ["m0", "m1", "m2", "m3", "m4", "w0", "x", "y", *(f"w{number}" for number in range(1, 23))]
    (gone,) = [line for line in made.data["limits"] if "were rehearsed" in line]
    assert gone == (
        "Of 5 managers and 52 workers 5 and 25 were rehearsed (at most 30 nodes; --workers N takes fewer), "
        "without w23, w24, w25, w26, w27, w28 and 21 more."
    )
    fewer = read(1, nodes=[*managers, *same])
    assert (fewer.managers, fewer.workers) == (5, 1)


@pytest.mark.parametrize(
    ("nodes", "workers", "message"),
    [
        (NODES[:2], None, "this swarm gives 2"),
        (NODES, 0, "this swarm gives 2"),
        (NODES, 2, "--workers 2: the swarm has 1"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_in_one_line(nodes, workers, message):
    with pytest.raises(UsageError, match=message) as refused:
        read(workers, nodes=nodes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "given"),
    [
        ("20.10.5+dfsg1", "20.10.5"),
        ("20.10.24", "20.10.24"),
        ("24.0.7", "20.10.24"),
        ("18.03.1-ce", "20.10.5"),
        ("27.0.3", "26.1.5"),
        ("29.1.0", "28.5.2"),
    ],
)
def test_the_nearest_engine_is_not_newer_where_there_is_one(version, given):
    assert nearest(version).version == given


@pytest.mark.parametrize(
    ("version", "given", "chosen"),
    [
        ("20.10.24+dfsg1", "", "20.10.24 (bookworm)"),
        ("24.0.9", "docker-24.0.9.tgz", "24.0.9 (docker-24.0.9.tgz)"),
        ("24.0.9", "", "20.10.24 (bookworm)"),
    ],
)
def test_a_copy_has_the_engine_of_the_swarm_if_it_can_be_had(version, given, chosen, monkeypatch, tmp_path):
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("SWARMLAB_ENGINES_LOCK", str(tmp_path / "engines.lock"))
    monkeypatch.setenv("SWARMLAB_ENGINE_MIRROR", "http://127.0.0.1:9")
    named = [EngineChoice(f"/{given}", "24.0.9", "archive", f"/{given}")] if given else []
    lines = []
    assert str(same(version, named, lines.append)) == chosen
    assert bool([line for line in lines if "is rehearsed as" in line]) == (version == "24.0.9" and not given)


class _OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def test_a_reader_can_do_nothing_but_ask(tmp_path):
    arrived = []

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            arrived.append((self.command, self.path))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_DELETE = do_PUT = do_GET

        def address_string(self):
            return ""

        def log_message(self, *_):
            pass

    class Machine(Node):
        stop = start = kill = freeze = thaw = _log_command = None

    with _OnSocket(str(tmp_path / "socket"), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        node = Machine("a", "10.0.0.1", None, f"unix://{tmp_path}/socket")
        node._client = docker.DockerClient(base_url=f"unix://{tmp_path}/socket", version="1.41")
        asked = Reader(node)
        assert asked.get("/services") == {}
        for change in (
            lambda: node.ask("POST", "/services/create", body={}),
            lambda: node.ask("DELETE", "/services/1"),
            lambda: node.engine.services.create("image"),
        ):
            with pytest.raises(LabError, match="only read"):
                change()
        server.shutdown()
    assert {method for method, _ in arrived} == {"GET"}


# Copying


@pytest.fixture
def names():
    return bodies.Names(
        hosts={"a": "slave01", "b": "master", "c": "slave02"},
        networks={"front": "swc-front-000000"},
        configs={"settings": ("cc", "swc-settings-000000")},
        secrets={"key": ("ss", "swc-key-000000")},
        volumes={"data": "swc-data-000000"},
    )


def test_a_copied_service_is_like_its_own_with_our_image(names):
    [one] = read().data["services"]
    made = bodies.service(one, "swc-shop_web-000000", LABEL, "registry:5000/web:1", names)
    template = made["TaskTemplate"]
    container = template["ContainerSpec"]
    assert container["Image"] == "registry:5000/web:1"
    assert container["Env"] == ["DB_PASS=dummy", "DEBUG=dummy"], "what programs go by is not replaced"
    assert made["Labels"] == {"traefik.auth": "dummy", LABEL: ""}
    assert container["Hostname"] == "web-{{.Task.Slot}}"
    assert [mount["Target"] for mount in container["Mounts"]] == ["/likeness/var/lib/data", "/likeness/run"]
    assert container["Mounts"][0]["Source"] == "swc-data-000000"
    assert container["Configs"][0]["File"]["Name"] == "/likeness/etc/nginx/nginx.conf"
    assert (container["Secrets"][0]["SecretID"], container["Secrets"][0]["File"]["Mode"]) == ("ss", 0o400)
    assert bodies.target("Secret", "key.pem") == "/run/secrets/key.pem"
    assert template["Networks"] == [{"Target": "swc-front-000000", "Aliases": ["web"]}]
    assert template["Placement"] == {
        "Constraints": [
            "node.hostname!=slave02",
            "node.labels.engine.disk==value-1",
            "node.labels.api_token==value-1",
            "node.labels.likeness.availability!=drain",
        ],
        "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
        "MaxReplicas": 2,
    }
    assert template["Resources"] == {
        "Limits": {"MemoryBytes": bodies.LEAST_MEMORY},
        "Reservations": {"NanoCPUs": 1000},
    }
    assert template["RestartPolicy"] == {"Condition": "any", "Delay": 5}
    assert made["Mode"] == {"Replicated": {"Replicas": 2}}
    assert made["EndpointSpec"]["Ports"] == [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 443, "PublishMode": "ingress"}
    ]
    assert made["UpdateConfig"] == {"Parallelism": 1, "Order": "start-first"}


def test_copies_of_nodes_carry_what_constraints_speak_of():
    drained, other, _ = read().data["nodes"]
    assert bodies.node_labels(drained) == {
        "zone": "value-1",
        "engine.disk": "value-1",
        "likeness.availability": "drain",
    }
    # A constraint on it finds it still.
    assert bodies.node_labels(other)["api_token"] == "value-1"


def test_a_network_keeps_its_subnet_where_the_lab_has_no_use_of_it():
    [one] = read().data["networks"]
    made = bodies.network(one, "swc-front-000000", LABEL, encryption=True, taken=["192.168.56.0/24"])
    assert made["IPAM"] == {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]}
    assert made["Options"] == {"com.docker.network.driver.mtu": "1400", "encrypted": ""}
    other = bodies.network(one, "swc-front-000000", LABEL, encryption=False, taken=["10.9.0.0/16"])
    assert "IPAM" not in other
    assert "encrypted" not in other["Options"]


def test_settings_of_the_swarm_are_the_labs():
    mine = {"Raft": {"ElectionTick": 10, "SnapshotInterval": 10000}, "Name": "default"}
    assert bodies.swarm(mine, read().data["settings"]) == {
        "Name": "default",
        "Raft": {"ElectionTick": 10, "SnapshotInterval": 500},
        "Orchestration": {"TaskHistoryRetentionLimit": 2},
        "Dispatcher": {"HeartbeatPeriod": int(10e9)},
        "CAConfig": {"NodeCertExpiry": int(86400e9)},
    }


def test_a_dummy_has_the_size_of_what_it_stands_for():
    assert len(bodies.dummy(300)) == 300
    assert bodies.dummy(0) != bodies.dummy(0)


# Rehearsing


def test_a_path_begins_with_the_engines_that_the_swarm_has():
    mixed = read(nodes=[member("a", engine="20.10.5"), member("b", leads=True), member("c", engine="28.5.2")])
    plan = Plan.read("20.10.5,26.1.5,28.5.2", likeness=mixed)
    assert plan.beginning == "20.10.5 (bullseye) and 20.10.24 (bookworm) and 28.5.2 (forky)"
    # The node that has the last engine is given none.
    assert [str(plan.engine(step).version) for step in range(1, plan.steps + 1)] == ["26.1.5"] * 2 + ["28.5.2"] * 2
    assert plan.given(plan.path[1], ["master", "slave01", "slave02"]) == ["master", "slave01"]
    assert [plan.turn(step)[1] for step in range(1, 5)] == [0, 1, 0, 1]
    assert [plan.is_mixed(done) for done in range(5)] == [True, True, True, True, False]
    with pytest.raises(UsageError, match=r"begins with 20\.10\.24 .* and the swarm with 20\.10\.5"):
        Plan.read("20.10.24,28.5.2", likeness=mixed)
    with pytest.raises(UsageError, match=r"c has 28\.5\.2 .* already, which is newer than 26\.1\.5"):
        Plan.read("20.10.5,26.1.5", likeness=mixed)


def test_an_order_takes_the_names_of_the_swarms_own_nodes():
    plan = play.plan("20.10.24,28.5.2", "c,a,leader", 3, 1, DEFAULT, like=read())
    assert plan.order == ("slave02", "slave01", "leader")
    assert (plan.managers, plan.workers) == (2, 1)


def test_what_was_not_rehearsed_is_a_condition_and_told_to_programs():
    made = services({}, {"Name": "nightly", "Mode": {"ReplicatedJob": {}}})
    course = {
        "likeness": {"services": {"shop_web": 2}, "left_out": ["Service shop_db: it did not run in the lab: why."]}
    }
    raw = _of_likeness(made, course)
    summaries = [reason.summary for reason in _unlike(made, raw["left_out"])]
    assert summaries == [
        "Not rehearsed with the engines of all nodes: c runs 24.0.7, rehearsed as 20.10.24.",
        "Services of the swarm that were not rehearsed: nightly: it is a job, which runs to its end; "
        "shop_db: it did not run in the lab: why.",
        "Networks of the swarm that were not rehearsed: lan, of driver macvlan.",
        "Not rehearsed: Autolock: after each restart of its engine, a manager of yours must be unlocked.",
        "Not rehearsed: The data path port of overlay networks, 4790: the lab has the default.",
    ]
    assert (raw["cluster"], raw["copied"]["services"]) == ("swarm-1", {"shop_web": 2})
    assert Decision(likeness=raw).to_json()["likeness"] == raw
    assert "Likeness of swarm swarm-1, with 3 nodes, 1 services" in play.lines(Decision(likeness=raw))[1]


def test_what_the_swarm_has_as_a_whole_and_the_lab_has_not_is_a_condition():
    swarm = copy.deepcopy(ANSWERS["swarm"]) | {"DefaultAddrPool": ["10.64.0.0/10"]}
    swarm["Spec"]["CAConfig"]["ExternalCAs"] = [{"URL": "https://ca.example"}]
    networks = [{"Id": name, "Name": name, "Driver": "overlay", "EnableIPv6": True} for name in ("one", "two")]
    made = read(swarm=swarm, networks=networks)
    summaries = [reason.summary for reason in _unlike(made, made.data["left_out"])]
    assert summaries[1:] == [
        "Networks of the swarm whose IPv6 was not rehearsed: one; two.",
        "Not rehearsed: Autolock: after each restart of its engine, a manager of yours must be unlocked.",
        "Not rehearsed: The external CA.",
        "Not rehearsed: The default address pool of networks, ['10.64.0.0/10']: the lab has the default.",
        "Not rehearsed: The data path port of overlay networks, 4790: the lab has the default.",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--managers 3", "--managers: with --like they are the swarm's"),
        ("--reboot", "--reboot: nodes of --lab dind have no system of their own to restart"),
        ("--to v17", "no engine 'v17'"),
        ("--from 26.1.5", "--from 26.1.5: the swarm of swarm.yaml begins with 20.10.24 (bookworm); begin there"),
        ("--path 20.10.5,28.5.2", "--path 20.10.5,28.5.2: the swarm of swarm.yaml begins with 20.10.24 (bookworm)"),
        ("--path 20.10.24,28.5.2 --to 28.5.2", "--path names all engines, in place of --from and --to"),
        ("--to 20.10.24", "20.10.24 (bookworm) to 20.10.24 (bookworm) is no upgrade; name an engine of another"),
        ("--to 20.10.5", "20.10.24 (bookworm) to 20.10.5 (bullseye) is no upgrade"),
        ("--order managers", "--order managers leaves slave02 out"),
        ("--workers 4", "--workers 4: the swarm has 1"),
    ],
)
def test_options_that_contradict_the_swarm_are_one_line(options, message, monkeypatch, capsys):
    monkeypatch.setattr(rehearse.inventory, "read", lambda source, group: SimpleNamespace(source=source, group=group))
    monkeypatch.setattr(rehearse, "read", lambda _known, workers, *_: quiet(read(workers)))
    assert main(["rehearse", "--like", "swarm.yaml", *options.split()]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"swarmlab: {message}")
    assert printed.count("\n") == 1


def quiet(made):
    made.data["limits"].clear()
    return made


def test_a_likeness_that_was_read_before_takes_the_place_of_an_inventory(tmp_path, monkeypatch, capsys):
    file = tmp_path / "likeness.json"
    read().write(file)
    monkeypatch.setattr(play, "rehearse", lambda plan, *_, **__: Decision(likeness=_of_likeness(plan.likeness, {})))
    assert main(["rehearse", "--like", str(file)]) == 0
    assert "Likeness of swarm swarm-1" in capsys.readouterr().out
    assert main(["rehearse", "--like", str(file), "--workers", "0"]) == 2
    assert "--workers: a likeness that was read has its shape" in capsys.readouterr().err


def test_an_inventory_that_there_is_not_is_one_line(capsys):
    assert main(["rehearse", "--like", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.startswith("swarmlab: inventory nowhere.yaml: cannot be read: ")


def test_a_file_that_is_no_likeness_is_refused(tmp_path):
    file = tmp_path / "likeness.json"
    read().write(file)
    whole = json.loads(file.read_text())
    wrong = [
        ("{", "is not JSON"),
        ("[]", r"\[\] is not of type 'object'"),
        ("{}", "'cluster' is a required property; name the likeness.json that a rehearsal wrote"),
        ({"nodes": {}}, "nodes: {} is not of type 'array'"),
        ({"nodes": []}, "nodes: "),
        ({"nodes": [{}]}, "nodes/0: '.*' is a required property"),
        ({"services": [{**whole["services"][0], "replicas": "two"}]}, "services/0/replicas: 'two' is not of type"),
        ({"settings": {"heartbeat": None}}, "settings/heartbeat: None is not of type 'integer'"),
    ]
    for given, said in wrong:
        file.write_text(given if isinstance(given, str) else json.dumps(whole | given))
        with pytest.raises(UsageError, match=said):
            Likeness.load(file)
