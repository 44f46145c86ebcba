"""A host apart for users: a mount namespace with its own /run, /home and lists of users, and an engine of root's in it.

The users exist nowhere else. The engine is Debian's dockerd, at the default socket, in a network namespace of its own.
The users' commands run in that, too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from swarmlab.host import cache_folder, install, process
from swarmlab.paths import ROOT
from swarmlab.wait import wait

#: Each user: its number, whether it is in the group docker, and its line of sudoers.
USERS = {
    "grouped": (21001, True, ""),
    "sudoer": (21002, False, "sudoer ALL=(ALL) NOPASSWD: ALL"),
    "asked": (21003, False, "asked ALL=(ALL) ALL"),
    "powerless": (21004, False, ""),
}
_GROUP = 21000
_NETNS = "rights"
#: The PATH of an ordinary user on Debian, which has no folder of system programs.
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
_SOCKET = "unix:///var/run/docker.sock"


class World:
    """The host apart; `close` removes it.

    Attributes:
        folder: what it is made of.
        data: what its engine keeps.
    """

    def __init__(self) -> None:
        if not shutil.which("sudo"):
            subprocess.run(["apt-get", "-qq", "-y", "install", "sudo"], check=True, capture_output=True)
        if not shutil.which("dockerd"):
            install(["engine"], print)
        self.folder = Path(tempfile.mkdtemp(prefix="swarmlab-rights-"))
        self.folder.chmod(0o755)
        self.data = cache_folder() / "rights"  # its images stay for the next time
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"], start_new_session=True
        )
        here = Path("/proc/self/ns/mnt").readlink()
        wait(lambda: Path(f"/proc/{self._holder.pid}/ns/mnt").readlink() != here, "a mount namespace")
        self._inside("sh", "-euc", self._setup())
        self._start_engine()

    def _setup(self) -> str:
        """Return the script that makes users of the mount namespace alone."""
        folder = self.folder
        for name in ("passwd", "group", "shadow"):
            text = Path("/etc", name).read_text(encoding="utf-8")
            lines = [line for line in text.splitlines() if not line.startswith("docker:")]
            for user, (number, _, _) in USERS.items():
                lines.append(
                    {
                        "passwd": f"{user}:x:{number}:{number}::/home/{user}:/bin/sh",
                        "group": f"{user}:x:{number}:",
                        "shadow": f"{user}:!:20000::::::",
                    }[name]
                )
            if name == "group":
                lines.append(f"docker:x:{_GROUP}:{','.join(user for user, facts in USERS.items() if facts[1])}")
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
            (folder / name).chmod(0o640 if name == "shadow" else 0o644)
        rules = ["Defaults env_reset", "root ALL=(ALL) ALL", *filter(None, (facts[2] for facts in USERS.values()))]
        (folder / "sudoers").write_text("\n".join(rules) + "\n", encoding="utf-8")
        (folder / "sudoers").chmod(0o440)
        # Not the files alone: whoever replaces one of them outside, as apt does, would unmount that here.
        upper = folder / "etc"
        script = [
            f"mkdir {upper}; mount -t tmpfs tmpfs {upper}; mkdir {upper}/upper {upper}/work",
            f"mount -t overlay overlay -o lowerdir=/etc,upperdir={upper}/upper,workdir={upper}/work /etc",
            f"cd {folder}; cp --remove-destination -p passwd group shadow sudoers /etc",
        ]
        script += ["mount -t tmpfs -o mode=755 tmpfs /run", "mount -t tmpfs -o mode=755 tmpfs /home", "mkdir /run/lock"]
        script.append("mount -t tmpfs -o mode=1777 tmpfs /var/tmp")
        for user, (number, _, _) in USERS.items():
            script.append(f"install -d -m 700 -o {number} -g {number} /home/{user} /run/user/{number}")
        if Path(sys.base_prefix).is_relative_to("/root"):  # which is closed to users
            kept = {"python": Path(sys.base_prefix), "cache": cache_folder()}
            kept = {name: place for name, place in kept.items() if place.is_relative_to("/root")}
            script += [f"mkdir -p {folder / name} {place}" for name, place in kept.items()]
            script += [f"mount --bind {place} {folder / name}" for name, place in kept.items()]
            script.append("mount -t tmpfs -o mode=755 tmpfs /root")
            script += [f"mkdir -p {place}; mount --move {folder / name} {place}" for name, place in kept.items()]
        return "\n".join(script)

    def _start_engine(self) -> None:
        apart = ["nsenter", f"--net=/run/netns/{_NETNS}"]
        self._inside("ip", "netns", "add", _NETNS)
        self._inside(*apart, "sh", "-c", "ip link set lo up; sysctl -qw net.ipv4.ip_forward=1")
        flags = [f"--host={_SOCKET}", "--group=docker", f"--data-root={self.data}", "--exec-root=/run/docker"]
        command = self._entering(*apart, "dockerd", *flags, "--pidfile=/run/docker.pid")
        with (self.folder / "dockerd.log").open("w") as log:
            nothing = subprocess.DEVNULL
            self._engine = subprocess.Popen(command, stdin=nothing, stdout=log, stderr=log, start_new_session=True)
        wait(lambda: self.root("docker", "version").returncode == 0, "the engine to answer", deadline=60)

    def close(self) -> None:
        """Remove the host: the labs' containers go with their engine's data."""
        listed = self.root("docker", "ps", "-aq").stdout.split()
        if listed:
            self.root("docker", "rm", "-fv", *listed)
        self._engine.terminate()
        self._engine.wait(timeout=60)
        self._inside("ip", "netns", "delete", _NETNS)
        self._inside("sh", "-c", f"grep -o '{self.data}[^ ]*' /proc/mounts | sort -r | xargs -r umount -l")
        self._holder.kill()
        self._holder.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _entering(self, *command: str) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={ROOT}", *command]

    def _inside(self, *command: str) -> None:
        subprocess.run(self._entering(*command), check=True, capture_output=True)

    def root(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as root there, in the network namespace from which packages are downloaded."""
        environment = {**os.environ, "DOCKER_HOST": _SOCKET, "SWARMLAB_PRIVATE": "0"}
        return subprocess.run(self._entering(*command), capture_output=True, text=True, env=environment, check=False)

    def prefix(self, user: str, more: Mapping[str, str] | None = None) -> list[str]:
        """Return the prefix that runs a command as a user who has logged in there."""
        number = USERS[user][0]
        known = {"HOME": f"/home/{user}", "USER": user, "PATH": _PATH, "XDG_RUNTIME_DIR": f"/run/user/{number}"}
        environment = [f"{key}={value}" for key, value in {**known, **(more or {})}.items()]
        rights = [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return self._entering("nsenter", f"--net=/run/netns/{_NETNS}", "setpriv", *rights, "env", "-i", *environment)

    def swarmlab(self, user: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run swarmlab as a user; it has nobody to ask."""
        command = [*self.prefix(user, more), sys.executable, "-m", "swarmlab", *words]
        print("$", user, *words)
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900, check=False
        )
        print(done.stdout[-2000:], done.stderr[-2000:], done.returncode)
        return done

    def started(self) -> str | None:
        """Return when the engine was started; None if it has ended."""
        found = process(self._engine.pid)
        return found.started if found else None


def passages() -> list[int]:
    """Return the numbers of the programs of root's that pass connections on to the engine."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        known = process(int(place.name))
        if known and any(word.endswith("labs/passage.py") for word in known.arguments):
            found.append(known.pid)
    return found
