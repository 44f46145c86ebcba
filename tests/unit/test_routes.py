"""How machines are reached: the inventory and the user's configuration of ssh, which ssh itself is asked for."""

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.existing import routes
from swarmlab.labs.existing.inventory import Machine, learned
from swarmlab.labs.existing.node import write_config
from swarmlab.labs.existing.routes import jump_of, route
from swarmlab.parallel import parallel

CONFIG = """
Include {folder}/more
Host gate
  HostName gate.example
  Port 2200
  User guard
  IdentityFile ~/.ssh/gate
Host inner
  HostName fd00::7
  ProxyJump gate
Host behind
  HostName 10.0.0.1
  User ops
  ProxyJump inner
Host by-command
  HostName 10.0.0.2
  ProxyCommand ssh -W %h:%p --name=%n --rate=5%% gate
Host one
  ProxyJump two
Host two
  ProxyJump one
Host talkative
  RemoteCommand tmux
  LocalForward 8080 localhost:80
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  ForwardAgent yes
  LogLevel DEBUG3
  PermitLocalCommand yes
  LocalCommand touch {folder}/ran
Match host 10.0.0.9
  Port 2299
"""


@pytest.fixture
def reached(tmp_path, monkeypatch):
    """Returns the route of a machine, with a configuration of ssh that stands for the user's."""
    (tmp_path / "config").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "more").write_text(
        "Host alias?\n  HostName 10.0.0.9\n  IdentityFile ~/.ssh/of-alias\n  Ciphers aes256-ctr\n"
    )
    monkeypatch.setattr(routes, "USERS_OWN", (str(tmp_path / "config"),))
    return lambda address, **said: route(Machine(address, **said), tmp_path)


def test_machines_that_are_asked_for_at_once_share_a_file_that_is_whole(tmp_path):
    def read(folder):
        return routes._Asker(Machine("10.0.0.1"), folder)._files({"user": "root"}).read_text()

    for number in range(50):
        (folder := tmp_path / str(number)).mkdir()
        (whole,) = set(parallel(read, [folder] * 10))
        assert whole.endswith("  user root\n")
        assert len(list(folder.iterdir())) == 1


def test_an_alias_is_what_the_configuration_says(reached):
    found = reached("alias1")
    assert found.settings["HostName"] == "10.0.0.9"
    assert found.settings["identityfile"] == ['"~/.ssh/of-alias"']
    assert found.settings["ciphers"] == ["aes256-ctr"]
    assert (found.machine.user, found.machine.port, found.machine.address) == ("root", 2299, "alias1")


def test_the_inventory_goes_before_the_configuration(reached, tmp_path):
    found = reached("alias1", user="me", port=22, key=tmp_path / "key", known_hosts=tmp_path / "hosts")
    assert (found.machine.user, found.machine.port) == ("me", 22)
    assert found.settings["IdentityFile"] == [f'"{tmp_path}/key"']
    assert found.settings["IdentitiesOnly"] == "yes"
    assert "identityfile" not in found.settings
    assert found.settings["UserKnownHostsFile"] == f'"{tmp_path}/hosts"'
    assert found.settings["GlobalKnownHostsFile"] == "/dev/null"


def test_a_host_of_no_configuration_is_reached_as_the_inventory_says(reached):
    found = reached("10.0.0.3")
    assert found.settings == {"HostName": "10.0.0.3", "Port": 22, "User": "root"}
    assert found.jumps == ()


def test_the_user_is_sshs_own_where_the_file_is_read_as_ssh_would(reached, monkeypatch):
    assert reached("behind", like_ssh=True).machine.user == "ops"
    asked = []
    monkeypatch.setattr(routes._Asker, "_files", lambda _, defaults: asked.append(dict(defaults)) or "/dev/null")
    reached("10.0.0.3", like_ssh=True)
    reached("10.0.0.3")
    assert asked == [{"user": "", "port": "22"}, {"user": "root", "port": "22"}]


def test_jump_hosts_of_the_configuration_are_followed(reached):
    found = reached("behind")
    first = found.jumps[0]
    assert (first["HostName"], first["Port"], first["User"]) == ("gate.example", 2200, "guard")
    assert found.jumps[1]["HostName"] == "fd00::7"
    assert found.machine.jump == "gate,inner"
    assert found.jumps[0]["identityfile"] == ['"~/.ssh/gate"']


def test_jump_hosts_of_the_inventory_stand_in_place_of_the_configurations(reached, tmp_path):
    found = reached("behind", jump="x.invalid:2201,ops@[fd00::1]:2202", key=tmp_path / "key")
    assert [(jump["HostName"], jump["Port"], jump["User"]) for jump in found.jumps] == [
        ("x.invalid", 2201, "ops"),
        ("fd00::1", 2202, "ops"),
    ]
    assert all(jump["IdentityFile"] == [f'"{tmp_path}/key"'] for jump in found.jumps)
    assert reached("behind", jump="none").jumps == ()
    text = write_config(tmp_path, [found]).read_text()
    first, second = (text.partition(f"Host {name}\n")[2].partition("Host ")[0] for name in ("n0-jump2", "n0-jump"))
    assert "HostName x.invalid" in first
    assert "ProxyJump" not in first
    assert "HostName fd00::1" in second
    assert "ProxyJump n0-jump2" in second


def test_a_jump_host_may_be_an_alias_with_jump_hosts_of_its_own(reached):
    found = reached("10.0.0.4", jump="inner")
    assert [jump["HostName"] for jump in found.jumps] == ["gate.example", "fd00::7"]


def test_a_host_is_no_jump_host_to_itself(tmp_path, monkeypatch):
    (tmp_path / "config").write_text("Host gate\n  HostName 10.0.0.250\nHost *\n  ProxyJump gate\n")
    monkeypatch.setattr(routes, "USERS_OWN", (str(tmp_path / "config"),))
    assert route(Machine("gate"), tmp_path).jumps == ()
    assert [jump["HostName"] for jump in route(Machine("10.0.0.1"), tmp_path).jumps] == ["10.0.0.250"]


def test_keys_of_a_jump_host_are_its_own_too(reached, tmp_path):
    """As with ssh's own -J the jump host is not reached with the machine's key alone."""
    keys = reached("10.0.0.4", jump="gate", key=tmp_path / "key").jumps[0]["IdentityFile"]
    assert keys == [f'"{tmp_path}/key"', '"~/.ssh/gate"']
    asked = reached("10.0.0.4", jump="elsewhere", key=tmp_path / "key", like_ssh=True).jumps[0]
    assert asked["IdentityFile"][0] == f'"{tmp_path}/key"'
    assert '"~/.ssh/id_ed25519"' in asked["IdentityFile"]
    assert "IdentitiesOnly" not in asked


def test_a_command_as_proxy_keeps_the_name_that_the_user_gave(reached):
    assert reached("by-command").settings["ProxyCommand"] == "ssh -W %h:%p --name=by-command --rate=5%% gate"


def test_what_would_disturb_a_run_is_not_taken_over(reached, tmp_path):
    found = reached("talkative")
    text = write_config(tmp_path, [found]).read_text().lower()
    for word in (
        "remotecommand",
        "localforward",
        "/dev/null",
        "localcommand",
        "debug3",
        "forwardagent yes",
        "checking no",
    ):
        assert word not in text
    assert "stricthostkeychecking yes" in text


def test_options_of_an_inventory_are_read_by_ssh(reached, tmp_path):
    found = reached("10.0.0.5", arguments=("-o", "ProxyCommand=nc -X 5 %h %p", "-c", "aes128-ctr"), folder=tmp_path)
    assert found.settings["ProxyCommand"] == "nc -X 5 %h %p"
    assert found.settings["ciphers"] == ["aes128-ctr"]
    found = reached("10.0.0.5", arguments=("-o", "CertificateFile=keys/one"), folder=tmp_path)
    assert found.settings["certificatefile"] == [f'"{tmp_path}/keys/one"']


def test_a_file_of_the_inventory_stands_in_place_of_the_users(reached, tmp_path):
    (tmp_path / "other").write_text("Host behind\n  HostName 10.9.9.9\n")
    found = reached("behind", config=tmp_path / "other")
    assert (found.settings["HostName"], found.jumps) == ("10.9.9.9", ())


@pytest.mark.usefixtures("reached")
def test_a_node_that_was_learned_is_reached_as_its_manager(tmp_path):
    other = learned(Machine("behind"), "[fd00::9]")
    found = route(other, tmp_path)
    assert (found.settings["HostName"], found.machine.user, found.machine.jump) == ("fd00::9", "ops", "gate,inner")
    of_its_own = route(learned(Machine("behind"), "10.0.0.9"), tmp_path)
    assert (of_its_own.machine.port, of_its_own.machine.user) == (2299, "ops")
    through_command = route(learned(Machine("by-command"), "10.0.0.8"), tmp_path)
    assert "ProxyCommand" in through_command.settings
    assert "ProxyCommand" not in route(learned(Machine("by-command"), "behind"), tmp_path).settings


def test_an_address_with_a_zone_is_written_for_ssh(reached):
    assert reached("fe80::1%eth0").settings["HostName"] == "fe80::1%%eth0"


@pytest.mark.parametrize(
    ("address", "said", "message"),
    [
        ("one", {}, "node one: its jump hosts lead in a circle; mend ProxyJump of "),
        (
            "a",
            {"arguments": ("-o", "Foo=1")},
            "node a: the inventory's options of ssh: command-line: line 0: Bad configuration option: foo; mend it",
        ),
        ("a", {"arguments": ("-o", "Port=x")}, "node a: the inventory's options of ssh: "),
    ],
)
def test_what_ssh_makes_nothing_of_is_one_line(reached, address, said, message):
    with pytest.raises(UsageError) as wrong:
        reached(address, **said)
    assert str(wrong.value).startswith(message)
    assert "\n" not in str(wrong.value)


def test_a_mistake_in_the_configuration_is_told_with_its_place(reached, tmp_path):
    with (tmp_path / "config").open("a") as config:
        config.write("Hostt x\n")
    line = CONFIG.count("\n") + 1
    with pytest.raises(UsageError, match=f"the configuration of ssh: {tmp_path}/config.* line {line}: Bad .* hostt"):
        reached("a")


def test_without_ssh_there_is_one_line(reached, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="node a: this machine has no ssh command; install openssh-client"):
        reached("a")


def test_a_jump_host_is_told_by_its_name_or_is_the_last():
    machine = Machine("10.0.0.1", user="ops", jump="a,me@[fd00::1]:2200")
    assert (jump_of(machine).address, jump_of(machine).user, jump_of(machine).port) == ("fd00::1", "me", 2200)
    assert (jump_of(machine, "a").address, jump_of(machine, "a").user, jump_of(machine, "a").port) == ("a", "ops", 22)
