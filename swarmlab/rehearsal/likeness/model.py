"""A likeness as plain data: the parts of an existing swarm that are copied into a lab, and the file that keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab import layouts, outputs
from swarmlab.errors import UsageError
from swarmlab.files import read_json
from swarmlab.images.engines import EngineChoice, engine_choice
from swarmlab.versions import parsed

#: Name of the file in the folder of a rehearsal.
FILE = "likeness.json"
#: How sentences of `left_out` begin that are of the swarm as a whole, and of the IPv6 of a network.
AUTOLOCK, EXTERNAL_CA, POOLS, DATA_PORT = (
    "Autolock",
    "The external CA",
    "The default address pool of networks",
    "The data path port of overlay networks",
)
IPV6 = "IPv6 of network "
_LAYOUT = Path(__file__).with_name("likeness.schema.json")
#: Version of its layout.
SCHEMA = 1
#: The most nodes that are rehearsed, and the most managers among them. One machine cannot hold more.
MOST_NODES, MOST_MANAGERS = 30, 7
#: Most bytes of a likeness. That of thirty nodes and sixty services has some 300 KB.
_MOST_BYTES = 2**22


@dataclass(frozen=True)
class Likeness:
    """The parts of a swarm that are copied.

    Attributes:
        data: The content of `FILE`: cluster, inventory, nodes, settings, networks, configs, secrets, services,
            `restarts` (see `swarmlab.rehearsal.likeness.restarts`; older files lack it); and as sentences, `left_out`
            and the `limits` that this sets to a rehearsal. A node has its own name and, as `host`, the name of its
            copy.
    """

    data: dict[str, Any]

    @classmethod
    def load(cls, file: Path) -> Likeness:
        """Read a likeness from a file.

        Raises:
            UsageError: The file cannot be read, or is not a likeness.
        """
        data = read_json(file, "likeness", most=_MOST_BYTES)
        layouts.refuse_newer(data, f"likeness {file}", SCHEMA)
        if wrong := layouts.mistake(data, layouts.layout(_LAYOUT)):
            raise UsageError(f"likeness {file}: {wrong}; name the {FILE} that a rehearsal wrote")
        data.pop(layouts.KEY, None)
        return cls(data)

    def write(self, file: Path) -> None:
        """Write the likeness to a file."""
        made = {layouts.KEY: SCHEMA, **self.data}
        outputs.write(file, json.dumps(made, indent=1, ensure_ascii=False) + "\n")

    @property
    def start(self) -> dict[str, EngineChoice]:
        """Engine that each node of the lab starts with, by host name; managers first."""
        return {node["host"]: engine_choice(node["choice"]) for node in self.data["nodes"]}

    @property
    def oldest(self) -> EngineChoice:
        """The oldest engine that the lab starts with."""
        return min(self.start.values(), key=lambda choice: choice.numbers)

    @property
    def managers(self) -> int:
        """Number of managers."""
        return sum(node["role"] == "manager" for node in self.data["nodes"])

    @property
    def workers(self) -> int:
        """Number of workers."""
        return len(self.data["nodes"]) - self.managers

    def hosts(self) -> dict[str, str]:
        """Return the host name of each node's copy, by the name of the node."""
        return {node["name"]: node["host"] for node in self.data["nodes"]}

    def other_engines(self) -> list[str]:
        """Return a phrase for each node that has another engine in the lab."""
        return [
            f"{node['name']} runs {node['engine']}, rehearsed as {node['rehearsed']}"
            for node in self.data["nodes"]
            if parsed(node["engine"]) != parsed(node["rehearsed"])
        ]
