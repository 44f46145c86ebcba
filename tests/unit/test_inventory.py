"""Inventories: what they may contain, and the one-line error for everything else."""

import json
import os
import stat

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.existing.inventory import DEFAULT_PORTS, Machine, learned, read
from swarmlab.labs.existing.node import write_config
from swarmlab.labs.existing.routes import route

WHOLE = """
user: admin
port: 2222
key: id
known_hosts: hosts
jump: gate@bastion.example:2200
sudo: true
ports: 31000-31049
registry: registry.example:5000/swarm-conformance
declared: {engine: 20.10.24, network: 192.168.56, system: {ID: debian}}
nodes:
  - {address: 10.0.0.1, name: master, role: manager}
  - {address: 10.0.0.2, user: root, port: 22, jump: other, sudo: false}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("id", "hosts"):
        (tmp_path / name).write_text("")
    return tmp_path


def written(folder, text, name="swarm.yaml"):
    file = folder / name
    file.write_text(text)
    return str(file)


def test_what_is_said_once_holds_for_every_node_that_says_nothing_else(folder):
    known = read(written(folder, WHOLE))
    first, second = known.machines
    assert first == Machine(
        "10.0.0.1",
        "master",
        "manager",
        "admin",
        2222,
        folder / "id",
        "gate@bastion.example:2200",
        folder / "hosts",
        True,
    )
    assert (second.user, second.port, second.jump, second.sudo) == ("root", 22, "other", False)
    assert second.key == folder / "id"
    assert known.ports == range(31000, 31050)
    assert known.registry == "registry.example:5000/swarm-conformance"
    declared = known.declared
    assert (declared.engine, declared.network, dict(declared.system)) == ("20.10.24", "192.168.56", {"ID": "debian"})
    assert declared.properties == {"engine", "addresses", "system"}
    assert declared.places == {"master": "192.168.56.101", "slave01": "192.168.56.104", "slave02": "192.168.56.103"}
    assert not known.discover


def test_the_least_that_is_to_be_said(folder):
    known = read(written(folder, "nodes: [{address: 10.0.0.1}]"))
    assert known.machines == (Machine("10.0.0.1"),)
    assert (known.ports, known.registry) == (DEFAULT_PORTS, "")
    assert not known.declared.properties


def test_what_an_owner_declares_is_read(folder):
    text = "nodes: [{address: 10.0.0.1}]\ndeclared: {names: [web1, db1], addresses: {web1: 10.0.0.1}, user: ops, %s}"
    more = "keys: true, hosts: true, packaged: true, compose: '2.1', outside: false"
    declared = read(written(folder, text % more)).declared
    assert (declared.names, declared.places, declared.user) == (("web1", "db1"), {"web1": "10.0.0.1"}, "ops")
    assert declared.properties == {"names", "addresses", "user", "keys", "hosts", "packaged", "compose"}


def test_keys_are_of_a_user(folder):
    with pytest.raises(UsageError, match="declared: 'user' is a dependency of 'keys'"):
        read(written(folder, "nodes: [{address: 10.0.0.1}]\ndeclared: {keys: true}"))


def test_an_option_takes_the_place_of_the_files_ports(folder):
    assert read(written(folder, WHOLE), ports="40000-40019").ports == range(40000, 40020)


@pytest.mark.parametrize(
    ("url", "machine"),
    [
        ("ssh://manager.example", Machine("manager.example")),
        ("ssh://admin@10.0.0.1:2222", Machine("10.0.0.1", user="admin", port=2222)),
    ],
)
def test_one_manager_is_enough(folder, url, machine):
    for known in (read(url), read(written(folder, f"manager: {url}"))):
        assert known.discover
        assert known.machines == (machine,)
    other = learned(machine, "10.0.0.9")
    assert (other.address, other.user, other.port) == ("10.0.0.9", machine.user, machine.port)


@pytest.fixture
def contexts(folder, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    for name, host in {"production": "ssh://ops@10.0.0.1", "near": "unix:///var/run/docker.sock"}.items():
        place = folder / "contexts" / "meta" / name
        place.mkdir(parents=True)
        (place / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    return folder


def test_a_context_names_the_manager(contexts):
    known = read(written(contexts, "context: production\nkey: id"))
    assert known.machines == (Machine("10.0.0.1", user="ops", key=contexts / "id", like_ssh=True),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user: root", "must have exactly one of the keys nodes, manager and context"),
        ("nodes: [{address: 10.0.0.1}]\nmanager: ssh://a", "must have exactly one of the keys"),
        ("nodes: []", "nodes: "),
        ("nodes: [{name: master}]", "node master, 'address' is a required property"),
        (
            "nodes: [{address: 10.0.0.1, adress: 1}]",
            "node 10.0.0.1, unknown key 'adress'; did you mean address?",
        ),
        ("nodes: [{address: 10.0.0.1}]\nuesr: root", "line 2, column 1: unknown key 'uesr'; did you mean user?"),
        (
            "nodes: [{address: 10.0.0.1, port: ssh}]",
            "line 1, column 35: node 10.0.0.1, port: 'ssh' is not of type 'integer'",
        ),
        (
            "nodes: [{address: 10.0.0.1, port: 70000}]",
            "node 10.0.0.1, port: 70000 is greater than the maximum",
        ),
        ("nodes: [{address: 10.0.0.1, role: leader}]", "node 10.0.0.1, role: 'leader' is not one of"),
        (
            "nodes: [{address: '-oProxyCommand=touch /tmp/x'}]",
            "address: '-oProxyCommand=touch /tmp/x' is wrong: write a plain word",
        ),
        ("nodes: [{address: 10.0.0.1, jump: 'a:b:c'}]", "jump: 'a:b:c' is wrong: write [USER@]HOST[:PORT]"),
        ("nodes: [{address: 10.0.0.1, key: nowhere}]", "key: nowhere: there is no such file"),
        (
            "nodes: [{address: 10.0.0.1}]\nknown_hosts: nowhere",
            "line 2, column 14: known_hosts: nowhere: there is no such file",
        ),
        ("nodes: [{address: 10.0.0.1}, {address: 10.0.0.1}]", "two nodes have the address 10.0.0.1"),
        ("nodes: [{address: a, name: x}, {address: b, name: x}]", "two nodes have the name x"),
        ("nodes: [{address: 10.0.0.1}]\nports: 30000", "ports: 30000 is not of type 'string'"),
        (
            "nodes: [{address: 10.0.0.1}]\nports: 30000-30005",
            "ports: 30000-30005 is not a port range: write FIRST-LAST, at least 20",
        ),
        ("nodes: [{address: 10.0.0.1}]\nports: 65530-65560", "ports: 65530-65560 is not a port range"),
        (
            "nodes: [{address: 10.0.0.1}]\nregistry: https://r.example",
            "registry: 'https://r.example' is wrong: write HOST[:PORT]",
        ),
        ("manager: tcp://10.0.0.1:2375", "manager: 'tcp://10.0.0.1:2375' is wrong: write ssh://"),
        ("context: staging", "no Docker context 'staging'; there are near, production"),
        (
            "context: near",
            "the Docker context near is unix:///var/run/docker.sock; write a context whose host is ssh://",
        ),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_place(contexts, text, message):
    file = written(contexts, text)
    with pytest.raises(UsageError) as wrong:
        read(file)
    assert str(wrong.value).startswith((f"inventory {file}, line ", f"inventory {file}: "))
    assert message in str(wrong.value)
    assert "\n" not in str(wrong.value)


WRONG = """
nodes:
  - adress: 10.0.0.1
  - {address: 10.0.0.2, port: 0}
  - {address: 10.0.0.3, rolle: manager, sudo: 1}
  - just text
  - {address: 10.0.0.4, key: nowhere}
prots: 1-2
"""


def test_all_that_is_wrong_is_told_at_once_with_its_place(folder):
    file = written(folder, WRONG)
    with pytest.raises(UsageError) as wrong:
        read(file)
    assert str(wrong.value).splitlines() == [
        f"inventory {file}, line 3, column 5: node 1, unknown key 'adress'; did you mean address?",
        f"inventory {file}, line 4, column 31: node 10.0.0.2, port: 0 is less than the minimum of 1",
        f"inventory {file}, line 5, column 25: node 10.0.0.3, unknown key 'rolle'; did you mean role?",
        f"inventory {file}, line 5, column 47: node 10.0.0.3, sudo: 1 is not of type 'boolean'",
        f"inventory {file}, line 6, column 5: node 4, 'just text' is not of type 'object'",
        f"inventory {file}, line 7, column 30: node 10.0.0.4, key: nowhere: there is no such file",
        f"inventory {file}, line 8, column 1: unknown key 'prots'; did you mean ports?",
    ]


def test_files_and_names_that_are_wrong_are_told_at_once(folder):
    nodes = "[{address: a, key: one}, {address: b, key: two, name: x}, {address: a, name: x}]"
    file = written(folder, f"nodes: {nodes}\nports: 1-2\n")
    with pytest.raises(UsageError) as wrong:
        read(file)
    text = str(wrong.value)
    assert len(text.splitlines()) == 5
    for part in (
        "line 1, column 27: node a, key: one: there is no such file",
        "line 1, column 51: node x, key: two: there is no such file",
        "node x, address: two nodes have the address a, this and the 1st",
        "node x, name: two nodes have the name x, this and the 2nd",
        "line 2, column 8: ports: 1-2 is not a port range",
    ):
        assert part in text


def test_many_mistakes_are_not_all_listed(folder):
    with pytest.raises(UsageError) as wrong:
        read(written(folder, "nodes: [" + "{address: 1}, " * 200 + "]"))
    lines = str(wrong.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 180 more of this kind"


def test_more_nodes_than_a_run_can_reach_are_one_line(folder):
    with pytest.raises(UsageError, match=r"nodes: are 300, and a run reaches at most 256; list those of the swarm$"):
        read(
            written(folder, "nodes: [" + ", ".join(f"{{address: 10.0.{n // 200}.{n % 200}}}" for n in range(300)) + "]")
        )


def test_an_option_is_named_where_it_is_wrong(folder):
    with pytest.raises(UsageError, match=r"^--ports: 1-2 is not a port range"):
        read(written(folder, WHOLE), ports="1-2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes:\n  - address: 10.0.0.1\n  name: x\n", "line 3, column 3: is not YAML: "),
        ("nodes: [{address: 10.0.0.1}", "line 2, column 1: is not YAML: "),
        ("nodes:\n\t- address: a\n", "line 2, column 1: is not YAML: "),
        ("nodes: [{address: a, address: b}]", "the key 'address' stands in line 1 already"),
        ("", "is empty; write nodes, manager or context"),
        ("- {address: a}\n", "line 1, column 1: is a list; write the machines as a list below the key nodes"),
        ("swarm\n", "is a text; write the machines"),
    ],
)
def test_what_is_not_yaml_is_told_in_the_words_of_yaml(folder, text, message):
    with pytest.raises(UsageError) as wrong:
        read(written(folder, text))
    assert message in str(wrong.value)
    assert "ansible" not in str(wrong.value).lower()
    assert "\n" not in str(wrong.value)


def test_a_file_that_is_not_there():
    with pytest.raises(UsageError, match=r"inventory nowhere\.yaml: cannot be read"):
        read("nowhere.yaml")


# Ansible's

INI = "[swarm]\nmaster ansible_host=10.0.0.1\n"
YAML = "all:\n  children:\n    swarm:\n      hosts:\n        master: {ansible_host: 10.0.0.1}\n"


@pytest.mark.parametrize("text", [INI, YAML, "[web]\na\n[web:vars]\nx=1\n"])
def test_ansibles_takes_ansibles_command(folder, monkeypatch, text):
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(UsageError, match="needs the command ansible-inventory; install it"):
        read(written(folder, text, "hosts.ini"))


@pytest.fixture
def ansible(folder, monkeypatch):
    """Stands for Ansible's command: what it prints is chosen by the test."""

    def says(printed, code=0):
        program = folder / "ansible-inventory"
        program.write_text(f"#!/bin/sh\ncat {folder}/printed\nexit {code}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "printed").write_text(printed)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return says


def test_ansibles_variables_say_how_a_host_is_reached(folder, ansible):
    options = "-o ProxyJump=ops@bastion -o UserKnownHostsFile=hosts"
    variables = {
        "master": {
            "ansible_host": "10.0.0.1",
            "ansible_port": 2222,
            "ansible_user": "ops",
            "ansible_become": "yes",
            "ansible_ssh_private_key_file": str(folder / "id"),
            "ansible_ssh_common_args": options,
        },
        "slave01": {},
        "other": {},
    }
    groups = {"swarm": {"children": ["managers", "workers"]}, "managers": {"hosts": ["master"]}}
    ansible(json.dumps({"_meta": {"hostvars": variables}, **groups, "workers": {"hosts": ["slave01"]}}))
    known = read(written(folder, INI, "hosts.ini"), ports="31000-31030")
    first, second = known.machines
    own = {"like_ssh": True, "folder": folder}
    whole = Machine("10.0.0.1", "", "", "ops", 2222, folder / "id", "ops@bastion", folder / "hosts", True, **own)
    assert first == whole
    assert second == Machine("slave01", **own)
    assert known.ports == range(31000, 31031)


@pytest.mark.parametrize(("printed", "code"), [("{}", 0), ("no JSON", 4)])
def test_what_ansible_makes_nothing_of(folder, ansible, printed, code):
    ansible(printed, code)
    with pytest.raises(UsageError, match="Ansible finds no hosts in it"):
        read(written(folder, INI, "hosts.ini"))


# The settings that ssh gets


def test_host_keys_are_checked_and_nobody_is_asked(folder):
    known = read(written(folder, WHOLE))
    text = write_config(folder, [route(machine, folder) for machine in known.machines]).read_text()
    for line in (
        "StrictHostKeyChecking yes",
        "BatchMode yes",
        "ProxyJump n0-jump",
        f'UserKnownHostsFile "{folder}/hosts"',
    ):
        assert line in text
    jump = text.partition("Host n0-jump\n")[2].partition("Host ")[0]
    assert "HostName bastion.example" in jump
    assert "Port 2200" in jump
    assert "User gate" in jump
    assert "StrictHostKeyChecking no" not in text


ALONE = "write the host alone; user: and port: are keys of their own"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("root@127.0.0.1", f"'root@127.0.0.1' is wrong: {ALONE}"),
        ("ssh://h", f"'ssh://h' is wrong: {ALONE}"),
        ("127.0.0.1:22", f"'127.0.0.1:22' is wrong: {ALONE}"),
        ("10.0.0.1/24", f"'10.0.0.1/24' is wrong: {ALONE}"),
        ("", "'' is wrong: write a plain word"),
        ("127.0.0.1\n", "'127.0.0.1\\n' is wrong: write a plain word"),
    ],
)
def test_an_address_is_a_host_alone(folder, value, said):
    text = json.dumps({"nodes": [{"address": value}]})
    with pytest.raises(UsageError) as refused:
        read(written(folder, text))
    [line] = str(refused.value).splitlines()
    assert line.startswith("inventory ")
    assert f", line 1, column 24: node {value.strip() or 1}, address: {said}" in line


@pytest.mark.parametrize("address", ["h", "h.example.org", "10.0.0.1", "fd00::1", "[fd00::1]", "fe80::1%eth0"])
def test_an_address_is_a_name_or_an_address(folder, address):
    assert read(written(folder, json.dumps({"nodes": [{"address": address}]}))).machines


@pytest.mark.parametrize("key", ["jump", "user", "key", "name"])
def test_a_value_that_is_wrong_is_told_in_one_line(folder, key):
    for value in ("", "a b"):
        with pytest.raises(UsageError) as refused:
            read(written(folder, json.dumps({"nodes": [{"address": "10.0.0.1", key: value}]})))
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("manager: ssh://h:99999", "line 1, column 10: manager: ssh://h:99999: is no address of a manager"),
        ("manager: ssh://h\nregistry: h.org:0", "line 2, column 11: registry: 'h.org:0' is wrong: write HOST[:PORT]"),
        ("manager: ssh://h\nregistry: h.org:65536", "registry: 'h.org:65536' is wrong: write HOST[:PORT]"),
    ],
)
def test_a_port_that_there_is_not_is_told_with_its_place(folder, text, said):
    with pytest.raises(UsageError) as refused:
        read(written(folder, text))
    assert said in str(refused.value)
