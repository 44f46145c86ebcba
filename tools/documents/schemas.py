"""Pages of files that have a JSON schema: a table of keys for each object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from swarmlab.paths import ROOT
from swarmlab.report.markdown import code, plain, table
from tools.documents.markdown import page

_INVENTORY = "swarmlab/labs/existing/inventory.schema.json"
_VERDICTS = "swarmlab/verdicts/verdicts.schema.json"
_PROFILE = "swarmlab/timing/profile.schema.json"
_EXPLAIN = "swarmlab/verdicts/explain.schema.json"
_PROGRESS = "swarmlab/verdicts/progress.schema.json"


def inventory() -> str:
    """Return the page of the inventory of an existing swarm."""
    schema = _schema(_INVENTORY)
    one_of = [code(key) for choice in schema["oneOf"] for key in choice["required"]]
    return page(
        "Inventory",
        _INVENTORY,
        "An inventory is a YAML file that names the machines of an existing swarm: `pytest suites/ --lab inventory "
        "--inventory FILE`. It has exactly one of the keys " + ", ".join(one_of) + ". A key of the connection that "
        "stands outside `nodes` holds for every node that does not say otherwise.",
        *_objects(schema),
        f"The schema: [inventory.schema.json](../../{_INVENTORY}).",
    )


def verdicts_json() -> str:
    """Return the page of the file of verdicts that a run writes."""
    return page(
        "verdicts.json",
        _VERDICTS,
        "A run of the suites writes `verdicts.json` to its folder (see [reports](../../reports/README.md)). Keys "
        "can be added within one `schema` number; what a key means never changes. `swarmlab report`, "
        "`swarmlab compare` and `swarmlab results` read it.",
        *_objects(_schema(_VERDICTS)),
        f"The schema: [verdicts.schema.json](../../{_VERDICTS}).",
    )


def profile_json() -> str:
    """Return the page of the file that says where a run's time went."""
    return page(
        "profile.json",
        _PROFILE,
        "A run with `--profile-run` writes `profile.json` to its folder (see [Find out where the time "
        "goes](../how-to/time.md)). Names stand without what differs from run to run, so that equals add up. "
        "`swarmlab report`, `swarmlab compare` and `swarmlab results` read it.",
        *_objects(_schema(_PROFILE)),
        f"The schema: [profile.schema.json](../../{_PROFILE}).",
    )


def explain_json() -> str:
    """Return the page of what `swarmlab explain --json` prints."""
    return page(
        "explain --json",
        _EXPLAIN,
        "`swarmlab explain --json` prints what is known of claims (see [Judge a claim alone, and understand "
        "it](../how-to/one-claim.md)). Keys can be added within one `schema` number; what a key means never changes.",
        *_objects(_schema(_EXPLAIN)),
        f"The schema: [explain.schema.json](../../{_EXPLAIN}).",
    )


def progress_json() -> str:
    """Return the page of the events that a run appends to a file."""
    return page(
        "Events of a run",
        _PROGRESS,
        "A run with `--progress-json FILE` appends an event to FILE for each claim as it is judged, for each wait that "
        "takes more than ten seconds, and for its begin and end (see [Follow a run](../how-to/run-again.md)). Each is "
        "a JSON object in a line of its own. Keys and events can be added within one `schema` number.",
        *_objects(_schema(_PROGRESS)),
        f"The schema of a line: [progress.schema.json](../../{_PROGRESS}).",
    )


def _schema(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((ROOT / path).read_text(encoding="utf-8"))
    return schema


def _objects(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield heading and table of each object of a schema, each followed by the objects in it."""
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", schema)]
    while waiting:
        path, found = waiting.pop(0)
        rows, inside = [], []
        required = found.get("required", [])
        for key, value in found["properties"].items():
            part = _resolved(schema, value)
            # A key that says nothing here means what the key of that name means outside.
            outside = schema["properties"].get(key, {})
            meaning = _meaning(value if "description" in value else outside, part)
            rows.append([code(key), _kind(schema, part), "yes" if key in required else "", meaning])
            inner, below = part, f"{path}{key}"
            if part.get("type") == "array":
                inner, below = _resolved(schema, part["items"]), f"{path}{key}[]"
            if "properties" in inner:
                inside.append((f"{below}.", inner))
            elif "properties" in (more := _resolved(schema, inner.get("additionalProperties") or {})):
                inside.append((f"{below}.NAME.", more))
        waiting[:0] = inside
        yield f"## {code(path.rstrip('.'))}" if path else ""
        yield table(["key", "type", "required", "meaning"], rows)


def _resolved(schema: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """Return what *value* describes, with a reference within the schema followed."""
    if not isinstance(value, Mapping):
        return {}
    found: Mapping[str, Any] = value
    if reference := value.get("$ref"):
        for step in reference.removeprefix("#/").split("/"):
            schema = schema[step]
        found = {**schema, **{key: kept for key, kept in value.items() if key != "$ref"}}
    return found


def _kind(schema: Mapping[str, Any], part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return ", ".join(code(str(choice)) for choice in part["enum"])
    if "const" in part:
        return code(str(part["const"]))
    kind = part.get("type", "")
    kind = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if kind == "array":
        return f"list of {_kind(schema, _resolved(schema, part['items'])) or 'anything'}"
    if kind == "object" and isinstance(part.get("additionalProperties"), Mapping) and "properties" not in part:
        return f"object of {_kind(schema, _resolved(schema, part['additionalProperties'])) or 'anything'}"
    return kind


def _meaning(value: Mapping[str, Any], part: Mapping[str, Any]) -> str:
    description = plain(str(value.get("description") or part.get("description", "")))
    bounds = [f"{word} {part[key]}" for key, word in (("minimum", "at least"), ("maximum", "at most")) if key in part]
    return "; ".join(filter(None, [description, ", ".join(bounds)]))
