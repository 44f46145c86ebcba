"""The page of the known defects of engines."""

from __future__ import annotations

from collections.abc import Iterable

from swarmlab.report.markdown import code, plain, table
from swarmlab.verdicts.defects import Defect, Span, defects
from tools.documents.markdown import anchor, page

_HEADS = ["defect", "releases", "effect", "only where there is", "reported"]
#: What a cluster must have besides, by the word in claims/defects.yaml.
_WHERE = {
    "authorization-plugin": "an authorization plugin",
    "debug": "debug mode",
    "encrypted-network": "an encrypted overlay network",
    "host-bits-subnet": "an overlay network whose subnet has bits beyond its mask",
    "member-of-28": "the manager has a node of 28 or newer beside it",
    "node-without-it": "a node whose release does not have it",
    "older-manager": "a manager with an older release",
    "other-data-port": "a data path port other than 4789",
    "placement-preference": "a service with placement preferences",
    "single-manager": "one manager alone",
}


def known_defects() -> str:
    """Return the page of the known defects of engines, and of the claims that fail by them."""
    known = defects()
    failing = (
        [code(claim), f"[{code(defect.id)}](#{defect.id})", _releases(defect)]
        for defect in known
        for claim in defect.failures or {}
    )
    return page(
        "Known defects",
        "claims/defects.yaml",
        "Preflight names these defects where a cluster's engines have them (`known-defects`), by the release alone or "
        "with what the cluster must have besides. A span ends with the release that mends the defect. For defects of "
        "runc, the release of runc counts where a node tells it.",
        table(_HEADS, map(_row, known)),
        "## Claims that fail by them",
        "A claim that fails by a known defect fails all the same; reports name the defect beside the reason. "
        "[Known failures](../explanation/verdicts.md#known-failures) says how.",
        table(["claim", "defect", "releases"], failing),
    )


def _row(defect: Defect) -> list[str]:
    return [
        anchor(defect.id) + code(defect.id),
        _releases(defect),
        plain(defect.effect),
        " and ".join(_WHERE[name] for name in defect.where),
        plain(defect.incident),
    ]


def _releases(defect: Defect) -> str:
    parts = [_spans(defect.releases)]
    if defect.runc:
        parts.append(f"runc {_spans(defect.runc)}")
    return "; ".join(parts)


def _spans(spans: Iterable[Span]) -> str:
    return ", ".join(f"{span.first} until {span.mended}" if span.mended else f"{span.first} on" for span in spans)
