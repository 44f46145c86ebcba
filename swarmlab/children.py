"""Commands that a run starts on this machine and that may make something: they end before the run does.

Each has a session of its own, so that a terminal's Ctrl-C reaches the run alone, which ends them in order. If the run
is killed outright, a shell ends them that reads a pipe of the run's: the pipe closes with the run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from swarmlab import signals

#: Seconds that a command has to end after SIGTERM: a run of pytest takes its labs down meanwhile.
PATIENCE = 300.0

#: Reads "add GROUP", "root GROUP" and "del GROUP". Ends the groups that are left when its input ends, root's through
#: sudo. To end commands alone would not do: mmdebstrap waits for its own commands.
_GUARD = """
live=
while read -r verb group; do
    left=
    for one in $live; do [ "${one#r}" = "$group" ] || left="$left $one"; done
    live=$left
    case $verb in add) live="$live $group" ;; root) live="$live r$group" ;; esac
done
for one in $live; do
    case $one in
    r*) sudo -n kill -s TERM -- "-${one#r}" ;;
    *) kill -s TERM -- "-$one" ;;
    esac
done
"""
_guard: subprocess.Popen[bytes] | None = None
_telling = threading.RLock()
_running: weakref.WeakSet[subprocess.Popen[Any]] = weakref.WeakSet()


def run(
    command: Sequence[Any],
    *,
    timeout: float | None = None,
    check: bool = False,
    capture_output: bool = False,
    patience: float = PATIENCE,
    **how: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run a command as `subprocess.run` does, and end it in order (SIGTERM first) where that would kill it.

    Args:
        command: program and arguments.
        timeout: seconds that it may take.
        check: raise an error for any exit status but 0.
        capture_output: return what it prints.
        patience: seconds between SIGTERM and SIGKILL.
        how: further arguments of `subprocess.Popen`.

    Raises:
        subprocess.TimeoutExpired: it took longer than *timeout*, and was ended.
        subprocess.CalledProcessError: see *check*.
    """
    if capture_output:
        how |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    how.setdefault("stdin", subprocess.DEVNULL)
    with start(command, **how) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            end(process, patience)
            raise
        finally:
            ended(process)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def start(command: Sequence[Any], **how: Any) -> subprocess.Popen[Any]:
    """Start a command that ends with this process; call `ended` when it has. Arguments are as of `subprocess.Popen`."""
    process = None
    try:
        with signals.deferred():
            process = subprocess.Popen([*map(str, command)], start_new_session=True, **how)
            _running.add(process)
            _tell_guard("root" if _by_sudo(process) else "add", process)
    except KeyboardInterrupt:
        if process:
            end(process)
        raise
    if signals.received() is not None and threading.current_thread() is not threading.main_thread():
        _send(process, signal.SIGTERM)  # the interruption came before it was known
    return process


def ended(process: subprocess.Popen[Any]) -> None:
    """Forget a command that has ended: its number may soon be another's."""
    if process in _running:
        _running.discard(process)
        _tell_guard("del", process)


def _tell_guard(verb: str, process: subprocess.Popen[Any]) -> None:
    global _guard
    with _telling, contextlib.suppress(OSError):
        if _guard is None or _guard.poll() is not None:
            _guard = subprocess.Popen(
                ["sh", "-c", _GUARD],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        assert _guard.stdin
        _guard.stdin.write(f"{verb} {process.pid}\n".encode())
        _guard.stdin.flush()


def end(process: subprocess.Popen[Any], patience: float = PATIENCE) -> None:
    """End a command and the processes of its group; return when it has ended.

    Args:
        process: as `start` returned it.
        patience: seconds between SIGTERM and SIGKILL.
    """
    _send(process, signal.SIGTERM)
    try:
        process.communicate(timeout=patience)
    except (subprocess.TimeoutExpired, ValueError):
        _send(process, signal.SIGKILL)
        process.wait()
    ended(process)


def end_all(_: int) -> None:
    """Ask all running commands to end, also those that other threads wait for. For `signals.on_first`."""
    for process in list(_running):
        _send(process, signal.SIGTERM)


def _by_sudo(process: subprocess.Popen[Any]) -> bool:
    """Whether sudo runs a command: this user may send a signal to sudo alone, and not to what the command starts."""
    return isinstance(process.args, list) and "sudo" in process.args


def _send(process: subprocess.Popen[Any], number: int) -> None:
    if process.poll() is not None:
        return
    if _by_sudo(process):
        name, quiet = signal.Signals(number).name.removeprefix("SIG"), subprocess.DEVNULL
        kill = ["sudo", "-n", "kill", "-s", name, "--", f"-{process.pid}"]
        with contextlib.suppress(OSError):
            subprocess.run(kill, check=False, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
