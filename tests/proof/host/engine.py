"""Engines as hosts have them: with settings of their own, in a network namespace that stands for a host."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from swarmlab.host import cache_folder
from swarmlab.labs.answering import answers
from swarmlab.paths import ROOT
from swarmlab.wait import State, wait


class HostEngine:
    """An engine that runs in a namespace of its own.

    Attributes:
        url: its address.
        folder: its settings, log and sockets.
        namespace: the network namespace, as nsenter takes it.
    """

    def __init__(self, folder):
        self.url = f"unix://{folder}/docker.sock"
        self.folder = folder
        self.namespace = f"--net=/run/netns/{folder.name}"

    def inside(self, script):
        """Run a shell script in the namespace, and return what it prints."""
        done = subprocess.run(["nsenter", self.namespace, "sh", "-ec", script], capture_output=True, text=True)
        assert done.returncode == 0, f"{script}: {done.stderr}"
        return done.stdout

    def environment(self, **more):
        """Return the environment of a user of the engine."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "SWARMLAB_PRIVATE"))}
        return {**clean, "DOCKER_HOST": self.url, **more}

    def run(self, *words, user=None, timeout=1800, **environment):
        """Run a module of Python that uses the engine, and return how it ended.

        Args:
            words: the module and its arguments.
            user: number of the user; root by default. Another cannot enter the namespace, and so begins in it.
            timeout: seconds that it may take.
            environment: further variables.
        """
        command = [sys.executable, "-m", *words]
        if user:
            command = [
                "nsenter",
                self.namespace,
                "setpriv",
                f"--reuid={user}",
                f"--regid={user}",
                "--clear-groups",
                *command,
            ]
        own = self.environment(**environment)
        done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=timeout)
        print(f"{shlex.join(words)}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done

    def docker(self, *words):
        """Run docker on the engine, and return what it prints."""
        done = subprocess.run(["docker", "-H", self.url, *words], capture_output=True, text=True)
        assert done.returncode == 0, f"docker {shlex.join(words)}: {done.stderr}"
        return done.stdout


@contextlib.contextmanager
def engine(settings=None, *, data=None, before="true", files=None):
    """Start an engine, and end it with all that it leaves but its images.

    Args:
        settings: its daemon.json.
        data: its data root; by default one that these proofs share and keep in the cache.
        before: a shell script that makes the host what it is to be, in its namespace.
        files: texts of files that the engine has in the place of those of this machine, by path.
    """
    data = data or cache_folder() / "proof-host"
    data.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="swc-", dir="/run"))
    made = HostEngine(folder)
    subprocess.run(["ip", "netns", "add", folder.name], check=True)
    daemon = None
    try:
        made.inside(f"ip link set lo up; {before}")
        (folder / "daemon.json").write_text(json.dumps(settings or {}))
        flags = {"host": made.url, "data-root": data, "exec-root": folder / "exec", "pidfile": folder / "pid"}
        flags["config-file"] = folder / "daemon.json"
        binds = []
        for number, (place, text) in enumerate((files or {}).items()):
            (folder / f"file{number}").write_text(text)
            binds.append(f"mount --bind {folder / f'file{number}'} {place}")
        command = ["nsenter", made.namespace, *(["unshare", "--mount"] if binds else []), "sh", "-ec"]
        script = "; ".join(
            [*binds, shlex.join(["exec", "dockerd", *(f"--{name}={value}" for name, value in flags.items())])]
        )
        with (folder / "log").open("w") as log:
            daemon = subprocess.Popen(
                [*command, script], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

        def started():
            said = (folder / "log").read_text().strip().splitlines()[-5:]
            return State(answers(made.url), "; ".join(said), hopeless=daemon.poll() is not None)

        wait(started, "the engine of the host to answer", deadline=60)
        yield made
    finally:
        if daemon:
            daemon.terminate()
            daemon.wait(60)
        _unmount(folder, data)
        subprocess.run(["ip", "netns", "delete", folder.name], check=True)
        for left in folder.parent.glob(f"{folder.name}*"):  # an engine that maps users has some beside its own
            shutil.rmtree(left, ignore_errors=True)


def _unmount(*folders):
    places = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed(places):
        if any(place != folder and place.is_relative_to(folder) for folder in folders):
            subprocess.run(["umount", "--lazy", place], capture_output=True)
