"""Stand-ins for the values of labels: two values of a label have the same stand-in if they are the same."""

from __future__ import annotations

from collections.abc import Mapping


class StandIns:
    """The stand-ins of one swarm. Constraints match with them what they match with the values themselves."""

    def __init__(self) -> None:
        """Know no label yet."""
        self._known: dict[tuple[str, str], str] = {}

    def of(self, key: str, value: str) -> str:
        """Return the stand-in for a value.

        Args:
            key: the label as constraints name it, such as node.labels.zone.
            value: the value; constraints do not tell small letters from capitals.
        """
        number = 1 + sum(known == key for known, _ in self._known)
        return self._known.setdefault((key, value.lower()), f"value-{number}")

    def of_labels(self, prefix: str, labels: Mapping[str, str]) -> dict[str, str]:
        """Return labels with stand-ins; *prefix* is what constraints put before their names."""
        return {name: self.of(f"{prefix}{name}", value) for name, value in labels.items()}
