"""1.3.2: the group docker, and which users may use the daemon."""

import re
import shlex

import pytest

from fixtures.claims import claim
from fixtures.cluster import on_every_node
from suites.support.accounts import throwaway
from suites.support.commands import last
from suites.support.listening import besides_the_swarm, engine_answers
from swarmlab.cluster.marks import PREFIX
from swarmlab.errors import Blocked, LabError
from swarmlab.parallel import parallel
from swarmlab.wait import scaled

pytestmark = on_every_node

SOCKET = "/var/run/docker.sock"
#: Prints the engine's own id, which shows that the engine of this machine answered.
ASK = "info --format {{.ID}}"


@pytest.fixture
def outsider(node):
    """A throw-away user who is only in the group of the same name."""
    with throwaway(node) as name:
        yield name


@pytest.fixture
def member(node, user):
    """A throw-away user who is in the group docker and the group of the same name."""
    expect_group(node, user)
    with throwaway(node) as name:
        join(node, name)
        yield name


@claim("1.3.2/docker-group")
def test_group_docker_exists_and_the_cluster_user_is_in_it(node, user):
    assert node.host.group("docker").exists, f"{node} has no group docker"
    assert node.host.user(user).exists, f"{node} has no user {user}"
    groups = node.host.user(user).groups
    assert "docker" in groups, f"{user} of {node} is in {', '.join(groups)}, and not in docker"


@claim("1.3.2/member-reaches-daemon")
def test_members_use_the_daemon_without_sudo(node, member, user):
    for one in (member, user) if user else (member,):
        asked = node.docker("ps", user=one)
        assert asked.ok, f"{who(node, one)} may not use the daemon: {last(asked)}"
        asked = node.docker(ASK, user=one)
        own = node.info()["ID"] in asked.out.split()
        assert own, f"{who(node, one)} uses another daemon than the node's: {last(asked)}"


@claim("1.3.2/non-member-denied")
def test_nobody_outside_the_group_uses_the_daemon(cluster, node, outsider, user, lab):
    denied = denial(node, outsider)
    assert not denied, f"{who(node, outsider)} {denied}"
    listening = sockets(node)
    assert SOCKET in listening, f"the engine of {node} does not listen on {SOCKET}"
    # The owner of a swarm that others use lets in whom he likes, by the group.
    owner = user if user and not lab.standing else ""
    inside = {*administrators(node), *([owner] if owner else members(node))}
    may = {one: places for one, places in openers(node, listening).items() if one not in inside}
    users = "; ".join(f"{who(node, one)} may open {' and '.join(places)}" for one, places in may.items())
    assert not may, f"users other than {owner or 'members of the group'} may use the daemon: {users}"
    # What answers at ports of the swarm is no engine, and may be a service of others, which the suite does not ask.
    places = besides_the_swarm(cluster, node, tcp_sockets(node))
    served = parallel(lambda place: engine_answers(node, place, outsider), places, at_once=5)
    open_to_all = [place for place, serving in zip(places, served, strict=True) if serving]
    assert not open_to_all, f"{who(node, outsider)} uses the daemon by TCP, at {' and '.join(open_to_all)}"


@claim("1.3.2/membership-needs-new-session")
def test_membership_takes_effect_in_a_new_session(node, bench, outsider, user):
    expect_group(node, user)
    session = Session(node, bench, outsider)
    code, output = session.run("docker ps")
    assert refused(code, output), f"before {outsider} of {node} is a member, docker prints: {output}"
    join(node, outsider)
    code, output = session.run("docker ps")
    assert refused(code, output), f"a running session on {node} gets the new membership: {output}"

    engine = node.info()["ID"]
    if node.host.exists("newgrp"):  # a program that not every release brings
        _, output = session.run(f"echo 'docker {ASK}' | newgrp docker")
        assert engine in output.split(), f"on {node}, newgrp docker does not put the new membership in force: {output}"
    asked = node.docker(ASK, user=outsider)
    assert engine in asked.out.split(), f"on {node}, a new login does not have the new membership: {last(asked)}"


def expect_group(node, user):
    """See that the engine's socket is of the group docker, unless the lab declares that.

    Raises:
        Blocked: the owner has given it to another group.
    """
    group = node.run(f"stat -Lc %G {SOCKET}").out.strip()
    if not user and group != "docker":
        raise Blocked(f"the socket of the engine of {node} is of the group {group or 'of none'}, not of docker")


def members(node):
    """Return the users of the engine's socket's group, also those whose own group it is."""
    group = node.run(f"stat -Lc %G {SOCKET}").out.strip()
    number = node.run(f"getent group {group} | cut -d: -f3").out.strip()
    primary = node.run(f"getent passwd | awk -F: -v g={number or -1} '$4 == g {{ print $1 }}'").out.split()
    return [*node.run(f"getent group {group} | cut -d: -f4").out.strip().split(","), *primary]


def administrators(node):
    """Return the users that are root, by whatever name."""
    return node.run("getent passwd | awk -F: '$3 == 0 { print $1 }'").out.split()


def join(node, user):
    """Add a user to the group docker."""
    node.run(f"usermod -aG docker {user}").expect(f"usermod -aG docker on {node}", error=AssertionError)


def who(node, user):
    """Return a user with his groups, for messages."""
    return f"{user} of {node} (in group {node.run(f'id -nG {user}').out.strip()})"


def refused(code, output):
    """Whether a docker command failed with 'permission denied'."""
    return code != 0 and "permission denied" in output.lower()


def denial(node, user):
    """Return what happens instead of 'permission denied' when a user runs docker; empty if the user is denied."""
    # First see that the user may run the command itself: else it would be the file that is denied.
    program = node.docker("--version", user=user)
    if not program.ok:
        raise LabError(f"{user} of {node} cannot run the docker command: {last(program)}")
    asked = node.docker("ps", user=user)
    if asked.ok:
        return f"uses the daemon: {last(asked)}"
    output = asked.output.replace("\n", " ")
    return "" if refused(asked.code, output) else f"gets no 'permission denied', but: {output}"


def listeners(node, family):
    """Return the words of each line that ss prints of what the engine listens on, by ss's letters for the family."""
    listed = node.run(f"ss -Hl{family}p 2>/dev/null || ss -l{family}p").out.splitlines()
    return [line.split() for line in listed if '"dockerd"' in line]


def sockets(node):
    """Return the paths of the unix sockets that the engine listens on."""
    paths = {word for words in listeners(node, "x") for word in words if word.startswith("/")}
    return sorted({SOCKET if path == SOCKET.replace("/var", "", 1) else path for path in paths})


def tcp_sockets(node):
    """Return the addresses, each with its port, at which the engine listens by TCP for whatever purpose."""
    bound = {words[3] for words in listeners(node, "nt")}
    # Old releases of ss write IPv6 without brackets.
    return sorted(re.sub(r"^(\*|0\.0\.0\.0|\[::\]|::):", "127.0.0.1:", place) for place in bound)


def openers(node, paths):
    """Return those of *paths* that the machine's users may open, by user; the kernel is asked as each of them."""
    # Not with su, as PAM refuses expired accounts, whose processes may still run; setpriv is not on every node.
    if not node.run("chroot --userspec 0:0 --groups 0 / true").ok:
        raise Blocked(f"{node} has no chroot that runs a program as another user: BusyBox's does not")
    as_user = 'chroot --userspec $(id -u "$user"):$(id -g "$user") --groups $(id -G "$user" | tr " " ,) /'
    look = f"echo may $0; for path in {' '.join(paths)}; do [ ! -w $path ] || echo $path; done"
    users = f"$(getent passwd | cut -d : -f 1 | grep -v '^{PREFIX}')"
    listed = node.run(f"for user in {users}; do {as_user} sh -c '{look}' \"$user\" | xargs || exit; done")
    rows = [line.split() for line in listed.out.splitlines()]
    may = {user: places for _, user, *places in rows}
    unasked = set(node.run(f"echo {users}").out.split()) - set(may)
    if unasked or not may.get("root"):
        raise LabError(f"{node} does not list what {', '.join(unasked) or 'root'} may open: {listed.output[-200:]}")
    return {user: places for user, places in may.items() if places}


class Session:
    """A login shell of a user, which runs on while the account is changed."""

    def __init__(self, node, bench, user):
        self._node = node
        self._at = bench.folder()
        for pipe in ("in", "out"):
            bench.shell(f"mkfifo -m 600 {self._at}/{pipe} && chown {user} {self._at}/{pipe}")
        # The pipe is open to read and write, so that it never ends; the session ends when its user is removed.
        bench.shell(f"setsid su - {user} -c 'exec sh' <>{self._at}/in >/dev/null 2>&1 &")

    def run(self, command):
        """Run a command in the session. Return its exit code and its output."""
        line = f"{{ ({command}) </dev/null 2>&1; code=$?; echo; echo $code; }} >{self._at}/out"
        limit = f"timeout {scaled(30):.0f}"
        done = self._node.run(f"echo {shlex.quote(line)} >{self._at}/in; {limit} cat {self._at}/out")
        if not done.ok:
            raise LabError(f"a session on {self._node} does not answer")
        *output, code = done.out.strip().splitlines()
        return int(code), " ".join(" ".join(output).split())
