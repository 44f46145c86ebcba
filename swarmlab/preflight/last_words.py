"""What an engine that does not run said as it ended: the end of its log tells more than that nothing answers."""

from __future__ import annotations

import re

from swarmlab.cluster.node import DATA_ROOT
from swarmlab.cluster.quotes import said
from swarmlab.preflight.model import NodeView

#: Prints the last words of an engine that ended by itself; nothing where one runs, or was stopped by somebody.
QUESTION = (
    "grep -qxs dockerd /proc/[0-9]*/comm && exit; "
    "{ journalctl -b -q --no-pager -o cat -u docker -n 3000 2>/dev/null || "
    "tail -qn 3000 /var/log/dockerd.log /var/log/docker.log 2>/dev/null; } | awk '"
    '/Starting up|Processing signal|shutdown complete/ { W = "" } '
    "/level=(fatal|panic)|^panic: [^(]|^fatal error: |OOM killer/ { W = $0 } "
    "/^failed to start daemon|^[Ee]rror starting daemon|^unable to configure|^unknown (shorthand )?flag/ { W = $0 } "
    "END { if (W) print W }'; true"
)
#: What managers say whose part of the swarm's state is damaged.
_STATE_LOST = re.compile(r"raft log|\bwal\b|snapshot|tocommit|can't (find|get|decrypt)", re.IGNORECASE)


def last_words(view: NodeView) -> str:
    """Return what an engine said as it ended, without what it quotes of others; empty if that is not known."""
    line = view.answers.get("last words", (1, ""))[1].strip()
    message = re.search(r'msg="((?:[^"\\]|\\.)*)"', line)
    return said(message[1].replace('\\"', '"') if message else line)


def remedy(words: str, view: NodeView) -> str:
    """Return what mends an engine that ended with these words; empty if that is not known."""
    if not _STATE_LOST.search(words):
        return ""
    root = view.info.get("DockerRootDir", DATA_ROOT)
    return (
        "on another manager: docker node demote NODE && docker node rm --force NODE; then on {nodes}: "
        f"mv {root}/swarm {root}/swarm.damaged, systemctl restart docker, docker swarm join with a token for managers"
    )
