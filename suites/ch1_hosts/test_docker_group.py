"""1.3.2: the group docker: who uses the daemon, and who does not."""

import json

import pytest

from fixtures.claims import claim
from suites.ch1_hosts.accounts import last, throwaway
from swarmlab.errors import LabError
from swarmlab.provision import USER
from swarmlab.wait import scaled
from swarmlab.workbench import PREFIX

SOCKET = "/var/run/docker.sock"
#: Prints the engine's own id, so that it was the engine of this machine that answered.
ASK = "info --format '{{ .ID }}'"


@pytest.fixture
def outsider(node):
    """A throw-away user who is in no group but his own."""
    with throwaway(node) as name:
        yield name


@pytest.fixture
def member(node):
    """A throw-away user who is in the group docker, and in no other but his own."""
    with throwaway(node) as name:
        join(node, name)
        yield name


@claim("1.3.2/docker-group")
def test_group_docker_exists_and_the_cluster_user_is_in_it(node):
    assert node.host.group("docker").exists, f"{node} has no group docker"
    assert node.host.user(USER).exists, f"{node} has no user {USER}"
    groups = node.host.user(USER).groups
    assert "docker" in groups, f"{USER} of {node} is in {', '.join(groups)}, and not in docker"


@claim("1.3.2/member-reaches-daemon")
def test_members_use_the_daemon_without_sudo(node, member):
    for user in (member, USER):
        asked = node.docker(ASK, user=user)
        answered = asked.ok and asked.out.strip() == node.info()["ID"]
        assert answered, f"{who(node, user)} is not let use the daemon: {last(asked)}"


@claim("1.3.2/non-member-denied")
def test_nobody_outside_the_group_uses_the_daemon(node, outsider):
    denied = denial(node, outsider)
    assert not denied, f"{who(node, outsider)} {denied}"
    listening = sockets(node)
    assert SOCKET in listening, f"the engine of {node} does not listen on {SOCKET}"
    may = {user: places for user, places in openers(node, listening).items() if user not in ("root", USER)}
    told = "; ".join(f"{who(node, user)}, may open {' and '.join(places)}" for user, places in may.items())
    assert not may, f"others than {USER} use the daemon: {told}"


@claim("1.3.2/membership-needs-new-session")
def test_membership_takes_effect_in_a_new_session(node, bench, outsider):
    session = Session(node, bench, outsider)
    code, said = session.run(f"docker {ASK}")
    assert code and "permission denied" in said.lower(), f"before {outsider} of {node} is a member he is told: {said}"
    join(node, outsider)
    code, said = session.run(f"docker {ASK}")
    still = code and "permission denied" in said.lower()
    assert still, f"a running session on {node} is let use the daemon by a membership that was added to it: {said}"

    engine = node.info()["ID"]
    code, said = session.run(f"echo 'docker {ASK}' | newgrp docker")
    assert engine in said.split(), f"on {node}, newgrp docker does not put the new membership in force: {said}"
    asked = node.docker(ASK, user=outsider)
    assert engine in asked.out.split(), f"on {node}, a new login does not have the new membership: {last(asked)}"


def join(node, user):
    joined = node.run(f"usermod -aG docker {user}")
    assert joined.ok, f"usermod -aG docker failed on {node}: {joined.said}"


def who(node, user):
    return f"{user} of {node}, in group {node.run(f'id -nG {user}').out.strip()}"


def denial(node, user):
    """What was other than a 'permission denied' on the socket when a user used the daemon; empty if nothing."""
    # That the command itself can be run is seen first: its file might be what he has no permission for.
    program = node.docker("--version", user=user)
    if not program.ok:
        raise LabError(f"{user} of {node} cannot run the docker command: {last(program)}")
    asked = node.docker("ps", user=user)
    if asked.ok:
        return f"uses the daemon: {last(asked)}"
    words = asked.said.replace("\n", " ")
    return "" if "permission denied" in words.lower() else f"is not told 'permission denied', but: {words}"


def sockets(node):
    """The unix sockets that the engine listens on."""
    listed = node.run("ss -Hlxp 2>/dev/null || ss -lxp").out.splitlines()
    paths = {word for line in listed if '"dockerd"' in line for word in line.split() if word.startswith("/")}
    return sorted({SOCKET if path == SOCKET.replace("/var", "", 1) else path for path in paths})


def openers(node, paths):
    """By user of the machine, those of *paths* that he may open; as the kernel tells when asked as that user."""
    look = f"for path in {' '.join(paths)}; do [ -w $path ] && echo may $path; done"
    each = f'su -s /bin/sh "$user" -c "{look.replace("$", chr(92) + "$")}" </dev/null | sed "s/^may/may $user/"'
    told = node.run(
        f"for user in $(getent passwd | cut -d : -f 1 | grep -v '^{PREFIX}'); do echo as $user; {each}; done"
    )
    may = {}
    for line in told.out.splitlines():
        if line.startswith("may "):
            _, user, path = line.split()
            may.setdefault(user, []).append(path)
    if "root" not in may:
        raise LabError(f"{node} does not tell who may open {' and '.join(paths)}: {told.said[-200:]}")
    return may


class Session:
    """A login shell of a user that runs on while others do something to his account."""

    def __init__(self, node, bench, user):
        self._node = node
        self._at = bench.folder()
        for pipe in ("in", "out"):
            bench.shell(f"mkfifo -m 600 {self._at}/{pipe} && chown {user} {self._at}/{pipe}")
        # Opened to read and write, the pipe never ends; the session does when its user is removed.
        bench.shell(f"setsid su - {user} -c 'exec sh' <>{self._at}/in >/dev/null 2>&1 &")

    def run(self, command):
        """The exit code of a command that the session runs, and what it said."""
        line = f"{{ ({command}) </dev/null 2>&1; echo; echo $?; }} >{self._at}/out"
        limit = f"timeout {scaled(30):.0f}"
        done = self._node.run(f"printf '%s\\n' {json.dumps(line)} >{self._at}/in; {limit} cat {self._at}/out")
        if not done.ok:
            raise LabError(f"a session on {self._node} does not answer")
        *said, code = done.out.strip().splitlines()
        return int(code), " ".join(" ".join(said).split())
