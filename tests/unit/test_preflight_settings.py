"""Preflight's check of what engines are told at their next start.

What each engine does with a setting was tried with engines of 18.03.1, 24.0.9 and 29.1.3.
"""

import subprocess

import pytest

from swarmlab.preflight import checks
from swarmlab.preflight.causes import folded
from swarmlab.preflight.options import Settings, of_unit
from swarmlab.preflight.refused import quoted, unknown_to
from swarmlab.preflight.sight import QUESTIONS
from tests.unit.test_preflight import found, set_answer, sight  # noqa: F401

PATHS = "bytes 40\ngroup root\ngroup docker\n/var/lib/docker /var/lib/docker\n/etc/ca.pem \n/nowhere \n/mnt/d /srv/d"


def told(sight, text, *, command="dockerd", verdict=None, paths=PATHS, **info):  # noqa: F811
    view = sight.nodes[1]
    view.info |= {"Driver": "overlay2", "LoggingDriver": "json-file", "CgroupDriver": "cgroupfs", **info}
    view.info.setdefault("Labels", [])
    set_answer(sight, "daemon.json", text)
    set_answer(sight, "command line", command.replace(" ", "\n"))
    set_answer(sight, "paths", paths if text else paths.replace("bytes 40", "bytes "))
    if verdict is not None:
        set_answer(sight, "validate", verdict)
    return [(level, summary) for level, nodes, summary in found(sight, "engine-restart") if nodes == ("slave01",)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "daemon.json is not JSON (line 1)"),
        ("[]", "daemon.json is no object of JSON"),
        ("  ", "daemon.json is empty"),
        ('{"live-restore": true}', "live-restore is on, with which no engine starts in a swarm"),
        ('{"live-restor": true}', "live-restor: no options of this engine"),
        ('{"firewall-backend": "iptables"}', "firewall-backend: no options of this engine"),
        ('{"cluster-store": "etcd://10.0.0.1"}', "cluster-store is set, with which no engine starts in a swarm"),
        ('{"debug": "yes"}', "wrong types in daemon.json: debug must be true or false"),
        ('{"mtu": true, "dns": "1.1.1.1"}', "dns must be a list, mtu must be a number"),
        ('{"dns": ["a", "10.0.0.1"]}', "dns: 1 of 2 malformed"),
        ('{"labels": ["x"]}', "labels: 1 of 1 malformed"),
        ('{"registry-mirrors": ["ftp://x"]}', "registry-mirrors: 1 of 1 malformed"),
        ('{"insecure-registries": ["ftp://x"]}', "insecure-registries: 1 of 1 malformed"),
        ('{"hosts": ["fd://"]}', "hosts: set in daemon.json and on the engine's command line"),
        ('{"data-root": "/mnt/d"}', "data-root is /mnt/d, and the engine's state is in /var/lib/docker"),
        ('{"storage-driver": "vfs"}', "storage-driver is vfs, and the engine's images and containers are in overlay2"),
        ('{"userns-remap": "default"}', "userns-remap is set, and the engine runs without"),
        ('{"iptables": false, "icc": false}', "iptables and icc are both false"),
        ('{"bip": "x"}', "bip is no address"),
        ('{"fixed-cidr": "10.0.0.0"}', "fixed-cidr is no address"),
        ('{"bip": "10.4.0.1/24", "bridge": "eth0"}', "bridge and bip are both set"),
        ('{"bridge": "br7"}', "bridge br7: no interface of that name"),
        ('{"default-address-pools": [{"base": "10.9.0.0/16", "size": 8}]}', "cannot be cut into networks of 8"),
        ('{"default-address-pools": [{"base": "10.9.0.0/33", "size": 40}]}', "a pool is malformed"),
        ('{"default-runtime": "nope"}', "default-runtime nope: the engine has no such runtime"),
        ('{"exec-opts": ["native.cgroupdriver=foo"]}', "native.cgroupdriver is neither"),
        ('{"cgroup-parent": "x", "exec-opts": ["native.cgroupdriver=systemd"]}', "cgroup-parent is no slice"),
        ('{"tls": true, "tlscacert": "/etc/ca.pem"}', "the file of tlscacert does not exist"),
        ('{"tls": true, "tlscacert": "/etc/docker"}', "TLS is on in daemon.json without tlscert and tlskey"),
        ('{"node-generic-resources": ["gpu"]}', "node-generic-resources: 1 of 1 malformed"),
        ('{"log-opts": {"max-size": 10}}', "wrong types in daemon.json: log-opts must be an object of texts"),
        ('{"mtu": -1}', "mtu: negative"),
        ('{"containerd": "/nowhere"}', "the file of containerd does not exist"),
        ('{"seccomp-profile": "/nowhere"}', "the file of seccomp-profile does not exist"),
        ('{"group": "dockers"}', "group dockers: there is no such group"),
        ('{"log-opts": {"max-sise": "1"}}', "log-opts: max-sise: no options of the log driver"),
        ('{"log-driver": "nope"}', "log-driver nope: the engine has no such driver"),
        ('{"data-root": "/var/lib/docker", "graph": "/var/lib/docker"}', "data-root and graph are both set"),
    ],
)
def test_what_an_engine_does_not_survive_is_an_error(sight, text, part):  # noqa: F811
    seen = told(sight, text, command="dockerd -H unix:///run/docker.sock", Runtimes={"runc": {}})
    assert [summary for level, summary in seen if level == "error" and part in summary], seen


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", "dockerd"),
        ('{"log-opts": {"max-size": "10m"}, "log-driver": "json-file", "features": {"buildkit": true}}', "dockerd"),
        ('{"data-root": "/var/lib/docker", "storage-driver": "overlay2", "debug": true}', "dockerd -H fd://"),
        (
            '{"registry-mirrors": ["https://mirror.example/"], "insecure-registries": ["R:5000", "10.1.2.3/8"]}',
            "dockerd --mtu 1400",
        ),
        ('{"default-shm-size": "64M", "metrics-addr": "127.0.0.1:9323", "group": "docker"}', "dockerd --tls"),
        ('{"proxies": {"http-proxy": "http://p"}, "runtimes": {"x": {"path": "x"}}}', "dockerd --add-runtime y=z"),
        ('{"tls": false, "tlscacert": "/etc/ca.pem", "live-restore": false}', "dockerd --log-level=info -D"),
    ],
)
def test_what_an_engine_takes_is_no_trouble(sight, text, command):  # noqa: F811
    set_here = "mirror.example" in text
    registries = {
        "Mirrors": ["https://mirror.example/"] if set_here else [],
        "InsecureRegistryCIDRs": ["127.0.0.0/8", *(["10.0.0.0/8"] if set_here else [])],
        "IndexConfigs": {"docker.io": {"Secure": True}} | ({"r:5000": {"Secure": False}} if set_here else {}),
    }
    assert told(sight, text, command=command, RegistryConfig=registries) == []


def test_the_engine_itself_is_asked_where_it_can_judge(sight):  # noqa: F811
    words = "unable to configure the Docker daemon with file /etc/docker/daemon.json: "
    unknown = f"{words}the following directives don't match any configuration option: nosuch\nstatus 1"
    ((level, summary),) = told(sight, '{"nosuch": "geheim"}', verdict=unknown)
    assert level == "error"
    assert "refuses its settings" in summary
    assert summary.endswith("option: nosuch")
    assert told(sight, '{"new-in-2030": true}', verdict="configuration OK\nstatus 0") == []
    ((level, summary),) = told(sight, "", verdict="Permission denied\nstatus 126")
    assert (level, summary) == ("unknown", "validate: Permission denied")


@pytest.mark.parametrize("secret", ["tcp://geheim:1", "geheim", "https://u:geheim@h"])
def test_words_of_an_engine_have_no_values(secret):
    both = (
        "unable to configure the Docker daemon with file /etc/docker/daemon.json: the following directives are "
        f"specified both as a flag and in the configuration file: hosts: (from flag: [{secret}], from file: [{secret}])"
        f", labels: (from flag: [{secret}], from file: [x=y])"
    )
    assert quoted(both).endswith("configuration file: hosts, labels")
    assert "geheim" not in quoted(f"validation failed: bad attribute format: {secret}")


def test_what_is_set_and_not_yet_in_force_is_a_warning(sight):  # noqa: F811
    registries = {
        "Mirrors": ["https://old/"],
        "InsecureRegistryCIDRs": [],
        "IndexConfigs": {"gone:5000": {"Secure": False}},
    }
    text = (
        '{"log-driver": "local", "registry-mirrors": ["https://new"], '
        '"labels": ["a=b"], "node-generic-resources": ["gpu=1"]}'
    )
    ((level, summary),) = told(
        sight, text, RegistryConfig=registries, Plugins={"Log": ["local"], "Authorization": None}
    )
    assert level == "warning"
    assert summary.endswith(
        "next on: log-driver, registry-mirrors, insecure-registries, labels, node-generic-resources"
    )


def test_an_address_of_docker0_that_is_to_come_is_compared_with_those_of_the_node(sight):  # noqa: F811
    lines = "2: eth0    inet 10.4.0.9/24 scope global eth0\n3: docker0    inet 172.17.0.1/16 scope global docker0"
    set_answer(sight, "addresses", lines)
    assert told(sight, '{"bip": "172.17.0.1/16"}') == []
    seen = told(sight, '{"bip": "10.4.0.1/16"}')
    assert [level for level, _ in seen] == ["warning", "warning"]
    assert seen[0][1].endswith("next on: bip")
    assert seen[1][1] == "bip gives docker0 10.4.0.0/16, which overlaps 10.4.0.0/24 of eth0"


def test_the_unit_counts_where_systemd_starts_the_engine(sight):  # noqa: F811
    set_answer(
        sight,
        "unit",
        "# /lib/systemd/system/docker.service\n[Service]\nEnvironmentFile=-/etc/default/docker\n"
        "ExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n"
        "# /etc/systemd/system/docker.service.d/x.conf\n[Service]\nExecStart=\n"
        'ExecStart=/usr/bin/dockerd \\\n  -H fd:// --data-root=${ROOT} $DOCKER_OPTS\nEnvironment="ROOT=/srv/new"\n'
        '# environment /etc/default/docker\n# a comment\nDOCKER_OPTS="--live-restore --dns 1.1.1.1"\n',
    )
    summaries = [summary for _, summary in told(sight, '{"dns": ["1.1.1.1"]}')]
    assert summaries == [
        "dns: set in daemon.json and on the engine's command line",
        "live-restore is on, with which no engine starts in a swarm",
        "data-root is /srv/new, and the engine's state is in /var/lib/docker",
    ]
    assert of_unit("") is None


@pytest.mark.parametrize(
    ("line", "level", "summary"),
    [
        ("replaced /usr/bin/dockerd", "warning", "the engine's program was replaced since the engine's start"),
        ("replaced ", "error", "the engine's program is gone"),
    ],
)
def test_what_else_an_engine_needs_for_its_next_start_is_looked_at(sight, line, level, summary):  # noqa: F811
    assert told(sight, "{}", paths=f"{PATHS}\n{line}") == [(level, summary)]


LOST = "is gone from the engine's data folder"


@pytest.mark.parametrize(
    "lost", ["docker-state.json", *(f"certificates/swarm-{name}" for name in ("node.key", "node.crt", "root-ca.crt"))]
)
def test_a_part_of_the_swarms_state_that_is_gone_is_named(sight, lost):  # noqa: F811
    assert told(sight, "{}", paths=f"{PATHS}\nlost {lost}") == [("error", f"swarm/{lost} {LOST}")]
    (finding, *_) = checks.look("engine-restart", sight)
    assert finding.mend.startswith("before its next restart, on another manager: docker node demote slave01 (")
    sight.nodes[1].info["Swarm"]["ControlAvailable"] = False
    (finding, *_) = checks.look("engine-restart", sight)
    assert finding.mend.startswith("join the node to the swarm anew")
    sight.nodes[1].info["Swarm"]["LocalNodeState"] = "inactive"
    assert told(sight, "{}", paths=f"{PATHS}\nlost {lost}") == []


def test_the_log_of_the_swarm_is_missed_on_managers_alone(sight):  # noqa: F811
    assert told(sight, "{}", paths=f"{PATHS}\nlost raft") == [("error", f"swarm/raft {LOST}")]
    (finding, *_) = checks.look("engine-restart", sight)
    assert "a new, empty swarm" in finding.risk
    sight.nodes[1].info["Swarm"]["ControlAvailable"] = False
    assert told(sight, "{}", paths=f"{PATHS}\nlost raft") == []


def test_a_certificate_that_is_gone_explains_that_nobody_can_say_how_long_it_is_valid(sight):  # noqa: F811
    told(sight, "{}", paths=f"{PATHS}\nlost certificates/swarm-node.crt")
    set_answer(sight, "certificate", "cat: /var/lib/docker/swarm/certificates/swarm-node.crt: No such file", code=1)
    looked = [one for name in ("node-certificates", "engine-restart") for one in checks.look(name, sight)]
    head, follower = [one for one in folded(looked, {}) if "slave01" in one.nodes]
    assert (head.check, follower.check, bool(follower.because)) == ("engine-restart", "node-certificates", True)


def ahead_of(folder):
    """Return what the shell says of the swarm's state in a data folder."""
    question = QUESTIONS["paths"].replace("{root}", str(folder))
    asked = question[question.index("for X in docker-state.json") : question.index("{ echo /var/lib/docker;")]
    return subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=True).stdout.splitlines()


def test_what_of_the_swarms_state_is_there_is_not_missed(tmp_path):
    names = ["docker-state.json", *(f"certificates/swarm-{name}" for name in ("node.key", "node.crt", "root-ca.crt"))]
    assert ahead_of(tmp_path) == [f"lost {name}" for name in [*names, "raft"]]
    for name in [*names, "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal"]:
        file = tmp_path / "swarm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    assert ahead_of(tmp_path) == []


@pytest.mark.parametrize(("state", "seen"), [("enabled", []), ("disabled", ["disabled"]), ("masked", ["masked"])])
def test_an_engine_that_systemd_does_not_start_at_boot_is_named(sight, state, seen):  # noqa: F811
    unit = f"[Service]\nExecStart=/usr/bin/dockerd -H fd://\n\n# states active {state}\n"
    set_answer(sight, "unit", unit)
    assert told(sight, "{}") == [("warning", f"docker.service is {one}") for one in seen]


UNIT = "[Service]\nType=notify\nExecStart=/usr/bin/dockerd {0}\n\n# states active enabled\n"
SHIPPED = "-H fd:// --containerd=/run/containerd/containerd.sock"


@pytest.mark.parametrize(
    ("unit", "summary"),
    [
        (
            UNIT.format(SHIPPED).replace("\n\n", "\n# a drop-in\n[Service]\nExecStart=/usr/bin/dockerd -D\n"),
            "systemd refuses docker.service: it has 2 ExecStart= lines",
        ),
        (
            UNIT.format(SHIPPED) + "# unit docker.socket masked\n# unit containerd.service enabled",
            "docker.socket is masked, and the engine cannot do without it",
        ),
        (
            UNIT.format("-H unix:// --containerd /run/containerd/containerd.sock")
            + "# unit docker.socket masked-runtime\n# unit containerd.service masked",
            "containerd.service is masked, and the engine cannot do without it",
        ),
    ],
)
def test_a_unit_that_systemd_will_not_start_is_named(sight, unit, summary):  # noqa: F811
    set_answer(sight, "unit", unit)
    assert told(sight, "{}") == [("error", summary)]
    view = sight.nodes[1]
    view.info, view.version, view.silent = {}, {}, "the engine of slave01 does not answer: refused"
    ((level, nodes, said),) = found(sight, "engine-restart")
    assert (level, nodes, said) == ("error", ("slave01",), f"{summary} (its engine does not answer)")


@pytest.mark.parametrize(
    "unit",
    [
        UNIT.format(SHIPPED) + "# unit docker.socket enabled\n# unit containerd.service disabled",
        UNIT.format(SHIPPED) + "# unit docker.socket \n# unit containerd.service not-found",
        UNIT.format("-H unix://") + "# unit docker.socket masked\n# unit containerd.service masked",
        UNIT.format("--containerd=/run/k3s/containerd/containerd.sock") + "# unit containerd.service masked",
        UNIT.format(SHIPPED).replace("\n\n", "\n[Service]\nExecStart=\nExecStart=/usr/bin/dockerd\n"),
        UNIT.format(SHIPPED).replace("\n\n", "\nExecStartPost=/bin/true\n#ExecStart=/usr/bin/dockerd\n"),
    ],
)
def test_a_unit_that_systemd_starts_is_well(sight, unit):  # noqa: F811
    set_answer(sight, "unit", unit)
    assert told(sight, "{}") == []


def test_a_data_folder_that_moved_by_a_link_is_the_same(sight):  # noqa: F811
    paths = PATHS.replace("/var/lib/docker /var/lib/docker", "/var/lib/docker /srv/d")
    assert told(sight, "", paths=paths, DockerRootDir="/srv/d") == []
    assert told(sight, '{"data-root": "/mnt/d"}', paths=PATHS, DockerRootDir="/srv/d") == []
    assert told(sight, '{"userns-remap": "default"}', DockerRootDir="/var/lib/docker/165536.165536",
                SecurityOptions=["name=seccomp,profile=default", "name=userns"]) == []  # fmt: skip


@pytest.mark.parametrize(
    ("release", "strange"),
    [
        ((18, 3, 1), ["features"]),
        ((20, 10, 24), []),
        ((23, 0), ["cluster-store", "graph"]),
        ((28, 0), ["api-cors-header", "cluster-store", "graph"]),
    ],
)
def test_options_that_another_engine_does_not_know_are_told(release, strange):
    assert unknown_to(["graph", "cluster-store", "api-cors-header", "features", "debug"], release) == strange


def test_a_command_line_is_taken_apart_as_engines_do():
    words = "--debug -H fd:// -Hunix:///x --host=tcp://y --mtu 1400 --icc=false -s overlay2 --nosuch=1"
    made = Settings.read("{}", words.split(" "))
    assert made.listed("hosts") == ["fd://", "unix:///x", "tcp://y"]
    assert (made.get("debug"), made.get("icc"), made.get("mtu"), made.get("storage-driver")) == (
        True, False, "1400", "overlay2",
    )  # fmt: skip
    assert made.unknown == ["nosuch"]


@pytest.mark.parametrize(
    ("text", "level", "summary"),
    [
        ('{"live-restore": true}', "error", "live-restore is on, with which no engine starts in a swarm (its engine"),
        ("{", "error", "/etc/docker/daemon.json is not JSON (line 1)"),
        ('{"debug": "yes"}', "error", "debug: of the wrong type in daemon.json"),
        ('{"bridge": "br7", "default-runtime": "crun"}', "unknown", "the engine of slave01 does not answer"),
        ("{}", "unknown", "the engine of slave01 does not answer"),
    ],
)
def test_why_an_engine_does_not_answer_is_told_where_its_file_says_it(sight, text, level, summary):  # noqa: F811
    view = sight.nodes[1]
    view.info, view.version, view.silent = {}, {}, "the engine of slave01 does not answer: refused"
    set_answer(sight, "daemon.json", text)
    ((seen, nodes, said),) = found(sight, "engine-restart")
    assert (seen, nodes) == (level, ("slave01",))
    assert said.startswith(summary)


@pytest.mark.parametrize("check", ["engine-restart", "engine-rules", "engine-settings"])
def test_what_cannot_be_read_says_what_would_make_it_known(sight, check):  # noqa: F811
    sight.nodes[1].answers = {}
    findings = [one for one in checks.look(check, sight) if one.nodes == ("slave01",)]
    assert [str(one.level) for one in findings] == ["unknown"]
    assert findings[0].mend.startswith("let preflight be root there")


@pytest.mark.parametrize("name", ["EnvironmentFile", "EnvironmentFiles"])  # of systemd 219, as CentOS 7 has it; of 252
def test_the_files_of_variables_are_found_with_every_systemd(tmp_path, name):
    files = [tmp_path / "docker", tmp_path / "docker-network"]
    for file in files:
        file.write_text(f"FROM_{file.name[-1].upper()}=--debug\n")
    shown = "".join(f"{name}={file} (ignore_errors=yes)\n" for file in files)
    script = QUESTIONS["unit"][QUESTIONS["unit"].index("for E in") :].replace(
        "systemctl show -p EnvironmentFiles docker.service", f"printf '{shown}'"
    )
    unit = "[Service]\nEnvironmentFile=-/etc/sysconfig/docker\nEnvironmentFile=-/etc/sysconfig/docker-network\n"
    unit += "ExecStart=/usr/bin/dockerd $FROM_R $FROM_K $NOT_SET\n"
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert of_unit(unit + read) == ["--debug", "--debug"]
    assert of_unit(unit + read.replace(f"# environment {files[1]}", "")) is None
    assert of_unit(unit.replace(" $FROM_R $FROM_K $NOT_SET", "")) == []


@pytest.mark.parametrize(("code", "known"), [(0, True), (2, False), (124, True)])
def test_a_group_of_a_directory_is_one_of_the_nodes(tmp_path, code, known):
    (tmp_path / "daemon.json").write_text('{"group": "from-ldap", "log-opts": {}}')
    (tmp_path / "getent").write_text(f'#!/bin/sh\n[ "$*" = "group from-ldap" ] && exit {code}; exit 7\n')
    (tmp_path / "getent").chmod(0o755)
    question = QUESTIONS["paths"]
    script = question[question.index("! command -v getent") :]
    done = subprocess.run(
        ["sh", "-c", f'PATH="{tmp_path}:$PATH"; P=$$; F={tmp_path}/daemon.json; {script}'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == (["group from-ldap"] if known else [])


def test_a_group_on_the_command_line_is_looked_for_too(tmp_path):
    (tmp_path / "getent").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "getent").chmod(0o755)
    question = QUESTIONS["paths"]
    script = question[question.index("! command -v getent") :].replace("/proc/$P/cmdline", str(tmp_path / "words"))
    for words in ("dockerd -G site -D", "dockerd -Gsite", "dockerd --group site", "dockerd --group=site"):
        (tmp_path / "words").write_text(f"{words} ".replace(" ", "\0"))
        ran = ["sh", "-c", f'PATH="{tmp_path}:$PATH"; F=/nowhere; {script}']
        assert subprocess.run(ran, capture_output=True, text=True, check=False).stdout == "group site\n"
