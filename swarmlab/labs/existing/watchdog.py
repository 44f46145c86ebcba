"""What closes the connections of a run that is killed outright: a shell that reads a pipe of the run's.

The connections are processes of ssh's own, which outlive the run. The pipe closes with it, however it ends.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

_CLOSE = """
cd "$1" || exit
read -r _
for socket in *.ssh; do
    [ ! -S "$socket" ] || ssh -F ssh_config -O exit "${socket%.ssh}"
done
rm -rf "$1"
"""


class Watchdog:
    """Closes the connections whose sockets are in a folder, and removes the folder, when this process is gone."""

    def __init__(self, folder: Path) -> None:
        """Start to watch.

        Args:
            folder: the folder of the run's configuration of ssh, with a socket ``NAME.ssh`` for each host.
        """
        self._shell = subprocess.Popen(
            ["sh", "-c", _CLOSE, "sh", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for the run
        )

    def close(self) -> None:
        """Close what is open still, remove the folder, and end."""
        assert self._shell.stdin
        self._shell.stdin.close()
        self._shell.wait()
