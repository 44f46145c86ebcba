"""The names of drivers, and those that an engine has by managed plugins, which it does not list itself."""

from __future__ import annotations

from swarmlab.preflight import work
from swarmlab.preflight.model import Sight

#: The kinds of drivers, as managers and ``docker info`` name them.
_KINDS = ("Log", "Volume")


def complete(sight: Sight) -> None:
    """Add to each engine's ``docker info`` the drivers of logs and volumes that managers know of its plugins.

    An engine tells there the drivers that are built in and those of plugins of old, not those of plugins that were
    installed with ``docker plugin install``. It tells these to the managers.
    """
    members = work.members_by_id(sight)
    for view in sight.nodes:
        told = view.info.get("Plugins")
        if not told or not view.active:
            continue
        engine = ((members.get(view.node_id) or {}).get("Description") or {}).get("Engine") or {}
        for kind in _KINDS:
            installed = {plugin["Name"] for plugin in engine.get("Plugins") or [] if plugin.get("Type") == kind}
            told[kind] = sorted({*(told.get(kind) or []), *installed})


def untagged(name: str) -> str:
    """Return the name of a driver without its tag, which who asks for it may leave out."""
    return name.rpartition(":")[0] or name
