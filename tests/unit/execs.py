"""A double of the outer engine, which runs what it would run in a container on this machine."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading

import docker

PLACES = {"PATH": os.environ["PATH"], "GIVEN": "by the container"}


class Outer:
    """Starts what the engine would start in a container on this machine, and passes on what it prints as it would."""

    def __init__(self):
        self.id, self.name, self.client, self.api = "4f", "swarmlab-run-1-0-slave01", self, self
        self.started = []
        self.state = {"Running": True, "Paused": False, "Status": "running"}
        self.refusal = ""

    def exec_create(self, container, command, *, stdin, user="root"):
        assert (container, user) == (self.id, "root")
        assert stdin
        if self.refusal:
            raise docker.errors.APIError("409", explanation=self.refusal)
        return {"Id": command}

    def exec_start(self, command, *, socket):
        assert socket
        ours, theirs = _pair()
        assert command[0] == "python3"
        process = subprocess.Popen(
            [sys.executable, *command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=PLACES,
            cwd="/",
            umask=0o022,
        )
        self.started.append(process)
        threading.Thread(target=_pass_in, args=(theirs, process), daemon=True).start()
        both = [threading.Thread(target=_pass_out, args=(theirs, 1, process.stdout))]
        both += [threading.Thread(target=_pass_out, args=(theirs, 2, process.stderr))]
        for thread in both:
            thread.start()
        threading.Thread(target=_hang_up, args=(theirs, both), daemon=True).start()
        return ours

    def inspect_container(self, container):
        assert container == self.id
        return {"State": self.state}


def _pair():
    return socket.socketpair()


def _pass_in(theirs, process):
    with contextlib.suppress(ConnectionError), process.stdin as into:  # closing it writes what is left
        while block := theirs.recv(65536):
            into.write(block)
            into.flush()


def _pass_out(theirs, stream, pipe):
    while block := os.read(pipe.fileno(), 3000):  # in small pieces, which the connection joins and cuts
        with contextlib.suppress(BrokenPipeError):
            theirs.sendall(struct.pack(">BxxxI", stream, len(block)) + block)


def _hang_up(theirs, threads):
    for thread in threads:
        thread.join()
    theirs.shutdown(socket.SHUT_RDWR)
    theirs.close()
