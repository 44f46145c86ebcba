"""Inventories of Ansible: with stand-ins for its commands that print what it prints, and with Ansible where it is."""

import base64
import json
import shutil
import time
from pathlib import Path

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.existing import ansible_commands
from swarmlab.labs.existing.inventory import Machine, read
from swarmlab.wait import State, wait

INI = "[swarm]\na\nb\n"
real = pytest.mark.skipif(not shutil.which("ansible-inventory"), reason="Ansible is not installed here")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("id", "hosts.known", "config"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.fixture
def commands(folder, monkeypatch):
    """Stand-ins for Ansible's two commands, by what they print."""
    place = folder / "commands"
    place.mkdir()

    def program(name, out, err, code):
        (place / f"{name}.out").write_text(out)
        (place / f"{name}.err").write_text(err)
        (place / name).write_text(
            f'#!/bin/sh\necho "$PWD: $*" >> {place}/{name}.asked\n'
            f"cat {place}/{name}.out\ncat {place}/{name}.err >&2\nexit {code}\n"
        )
        (place / name).chmod(0o755)

    def say(variables, *, groups=None, filled=None, failed=None, err=""):
        groups = groups or {"swarm": {"hosts": list(variables)}}
        listed = {"_meta": {"hostvars": variables}, "all": {"children": ["ungrouped", *groups]}, **groups}
        program("ansible-inventory", json.dumps(listed), "", 0)
        out = ""
        for host, answer in (filled or {}).items():
            packed = base64.b64encode(json.dumps({"name": host, **answer}).encode()).decode()
            out += f'{host} | SUCCESS => {{\n    "changed": false,\n    "msg": "SWC{packed}CWS"\n}}\n'
        for host, why in (failed or {}).items():
            out += f"{host} | FAILED! => {json.dumps({'changed': False, 'msg': why}, indent=4)}\n"
        if filled is not None or failed is not None:
            program("ansible", out, err, 2 if failed else 0)
        monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
        return place

    say.program = program
    say.place = place
    return say


def written(folder, text, name="hosts.ini"):
    file = folder / name
    file.write_text(text)
    return str(file)


def refused(*arguments, **options):
    with pytest.raises(UsageError) as wrong:
        read(*arguments, **options)
    assert "\n" not in str(wrong.value)
    return str(wrong.value)


def test_what_variables_come_to_is_taken(folder, commands):
    filled = {
        "a": {
            "host": "10.0.0.1",
            "port": 2222,
            "user": "ops",
            "key": "id",
            "become": "yes",
            "args": "-C -o ControlMaster=auto -o ControlPersist=60s",
            "common_args": "-F config -Jgate,ops@[fd00::1]:2200 -oUserKnownHostsFile=hosts.known",
            "extra_args": '-o StrictHostKeyChecking=no -o "Ciphers aes256-ctr" -4 -v -L 1:x:1',
        },
        "b": {"host": "[fd00::2]", "port": "22", "become": False, "common_args": "-l me -p 23 -i id -J other"},
    }
    commands({"a": {"ansible_password": "x"}, "b": {}}, filled=filled)
    first, second = read(written(folder, INI)).machines
    own = {"like_ssh": True, "folder": folder}
    assert first == Machine(
        "10.0.0.1",
        user="ops",
        port=2222,
        key=folder / "id",
        jump="gate,ops@[fd00::1]:2200",
        known_hosts=folder / "hosts.known",
        sudo=True,
        config=folder / "config",
        arguments=("-o", "Ciphers aes256-ctr", "-4"),
        unused="ansible_password",
        **own,
    )
    assert second == Machine("fd00::2", user="me", port=22, key=folder / "id", jump="other", **own)


def test_the_proxy_command_stays_an_option_of_ssh(folder, commands):
    commands({"a": {}}, filled={"a": {"common_args": '-o ProxyCommand="ssh -W %h:%p -q gate"'}})
    assert read(written(folder, INI)).machines[0].arguments == ("-o", "ProxyCommand=ssh -W %h:%p -q gate")


@pytest.mark.parametrize(
    ("variables", "node"),
    [
        (
            {"ansible_ssh_host": "10.0.0.1", "ansible_ssh_port": 2200, "ansible_ssh_user": "ops"},
            {"address": "10.0.0.1", "port": 2200, "user": "ops"},
        ),
        ({"ansible_host": "x", "ansible_ssh_host": "10.0.0.1"}, {"address": "10.0.0.1"}),
        ({"ansible_ssh_private_key_file": "id"}, {"address": "a", "key": "id"}),
        ({"ansible_become": "on"}, {"address": "a", "sudo": True}),
        ({"ansible_become": "no"}, {"address": "a"}),
        ({"ansible_ssh_pass": "x"}, {"address": "a", "unused": "ansible_ssh_pass"}),
    ],
)
def test_the_old_names_of_variables_are_known(folder, commands, variables, node):
    """Where only ansible-inventory is installed: the variables count as they are written."""
    commands({"a": variables})
    if "key" in node:
        node = {**node, "key": folder / node["key"]}
    assert read(written(folder, INI)).machines == (Machine(**node, like_ssh=True, folder=folder),)


@pytest.mark.parametrize("value", ["{{ p }}", "{% if x %}1{% endif %}", {"__ansible_vault": "$ANSIBLE_VAULT"}])
def test_a_template_takes_ansibles_other_command(folder, commands, value):
    commands({"a": {"ansible_port": value}})
    text = '[swarm]\na ansible_port="{{ p }}"\n'
    line = refused(written(folder, text))
    assert line.endswith(
        "line 2: host a: ansible_port: is a template or a secret, which only the command ansible fills in; install it"
    )


def test_passwords_need_not_be_deciphered(folder, commands):
    place = commands({"a": {"ansible_become_password": {"__ansible_vault": "x"}}}, filled={"a": {}})
    assert read(written(folder, INI)).machines[0].unused == "ansible_become_password"
    assert '"ansible_become_password": ""' in (place / "ansible.asked").read_text()


@pytest.mark.parametrize(
    ("filled", "text", "message"),
    [
        (
            {"common_args": '-o ProxyCommand="x'},
            "line 2: host a: ansible_ssh_common_args: No closing quotation, in '-o ProxyCommand=\"x'; mend it",
            "[swarm]\na ansible_ssh_common_args='-o ProxyCommand=\"x'\n",
        ),
        ({"extra_args": "-Z"}, "host a: ansible_ssh_extra_args: option -Z not recognized", INI),
        ({"extra_args": "-o"}, "host a: ansible_ssh_extra_args: option -o requires argument", INI),
        ({"args": "ProxyJump=x"}, "host a: ansible_ssh_args: 'ProxyJump=x' is no option of ssh; mend it", INI),
        ({"common_args": "-F none.conf"}, "ansible_ssh_common_args: -F none.conf: there is no such file; mend it", INI),
        ({"port": "ssh"}, "host a: ansible_port: is 'ssh'; write a number from 1 to 65535", INI),
        ({"port": 70000}, "host a: ansible_port: is 70000; write a number from 1 to 65535", INI),
        ({"become": "maybe"}, "host a: ansible_become: is 'maybe'; write true or false", INI),
        (
            {"become": True, "become_method": "ansible.builtin.su"},
            "ansible_become_method: is su, and the suite knows sudo and doas without a password; allow one of them",
            INI,
        ),
        ({"become": True, "become_user": "oracle"}, "ansible_become_user: is oracle, and the suite needs root", INI),
        (
            {"connection": "local"},
            "ansible_connection: is local, and the suite reaches nodes over SSH only; write",
            INI,
        ),
        ({"key": "nokey"}, "node a, key: {folder}/nokey: there is no such file", INI),
        ({"common_args": "-J a:b:c"}, "node a, jump: 'a:b:c' is wrong: write [USER@]HOST[:PORT]", INI),
        ({"host": "-oProxyCommand=x"}, "address: '-oProxyCommand=x' is wrong: write a plain word", INI),
    ],
)
def test_a_variable_that_is_wrong_is_one_line_with_its_host(folder, commands, filled, text, message):
    message, text = text, message
    commands({"a": {}}, filled={"a": filled})
    file = written(folder, text)
    line = refused(file)
    assert line.startswith(f"inventory {file}")
    assert message.format(folder=folder) in line


@pytest.mark.parametrize(
    "way", ["local", "docker", "winrm", "community.docker.docker", "ansible.netcommon.network_cli"]
)
def test_other_ways_than_ssh_are_refused_before_anything_is_filled_in(folder, commands, way):
    commands({"a": {"ansible_connection": way}}, failed={"a": "the connection plugin was not found"})
    line = refused(written(folder, f"[swarm]\na ansible_connection={way}\n"))
    assert f"line 2: host a: ansible_connection: is {way}, and the suite reaches nodes over SSH only" in line
    assert not (commands.place / "ansible.asked").exists()


@pytest.mark.parametrize("way", ["ssh", "smart", "paramiko", "ansible.builtin.ssh", "ansible.netcommon.libssh"])
def test_all_ways_of_ssh_are_ssh(folder, commands, way):
    commands({"a": {"ansible_connection": way}}, filled={"a": {"connection": way}})
    assert len(read(written(folder, INI)).machines) == 1


@pytest.mark.parametrize(
    ("why", "message"),
    [
        (
            "Task failed: Error processing keyword 'port': 'nope' is undefined",
            "line 2: host a: ansible_port: 'nope' is undefined; define it in the inventory, group_vars or host_vars",
        ),
        (
            "The field 'port' includes an undefined variable. The error was: 'nope' is undefined",
            "line 2: host a: The field 'port' includes an undefined variable. The error was: 'nope' is undefined",
        ),
        (
            "Attempting to decrypt but no vault secrets found",
            "host a: Attempting to decrypt but no vault secrets found; name the file of its vault's password",
        ),
    ],
)
def test_what_ansible_does_not_fill_in_is_one_line(folder, commands, why, message):
    commands({"a": {}, "b": {}}, filled={"b": {}}, failed={"a": why})
    assert message in refused(written(folder, '[swarm]\na ansible_port="{{ nope }}"\nb\n'))


def test_the_place_that_ansible_names_is_told(folder, commands):
    file = folder / "group_vars" / "swarm.yml"
    why = "Task failed: Error processing keyword 'port': 'nope' is undefined"
    commands({"a": {}}, failed={"a": why}, err=f"[ERROR]: x\nOrigin: <adhoc>\nOrigin: {file}:3:31\n\n3 x\n")
    assert ": swarm.yml, line 3, column 31: host a: ansible_port: 'nope'" in refused(written(folder, INI))


# Groups

GROUPS = {"managers": {"hosts": ["a"]}, "workers": {"hosts": ["b", "c"]}, "none": {}}


@pytest.mark.parametrize(
    ("groups", "group", "hosts"),
    [
        ({"swarm": {"children": ["managers", "workers"]}, **GROUPS}, "", "abc"),
        ({"swarm": {"hosts": ["b"]}, **GROUPS}, "", "b"),
        ({"swarm": {"hosts": ["b"]}, **GROUPS}, "workers", "bc"),
        (GROUPS, "managers,workers", "abc"),
        (GROUPS, "all", "abc"),
        ({"nodes": {"children": ["managers", "workers"]}, **GROUPS}, "", "abc"),
        ({"ungrouped": {"hosts": ["a", "b", "c"]}}, "", "abc"),
        ({"swarm": {"children": ["swarm2"]}, "swarm2": {"hosts": ["a"], "children": ["swarm"]}}, "", "a"),
    ],
)
def test_the_hosts_of_the_group_count(folder, commands, groups, group, hosts):
    commands({host: {} for host in "abc"}, groups=groups, filled={host: {} for host in "abc"})
    known = read(written(folder, INI), group=group)
    assert "".join(machine.address for machine in known.machines) == hosts
    assert known.options == ["--inventory", f"{folder}/hosts.ini", *(["--group", group] if group else [])]


@pytest.mark.parametrize(
    ("groups", "group", "message"),
    [
        (
            GROUPS,
            "",
            "has no group swarm; name one with --group: managers (1 host), workers (2 hosts), none (0 hosts), all (3",
        ),
        (GROUPS, "nope", "--group: the inventory has no group nope; it has managers (1 host), workers (2 hosts), none"),
        (GROUPS, "none", "the group none has no hosts; it has managers (1 host)"),
        ({"swarm": {}, **GROUPS}, "", "the group swarm has no hosts; it has swarm (0 hosts), managers (1 host)"),
    ],
)
def test_a_group_that_is_not_there_is_told_with_those_that_are(folder, commands, groups, group, message):
    commands({host: {} for host in "abc"}, groups=groups, filled={})
    assert message in refused(written(folder, INI), group=group)


@pytest.mark.parametrize("source", ["swarm.yaml", "ssh://ops@10.0.0.1"])
def test_an_inventory_that_is_not_of_ansible_has_no_groups(folder, source):
    written(folder, "nodes: [{address: a}]", "swarm.yaml")
    assert (
        refused(source, group="x") == f"--group: inventory {source} is not of Ansible and has no groups; leave it out"
    )


def test_more_hosts_than_a_run_can_reach_are_one_line(folder, commands):
    commands({f"n{number}": {} for number in range(300)}, filled={})
    assert "300 hosts are chosen, and a run reaches at most 256; choose a group of fewer with --group" in refused(
        written(folder, INI)
    )
    assert not (commands.place / "ansible.asked").exists()


# Which files are Ansible's, and what it says of them


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hosts", INI),
        ("hosts", "[swarm]  # the nodes\na ansible_ssh_common_args='-o Foo: bar'\n"),
        ("hosts", "10.0.0.1\n10.0.0.2\n"),
        ("hosts", "node[01:03].example\n"),
        ("hosts.toml", "[swarm.hosts.a]\n"),
        ("hosts", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        ("hosts.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        ("hosts.yml", "swarm: {hosts: {a: }}\nother:\n"),
        ("hosts.yml", "swarm:\n  host:\n    a:\n"),
        ("hosts.yml", "nodes:\n  hosts:\n    a:\n"),
        ("hosts.yml", "all:\n"),
        ("hosts.yml", "swarm:\n  hosts:\n    a:\n      x: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        61\n"),
        ("hosts.yml", "swarm:\n  hosts:\n    a:\n      x: !unsafe '{{ y }}'\n"),
        ("aws_ec2.yml", "plugin: amazon.aws.aws_ec2\n"),
        ("script", "#!/bin/sh\n"),
    ],
)
def test_a_file_of_ansible_is_known_by_its_form(folder, monkeypatch, name, text):
    monkeypatch.setenv("PATH", str(folder))
    line = refused(written(folder, text, name))
    assert line.endswith(
        f"{name}: is not in the suite's format (nodes, manager or context), and an inventory of Ansible needs the "
        "command ansible-inventory; install it, or write the suite's format"
    )


def test_a_folder_is_of_ansible(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    (folder / "inventory").mkdir()
    assert refused("inventory").startswith("inventory inventory: is a folder, and an inventory of Ansible needs the")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes:\n", "nodes: None is not of type 'array'"),
        ("declared: {}\n", "must have exactly one of the keys"),
        ("nodes: {}\n", "nodes: {} is not of type 'array'"),
    ],
)
def test_the_suites_own_format_is_not_taken_for_ansibles(folder, text, message):
    assert message in refused(written(folder, text, "swarm.yaml")).replace("\n", " ")


def test_an_alias_bomb_is_refused_before_ansible_reads_it(folder, commands):
    commands({"a": {}})
    rows = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in ("ab", "bc", "cd", "de")]
    text = "\n".join([*rows, "swarm: {hosts: {h: {v: *e, w: !unsafe x}}}"])
    assert "holds more than 50000 values, aliases followed" in refused(written(folder, text, "hosts.yml"))
    assert not (commands.place / "ansible-inventory.asked").exists()


OF_2_19 = """[WARNING]: Failed to parse inventory with 'yaml' plugin: Plugin configuration YAML file, not YAML inventory

Failed to parse inventory with 'yaml' plugin.

<<< caused by >>>

x
Origin: <inventory plugin 'yaml' with source '{file}'>

[WARNING]: Failed to parse inventory with 'auto' plugin: inventory config '{file}' specifies unknown plugin 'a.b.c'

Failed.

[ERROR]: Completely failed to parse inventory source {file}
"""
OF_2_14 = """[WARNING]:  * Failed to parse {file} with yaml plugin: Invalid "hosts" entry for
"swarm" group, requires a dictionary
[WARNING]:  * Failed to parse {file} with ini plugin: {file}:3: Expected key=value host variable
assignment, got: foo
ERROR! Completely failed to parse inventory source {file}
"""


@pytest.mark.parametrize(
    ("name", "text", "said", "message"),
    [
        (
            "a.yml",
            "plugin: a.b.c\n",
            OF_2_19,
            "line 1: Ansible does not read it: inventory config '{file}' specifies unknown plugin 'a.b.c'; inst",
        ),
        (
            "a.yml",
            "swarm: {hosts: {}}\n",
            OF_2_14,
            ': Ansible does not read it: Invalid "hosts" entry for "swarm" group, r',
        ),
        (
            "a.ini",
            INI,
            OF_2_14,
            ", line 3: Ansible does not read it: Expected key=value host variable assignment, got: foo",
        ),
        (
            "a.ini",
            '[swarm]\na ansible_port="22\nb\n',
            "[WARNING]: Failed to parse inventory with 'ini' plugin: Error parsing host definition "
            "'a ansible_port=\"22': No closing quotation\n\n"
            "[ERROR]: Completely failed to parse inventory source {file}\n",
            ", line 2: Ansible does not read it: Error parsing host definition",
        ),
        (
            "a.yml",
            "$ANSIBLE_VAULT;1.1;AES256\n61\n",
            "[WARNING]:  * Failed to parse {file} with yaml plugin: Attempting to decrypt but no vault secrets found\n"
            "ERROR! Completely failed to parse inventory source {file}\n",
            "Attempting to decrypt but no vault secrets found; name the file of its vault's password",
        ),
        (
            "a.yml",
            "swarm: {host: {}}\n",
            "[WARNING]: Skipping unexpected key (host) in group (swarm), only\n"
            '"vars", "children" and "hosts" are valid\n',
            'it: Skipping unexpected key (host) in group (swarm), only "vars", "children" and "hosts" are valid',
        ),
        (
            "a.ini",
            "\n[swarm]\n",
            "[WARNING]: No inventory was parsed, only implicit localhost\n",
            "finds no hosts in it; w",
        ),
        ("a.ini", "[swarm]\n", "", ": Ansible finds no hosts in it; write some"),
    ],
)
def test_what_ansible_does_not_read_is_one_line(folder, commands, name, text, said, message):
    file = written(folder, text, name)
    commands({"a": {}})
    commands.program("ansible-inventory", "{}", said.format(file=file), 1)
    line = refused(file)
    assert line.startswith(f"inventory {file}")
    assert message.format(file=file) in line


def test_lines_that_ansible_breaks_are_joined(folder, commands):
    """Ansible before 2.19 breaks them after 79 characters, in the midst of a path if that is longer."""
    file = written(folder, INI, f"{'long' * 20}.ini")
    path = f"{file[:79]}\n{file[79:]}"
    said = f"[WARNING]:  * Failed to parse\n{path} with ini\nplugin: {path}:2: Expected\nkey=value\n"
    said += f"ERROR! Completely failed to parse inventory source\n{path}\n"
    commands({"a": {}})
    commands.program("ansible-inventory", "{}", said, 1)
    assert refused(file).endswith(".ini, line 2: Ansible does not read it: Expected key=value")


def test_no_hosts_are_refused_where_ansible_finds_nothing_wrong(folder, commands):
    commands({}, groups={"other": {}})
    assert refused(written(folder, INI)).endswith("hosts.ini: Ansible finds no hosts in it; write some")


def test_of_a_folder_the_file_that_is_not_read_is_named(folder, commands):
    (folder / "all").mkdir()
    file = written(folder / "all", "plugin: a.b.c\n", "x.yml")
    commands({"a": {}})
    commands.program("ansible-inventory", "{}", OF_2_19.format(file=file), 1)
    assert refused("all").startswith("inventory all: x.yml: Ansible does not read it: inventory config")


@pytest.mark.parametrize(
    "said",
    [
        "[ERROR]: YAML parsing failed: While parsing a flow sequence did not find expected ',' or ']'.\n",
        "ERROR! We were unable to read either as JSON nor YAML, these are the errors we got from each:\n",
    ],
)
def test_variables_beside_the_inventory_that_are_not_yaml_are_told_with_their_place(folder, commands, said):
    (folder / "group_vars").mkdir()
    written(folder / "group_vars", "ansible_user: !vault x\n", "all.yml")
    written(folder / "group_vars", "a: 1\nb: [x\n", "swarm.yml")
    commands({"a": {}})
    commands.program("ansible-inventory", "", said, 1)
    assert "group_vars/swarm.yml, line 3, column 1: is not YAML: " in refused(written(folder, INI))


def test_a_command_that_does_not_end_is_ended(folder, commands, monkeypatch):
    commands({"a": {}})
    (commands.place / "ansible-inventory").write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {folder}/pid\nwait\n")
    monkeypatch.setattr(ansible_commands, "_PATIENCE", 3.0)
    begun = time.monotonic()
    assert "ansible-inventory takes over 3 s to read it; see what it waits for" in refused(written(folder, INI))
    assert time.monotonic() - begun < 30
    stat = Path("/proc", (folder / "pid").read_text().strip(), "stat")
    wait(lambda: State(not stat.exists() or ") Z " in stat.read_text(), stat), "its own command to end", deadline=10)


def test_ansible_runs_where_its_settings_are(folder, commands, monkeypatch):
    """Where the user is, or else in the folder above the inventory that has an ansible.cfg."""
    project = folder / "project"
    (project / "inventories").mkdir(parents=True)
    file = written(project / "inventories", INI)
    (project / "id2").write_text("")
    place = commands({"a": {}}, filled={"a": {"key": "id2"}})
    assert "there is no such file" in refused(file)
    (project / "ansible.cfg").write_text("")
    assert read(file).machines[0].key == project / "id2"
    monkeypatch.setenv("ANSIBLE_CONFIG", str(folder / "own.cfg"))
    assert "there is no such file" in refused(file)
    asked = (place / "ansible-inventory.asked").read_text().splitlines()
    assert [line.partition(":")[0] for line in asked] == [str(folder), str(project), str(folder)]


# With Ansible itself


@real
@pytest.mark.parametrize(
    ("name", "text", "node"),
    [
        (
            "a.ini",
            '[swarm]\na ansible_port="{{ p }}" ansible_become="{{ b }}" ansible_host="{{ h }}"\n'
            "[swarm:vars]\np=2222\nb=yes\nh=x\n",
            {"address": "x", "port": 2222, "sudo": True},
        ),
        ("a.ini", "[swarm]\na ansible_ssh_host=x ansible_ssh_user=u ansible_ssh_pass=p", {"address": "x", "user": "u"}),
        ("a.ini", "[swarm:children]\nm\n[m]\nnode[01:01]\n", {"address": "node01"}),
        (
            "a.yml",
            "swarm: {hosts: {a: {ansible_ssh_args: '-J {{ g }}', g: gate}}}\nother:\n",
            {"address": "a", "jump": "gate"},
        ),
        ("a.json", '{"swarm": {"hosts": {"a": null}}}', {"address": "a"}),
    ],
)
def test_ansible_itself_fills_in_what_is_written(folder, name, text, node):
    (machine,) = read(written(folder, text, name)).machines
    assert {key: getattr(machine, key) for key in node} == node


@real
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.ini", '[swarm]\nb\na ansible_port="{{ nope }}"\n', "line 3"),
        ("a.ini", '[swarm]\nb\na ansible_port="22\n', "line 3: Ansible does not read it: "),
        ("a.yml", "all:\n", "Ansible finds no hosts in it; write some"),
        ("a.yml", "swarm:\n  hosts: [a]\n", 'Ansible does not read it: Invalid "hosts" entry'),
        (
            "aws_ec2.yml",
            "plugin: amazon.aws.aws_ec2\n",
            "specifies unknown plugin 'amazon.aws.aws_ec2'; install what that",
        ),
        ("a", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", "no vault secrets found; name the file of its vault's password"),
    ],
)
def test_what_ansible_itself_does_not_read_is_one_line(folder, name, text, message):
    file = written(folder, text, name)
    line = refused(file)
    assert line.startswith(f"inventory {file}")
    assert message in line
