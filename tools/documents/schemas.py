"""Pages of files that have a JSON schema: a table of keys for each object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swarmlab.paths import ROOT
from swarmlab.report.markdown import code, plain, table
from tools.documents.markdown import page

_INVENTORY = "swarmlab/labs/existing/inventory.schema.json"


@dataclass(frozen=True)
class Layout:
    """A file or output that has a JSON schema.

    Attributes:
        title: heading of its page.
        schema: path of the schema in the checkout.
        summary: what it is, who writes and who reads it, in Markdown.
    """

    title: str
    schema: str
    summary: str

    def page(self) -> str:
        """Return its page."""
        name = self.schema.rpartition("/")[2]
        last = f"The schema: [{name}](../../{self.schema})."
        return page(self.title, self.schema, self.summary, _WITHIN, *_objects(_schema(self.schema)), last)


_WITHIN = (
    "Keys can be added within one version of a layout; what a key means never changes. Files of older versions are "
    "read, and a newer one is refused."
)
#: What has a page by its schema alone, by the name of the page.
LAYOUTS = {
    "verdicts-json": Layout(
        "verdicts.json",
        "swarmlab/verdicts/verdicts.schema.json",
        "A run of the suites writes `verdicts.json` to its folder (see [reports](../../reports/README.md)). `swarmlab "
        "report`, `swarmlab compare` and `swarmlab results` read it.",
    ),
    "profile-json": Layout(
        "profile.json",
        "swarmlab/timing/profile.schema.json",
        "A run with `--profile-run` writes `profile.json` to its folder (see [Find out where the time "
        "goes](../how-to/time.md)). Names stand without what differs from run to run, so that equals add up. "
        "`swarmlab report`, `swarmlab compare` and `swarmlab results` read it.",
    ),
    "findings-json": Layout(
        "swarmlab preflight --json",
        "swarmlab/preflight/findings.schema.json",
        "`swarmlab preflight --json` prints a list of findings. This is version 1 of it: a list has no place for the "
        "number. Each finding has the keys of one in [verdicts.json](verdicts-json.md).",
    ),
    "status-json": Layout(
        "swarmlab status --json",
        "swarmlab/cli/status.schema.json",
        "`swarmlab status --json` prints the labs on this machine.",
    ),
    "compare-json": Layout(
        "swarmlab compare --json",
        "swarmlab/verdicts/compare.schema.json",
        "`swarmlab compare OLD NEW --json` prints what changed from one run to another.",
    ),
    "progress-json": Layout(
        "Events of a run",
        "swarmlab/verdicts/progress.schema.json",
        "A run with `--progress-json FILE` appends an event to FILE for each claim as it is judged, for each wait that "
        "takes more than ten seconds, and for its begin and end (see [Follow a run](../how-to/run-again.md)). Each is "
        "a JSON object in a line of its own. Events can be added, too.",
    ),
    "explain-json": Layout(
        "swarmlab explain --json",
        "swarmlab/verdicts/explain.schema.json",
        "`swarmlab explain --json` prints what is known of claims (see [Judge a claim alone, and understand "
        "it](../how-to/one-claim.md)).",
    ),
    "decision-json": Layout(
        "decision.json",
        "swarmlab/rehearsal/decision.schema.json",
        "A [rehearsal](../how-to/upgrade.md) writes its decision to `decision.json` in its folder.",
    ),
    "rehearsal-json": Layout(
        "rehearsal.json",
        "swarmlab/rehearsal/rehearsal.schema.json",
        "A [rehearsal](../how-to/upgrade.md) writes the record of its steps to `upgrade/rehearsal.json` in its folder. "
        "The decision and the page are made from it.",
    ),
    "likeness-json": Layout(
        "likeness.json",
        "swarmlab/rehearsal/likeness/likeness.schema.json",
        "A rehearsal with `--like` writes what it copies of a swarm to `likeness.json` in its folder, and `--like` "
        "takes such a file.",
    ),
    "bench-json": Layout(
        "bench.json",
        "swarmlab/report/bench.schema.json",
        "`make bench` writes `bench.json`, and `swarmlab results --times --bench` reads it.",
    ),
}


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


def waivers() -> str:
    """Return the page of a file of waivers."""
    path = "swarmlab/verdicts/waivers.schema.json"
    schema = _schema(path)
    blocks = []
    for name, title in (("claim", "A waiver of a claim"), ("finding", "A waiver of findings of preflight")):
        blocks += [f"## {title}", *filter(None, _objects({**schema, **schema["$defs"][name]}))]
    return page(
        "Waivers",
        path,
        "A file of waivers is YAML: a list, of which each entry waives a claim or findings of preflight. `pytest "
        "suites/ --waivers FILE` and `swarmlab preflight --waivers FILE` take it. [Waive a claim or a "
        "finding](../how-to/waivers.md) says how.",
        *blocks,
        f"The schema: [waivers.schema.json](../../{path}).",
    )


def _schema(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((ROOT / path).read_text(encoding="utf-8"))
    return schema


def _objects(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield heading and table of each object of a schema, each followed by the objects in it."""
    # Of a list, the keys are those of what it holds.
    first = (
        _resolved(schema, schema["items"]) if schema.get("type") == "array" and "properties" not in schema else schema
    )
    schema = {**schema, "properties": first["properties"]}
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", first)]
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
    if (least := part.get("minLength", 0)) > 1:
        bounds.append(f"at least {least} characters")
    return "; ".join(filter(None, [description, ", ".join(bounds)]))
