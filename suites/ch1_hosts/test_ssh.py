"""1.2: SSH without passwords, with keys of the cluster user."""

import re
import secrets
from dataclasses import dataclass
from functools import partial

import pytest

from fixtures.claims import claim
from fixtures.cluster import on_every_node
from suites.support.accounts import NO_QUESTIONS, ssh_port, throwaway
from suites.support.commands import last
from swarmlab.cluster.node import Node
from swarmlab.errors import Blocked, LabError
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, scaled

pytestmark = on_every_node
#: Where sshd listens if the loopback address is among it, as `Node.listening` has it.
_LOCAL = {"*", "0.0.0.0", "::", "127.0.0.1"}
_REFUSED = re.compile(r"Permission denied \(([^)]*)\)")


@dataclass(frozen=True)
class Login:
    """The outcome of an attempt to log in.

    Attributes:
        inside: user name and host name inside; empty if not let in.
        methods: the methods that sshd offered when it refused; empty if it did not.
        output: the last line of ssh's output.
    """

    inside: tuple[str, ...]
    methods: frozenset[str]
    output: str

    @property
    def answered(self):
        """Whether sshd let the user in or refused; false if it was not reached."""
        return bool(self.inside or self.methods)


def ssh(source, destination, *, options="", user=None):
    """Log in from *source* to *destination* without a terminal.

    Args:
        source: the node to log in from.
        destination: ssh's destination.
        options: further options of ssh.
        user: the user of *source* who runs ssh; root if None.
    """
    limit = f"-o ConnectTimeout={scaled(10):.0f}"
    done = source.run(f"ssh {NO_QUESTIONS} {limit} {options} {destination} 'id -un; uname -n' </dev/null", user=user)
    refused = _REFUSED.search(done.err)
    methods = frozenset(refused[1].split(",")) if refused else frozenset()
    return Login(tuple(done.out.split()[-2:]) if done.ok else (), methods, last(done))


def by_cluster_user(source, destination, user, port):
    """`ssh` as the cluster user, with his key."""
    return ssh(source, destination, options=f"-p {port} -o PreferredAuthentications=publickey", user=user)


def hostname(node):
    return node.run("uname -n").out.strip()


@pytest.fixture
def home(node, user):
    """The cluster user's home on the node."""
    assert node.host.user(user).exists, f"{node} has no user {user}"
    return node.host.user(user).home


@claim("1.2/key-pair")
def test_cluster_user_has_an_rsa_key_pair(node, home, user):
    public = node.run(f"cat {home}/.ssh/id_rsa.pub").out.split()[:2]
    assert public[:1] == ["ssh-rsa"], f"~{user}/.ssh/id_rsa.pub of {node} holds {public[:1] or 'nothing'}, no RSA key"
    # Derive the public key from the private one as its owner: the private key is never shown.
    derived = node.run(f"ssh-keygen -y -P '' -f {home}/.ssh/id_rsa", user=user)
    assert derived.ok, f"{user} of {node} cannot use the private key ~/.ssh/id_rsa: {last(derived)}"
    fits = len(public) == 2 and " ".join(public) in derived.out  # a login shell may greet before
    assert fits, f"~{user}/.ssh/id_rsa of {node} is not the private key of ~{user}/.ssh/id_rsa.pub"


@claim("1.2/ssh-localhost")
def test_cluster_user_logs_in_to_localhost_by_key(node, user):
    came = by_cluster_user(node, "localhost", user, ssh_port(node))
    assert came.inside == (user, hostname(node)), f"{user} of {node} is not let in on localhost: {came.output}"


@claim("1.2/ssh-mesh")
def test_cluster_user_logs_in_everywhere_from_everywhere_by_key(cluster, user):
    names = dict(zip(cluster.nodes, parallel(hostname, cluster.nodes), strict=True))
    ports = dict(zip(cluster.nodes, parallel(ssh_port, cluster.nodes), strict=True))

    def shut_out_from(source):
        for target in cluster.nodes:
            came = by_cluster_user(source, target.address, user, ports[target])
            if came.inside != (user, names[target]):
                what = f"let in as {' on '.join(came.inside)}" if came.inside else came.output
                yield f"{source} to {target}, whose {modes(target, user)}: {what}"

    # Each node asks for one login at a time: sshd refuses some of many that have just begun (MaxStartups).
    found = parallel(lambda source: list(shut_out_from(source)), cluster.nodes, at_once=5)
    shut = [line for lines in found for line in lines]
    assert not shut, f"{user} is not let in by key from {few(shut, '; ')}"


@claim("1.2/ssh-directory-mode")
def test_ssh_directory_has_mode_0700(node, home, user):
    folder = node.host.file(f"{home}/.ssh")
    assert folder.is_directory, f"{node} has no folder ~{user}/.ssh"
    assert folder.user == user, f"~{user}/.ssh of {node} belongs to {folder.user}"
    assert folder.mode == 0o700, f"~{user}/.ssh of {node} has mode {folder.mode:04o}, not 0700"


@claim("1.2/authorized-keys-mode")
def test_authorized_keys_has_mode_0600(node, home, user):
    keys = node.host.file(f"{home}/.ssh/authorized_keys")
    assert keys.is_file, f"{node} has no file ~{user}/.ssh/authorized_keys"
    assert keys.user == user, f"~{user}/.ssh/authorized_keys of {node} belongs to {keys.user}"
    assert keys.mode == 0o600, f"~{user}/.ssh/authorized_keys of {node} has mode {keys.mode:04o}, not 0600"


@claim("1.2/unlisted-key-refused")
def test_unlisted_key_is_refused_and_no_password_is_asked_for(cluster, node, user):
    for source in cluster.sample:
        place = cluster.bench(source)
        try:
            came = decided(node, partial(with_key, source, node.address, ssh_port(node), user, key_pair(place)))
        finally:
            place.clear()
        assert not came.inside, f"{node} let a key of {source} in as {user} that is not in its authorized_keys"
        asked = came.methods & {"password", "keyboard-interactive"}
        assert not asked, f"{node} refused a key of {source}, and then asks for a password ({', '.join(sorted(asked))})"


@dataclass(frozen=True)
class Guest:
    """A throw-away user of a node, with the key of a stranger in authorized_keys.

    Attributes:
        node: the machine.
        name: the user's name.
        key: path of the private key of the user, which is not listed.
        stranger: path of the private key that is listed.
        port: the port of the machine's sshd.
    """

    node: Node
    name: str
    key: str
    stranger: str
    port: int

    def login(self, key):
        """Log in with this key."""
        # From a new address each time: newer servers shut an address out for a while after several failures.
        origin = ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])
        return decided(self.node, partial(with_key, self.node, "127.0.0.1", self.port, self.name, key, f"-b {origin}"))

    def edit(self, command):
        """Run a command in the user's ~/.ssh, which must succeed."""
        done = self.node.run(f"cd ~/.ssh && {command}", user=self.name)
        done.expect(f"{command} in ~{self.name}/.ssh on {self.node}", error=AssertionError)


@pytest.fixture
def guest(node, bench):
    """A guest on the node.

    Raises:
        Blocked: sshd lets only certain users in, or does not listen on the loopback address.
    """
    chosen = [line for line in settings(node) if line.split()[0] in ("allowusers", "allowgroups")]
    if chosen:
        raise Blocked(f"sshd of {node} lets nobody in but {'; '.join(chosen)}, so that no other user can be tried")
    port = ssh_port(node)
    heard = node.listening(port)
    if heard and not heard & _LOCAL:
        raise Blocked(
            f"sshd of {node} listens on {few(sorted(heard))} only, and a user is tried on its loopback address"
        )
    with throwaway(node) as name:
        guest = Guest(node, name, key_pair(bench), key_pair(bench), port)
        bench.shell(
            f"install -m 644 {guest.key}.pub ~{name}/key.pub; install -m 644 {guest.stranger}.pub ~{name}/other"
        )
        made = node.run(
            "mkdir -m 700 .ssh && cp other .ssh/authorized_keys && chmod 600 .ssh/authorized_keys"
            " && if command -v restorecon; then restorecon -R .ssh; fi",
            user=name,
        )
        assert made.ok, f"{name} of {node} could not make ~/.ssh: {made.output}"
        yield guest


@claim("1.2/appending-grants")
def test_appending_a_key_lets_its_owner_in_and_removing_it_locks_out(guest):
    node = guest.node
    came = guest.login(guest.key)
    assert not came.inside, f"{node} let a key in that was not in authorized_keys yet"

    guest.edit("cat ../key.pub >> authorized_keys")
    came = guest.login(guest.key)
    inside = (guest.name, hostname(node))
    assert came.inside == inside, f"a key was appended to authorized_keys of {node}, and is not let in: {came.output}"
    came = guest.login(guest.stranger)
    assert came.inside == inside, f"with another key appended, {node} no longer lets the first in: {came.output}"

    guest.edit("cp ../other authorized_keys")
    came = guest.login(guest.key)
    assert not came.inside, f"a key was removed from authorized_keys of {node}, and is still let in"
    came = guest.login(guest.stranger)
    assert came.inside == inside, f"with another key removed, {node} no longer lets the first in: {came.output}"


@claim("1.2/loose-mode-refused")
def test_group_writable_ssh_directory_makes_key_login_fail(guest):
    node = guest.node
    about = f"user={guest.name},host={hostname(node)},addr=127.0.0.1"
    strict = "strictmodes yes" in settings(node, f"-C {about}")
    inside = (guest.name, hostname(node))

    came = guest.login(guest.stranger)
    assert came.inside == inside, f"with ~/.ssh at 0700, {node} does not let a listed key in: {came.output}"
    # Debian's sshd accepts a group-writable folder whose group has no other member, so give it to another group.
    node.run(f"chgrp users ~{guest.name}/.ssh").expect(f"chgrp on {node}", error=AssertionError)
    guest.edit("chmod 770 .")
    came = guest.login(guest.stranger)
    if strict:
        assert not came.inside, f"sshd of {node} is set to check modes, and let a key in with ~/.ssh group-writable"
    else:
        assert came.inside == inside, f"sshd of {node} does not check modes, and let no key in: {came.output}"
    guest.edit("chmod 700 .")
    came = guest.login(guest.stranger)
    assert came.inside == inside, f"with ~/.ssh at 0700 again, {node} does not let a listed key in: {came.output}"


def settings(node, about=""):
    """Return the lines of ``sshd -T`` in small letters, as releases differ in capitals.

    Args:
        node: the node.
        about: options that choose a connection.

    Raises:
        LabError: sshd does not print them.
    """
    printed = node.run(f"sshd -T {about}")
    lines = printed.out.lower().splitlines()
    if not any(line.startswith("strictmodes ") for line in lines):
        raise LabError(f"sshd of {node} does not print its settings: {last(printed)}")
    return [line for line in lines if line.strip()]


def key_pair(place):
    """Make a key pair on a workbench, and return the path of the private key."""
    folder = place.folder()
    place.shell(f"ssh-keygen -q -t ed25519 -N '' -f {folder}/key")
    return f"{folder}/key"


def with_key(source, address, port, user, key, options=""):
    """Log in from *source* with this key and no other."""
    options = f"-F /dev/null -p {port} -i {key} -o IdentitiesOnly=yes {options}"
    return ssh(source, f"{user}@{address}", options=options)


def decided(node, attempt):
    """Return the login that *attempt* makes; it is made again until sshd of the node lets it in or refuses it."""
    tried = []

    def answered():
        tried.append(attempt())
        return State(tried[-1].answered, tried[-1].output)

    eventually(answered, f"sshd of {node} to let a key in or refuse it", deadline=60, every=2)
    return tried[-1]


def modes(node, user):
    """Return the mode of ~/.ssh, which sshd checks before it checks keys, for messages."""
    found = node.run(f"cd ~{user} && stat -c '%n %04a' . .ssh .ssh/authorized_keys").out.split()
    return f"~/.ssh has mode {dict(zip(found[::2], found[1::2], strict=False)).get('.ssh', 'unknown')}"
