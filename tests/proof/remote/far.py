"""Engines out of reach: each in namespaces of its own, which this module makes and removes.

What plays the engine's machine has a network, a host name and a /run of its own. What plays the user's machine has
another network, with a cable between them. Nothing of either is in this machine's own network.
"""

import contextlib
import datetime
import ipaddress
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmlab.labs.answering import answers, engine_at
from swarmlab.ownership import LABEL
from swarmlab.wait import State, wait

#: The addresses of the two machines, on the cable between them.
ENGINE, USER = "10.99.0.1", "10.99.0.2"
TLS_PORT, SSH_PORT = 2376, 2222
#: An ordinary user that this machine does not know, and the group whose members may use the engine.
PERSON, GROUP = 4242, 4243


@contextlib.contextmanager
def open_folder():
    """Yield a folder that every user may enter, as none of pytest's is: each start of pytest closes them again."""
    with tempfile.TemporaryDirectory(prefix="far-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


class Machine:
    """Namespaces that a process holds."""

    def __init__(self, name: str, *kinds: str) -> None:
        flags = [f"--{kind}" for kind in ("net", "mount", *kinds)]
        own = "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && ip link set lo up && "
        own += f"hostname {name} && " if "uts" in kinds else ""
        command = ["unshare", *flags, "--propagation", "private", "sh", "-c", f"{own} echo up && exec sleep infinity"]
        self.holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self.holder.stdout.readline() == "up\n"
        self.inside = ["nsenter", "-t", str(self.holder.pid), *(f"--{kind}" for kind in ("net", "mount", *kinds))]

    def run(self, *command: object) -> str:
        return subprocess.run(
            [*self.inside, *map(str, command)], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
        ).stdout

    def start(self, *command: object, log: Path) -> subprocess.Popen:
        with log.open("w") as output:
            return subprocess.Popen(
                [*self.inside, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def close(self) -> None:
        self.holder.kill()
        self.holder.wait()


class Far:
    """An engine on a machine of its own, and the machine of its user.

    Attributes:
        folder: holds keys, certificates and logs; others may enter it.
        local: the engine's socket that this machine sees, too.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        self.local = f"unix://{folder}/docker.sock"
        self._stack = contextlib.ExitStack()
        try:
            self.engine = self._machine("faraway")
            self.user = self._machine("laptop", "uts")
            self.engine.run("ip", "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", self._net())
            for machine, name, address in ((self.engine, "far", ENGINE), (self.user, "near", USER)):
                machine.run("ip", "address", "add", f"{address}/24", "dev", name)
                machine.run("ip", "link", "set", name, "up")
            self.engine.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            self.person = self._machine("person")
            show_python(self.person)
            self.tls = Certificates(folder / "tls")
            self._start_engine(data)
            self._start_sshd()
        except BaseException:
            self.close()
            raise

    def _machine(self, name: str, *kinds: str) -> Machine:
        made = Machine(name, *kinds)
        self._stack.callback(made.close)
        return made

    def _net(self) -> str:
        return f"/proc/{self.user.holder.pid}/ns/net"

    def _start_engine(self, data: Path) -> None:
        settings = self.folder / "daemon.json"
        settings.write_text("{}")
        flags = {"data-root": data, "exec-root": "/run/docker", "pidfile": "/run/docker.pid", "config-file": settings}
        hosts = ["unix:///run/docker.sock", self.local, f"tcp://{ENGINE}:{TLS_PORT}"]
        flags |= {f"tls{part}": self.tls.folder / file for part, file in self.tls.server.items()}
        flags |= {"tlsverify": "true", "group": GROUP}
        words = [*(f"--{name}={value}" for name, value in flags.items()), *(f"--host={host}" for host in hosts)]
        log = self.folder / "dockerd.log"
        self._daemon = daemon = self.engine.start("dockerd", *words, log=log)
        self._stack.callback(end, daemon)

        def up() -> State:
            return State(answers(self.local), log.read_text()[-300:], hopeless=daemon.poll() is not None)

        wait(up, "the far engine to answer", deadline=60)

    def _start_sshd(self) -> None:
        assert Path("/usr/sbin/sshd").exists(), "the proof needs sshd: apt-get install openssh-server"
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        public = (self.folder / "host.pub").read_text().split()
        (self.folder / "known").write_text(f"[{ENGINE}]:{SSH_PORT} {public[0]} {public[1]}\n")
        settings = self.folder / "sshd_config"
        settings.write_text(
            f"Port {SSH_PORT}\nListenAddress {ENGINE}\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.folder}/user.pub\nStrictModes no\nPasswordAuthentication no\n"
            f"SetEnv PATH={os.defpath}:/usr/local/bin\n"
        )
        daemon = self.engine.start("/usr/sbin/sshd", "-D", "-e", "-f", settings, log=self.folder / "sshd.log")
        self._stack.callback(end, daemon)
        # The user's own settings of ssh: it takes the home of the user from the system, and not from HOME.
        known = f"UserKnownHostsFile {self.folder}/known\n"
        (self.folder / "ssh_config").write_text(f"IdentityFile {self.folder}/user\nIdentitiesOnly yes\n{known}")
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {self.folder}/ssh_config "$@"\n')
        (self.folder / "bin" / "ssh").chmod(0o755)
        log = self.folder / "sshd.log"
        wait(lambda: "Server listening" in log.read_text(), "the far sshd to listen", deadline=20)

    def home(self) -> Path:
        made = self.folder / "home"
        if not made.exists():
            made.mkdir()
            (made / "cache").mkdir()
            for place in (made, made / "cache"):  # of the ordinary user, and root writes there as well
                os.chown(place, PERSON, PERSON)
        return made

    def client(self):
        return engine_at(self.local, timeout=600)

    def clean(self) -> None:
        """Remove what a proof that was killed has left, as the engine keeps it beside its images."""
        client = self.client()
        filters = {"label": LABEL}
        for one in client.containers.list(all=True, ignore_removed=True):
            one.remove(force=True, v=True)
        for one in client.networks.list(filters=filters):
            one.remove()
        for one in client.volumes.list(filters=filters):
            one.remove(force=True)
        client.close()

    def left(self) -> list[str]:
        """Return what commands have left on the engine, in words."""
        client = self.client()
        try:
            filters = {"label": LABEL}
            found = [
                f"container {one.name} ({one.status})" for one in client.containers.list(all=True, ignore_removed=True)
            ]
            found += [f"network {one.name}" for one in client.networks.list(filters=filters)]
            return [*found, *(f"volume {one.name}" for one in client.volumes.list(filters=filters))]
        finally:
            client.close()

    def environment(self, **own: object) -> dict[str, str]:
        """Return the environment of a command of the user's."""
        kept = {"LANG": "C.UTF-8", "PATH": f"{self.folder}/bin:{os.defpath}:/usr/local/bin:/usr/sbin"}
        fixed = {"HOME": self.home(), "DOCKER_CONFIG": self.home() / ".docker", "PYTHONDONTWRITEBYTECODE": "1"}
        fixed |= {"SWARMLAB_CACHE": self.home() / "cache", "TMPDIR": self.home()}
        return kept | {name: str(value) for name, value in (fixed | own).items()}

    def close(self) -> None:
        self._stack.close()


def as_person(*groups: int) -> list[str]:
    """Return the prefix that runs a command as an ordinary user who is in these groups alone."""
    more = [f"--groups={','.join(map(str, groups))}"] if groups else ["--clear-groups"]
    return ["setpriv", f"--reuid={PERSON}", f"--regid={PERSON}", *more]


def show_python(machine: Machine) -> None:
    """Let everybody on a machine reach this environment's Python, which may be in a home that only its user enters."""
    own = Path(sys.base_prefix)
    closed = [place for place in reversed((own, *own.parents)) if not place.stat().st_mode & 0o001]
    if not closed:
        return
    script = (
        'mkdir /run/python && mount --bind "$1" /run/python && mount -t tmpfs -o mode=755 tmpfs "$2" && '
        'mkdir -p "$1" && mount --bind /run/python "$1"'
    )
    machine.run("sh", "-c", script, "sh", own, closed[0])


class Certificates:
    """An authority, and certificates of an engine and of its client by it, as files with docker's names."""

    #: dockerd's options and their files.
    server: ClassVar = {"cacert": "ca.pem", "cert": "server-cert.pem", "key": "server-key.pem"}

    def __init__(self, folder: Path, *, days: int = 2, begun: int = 0) -> None:
        """Make them.

        Args:
            folder: holds them.
            days: how long the client's one is valid.
            begun: since how many days it is.
        """
        self.folder = folder
        folder.mkdir()
        self._authority, key = None, ec.generate_private_key(ec.SECP256R1())
        self._key = key
        self._authority = self._write("ca.pem", "ca-key.pem", "authority", key, 10, 0)
        self._write(
            "server-cert.pem", "server-key.pem", "faraway", ec.generate_private_key(ec.SECP256R1()), 10, 0, server=True
        )
        self._write("cert.pem", "key.pem", "client", ec.generate_private_key(ec.SECP256R1()), days, begun)

    def _write(self, file, key_file, name, key, days, begun, *, server=False):
        now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1, days=begun)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._authority.subject if self._authority else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=not self._authority, path_length=None), critical=True)
        )
        if self._authority:
            made = made.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if server:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ENGINE))])
            made = made.add_extension(names, critical=False)
        signed = made.sign(self._key, hashes.SHA256())
        (self.folder / file).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        (self.folder / key_file).write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return signed


def end(process: subprocess.Popen) -> None:
    """End a daemon of the proof's, in order."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait()
