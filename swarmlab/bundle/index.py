"""The index of a bundle: one page that says what is where, and what could not be got and why."""

from __future__ import annotations

import time
from collections.abc import Sequence

import jinja2

from swarmlab.bundle.collect import NOT_ASKED, Bundle
from swarmlab.evidence import redact
from swarmlab.files import shown
from swarmlab.preflight import Finding, Level

#: The name of the page.
NAME = "index.html"


def page(bundle: Bundle) -> str:
    """Return the page as HTML that needs no other file but those that it names."""
    loader = jinja2.PackageLoader("swarmlab.bundle", ".")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = environment.get_template("template.html").render(
        name=bundle.name,
        began=time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(bundle.began)),
        parts=bundle.parts,
        missing=_by_reason(bundle),
        unreached=bundle.unreached,
        findings=_shown(bundle.findings),
        size=_size,
    )
    return redact(text)


def _by_reason(bundle: Bundle) -> list[tuple[str, str, str]]:
    """Return part, subjects and reason of what could not be got; what is missing for one reason stands together."""
    found: dict[tuple[str, str], list[str]] = {}
    for part, entry in bundle.missing:
        found.setdefault((part, entry.missing.removeprefix(NOT_ASKED)), []).append(entry.what)
    return [(part, "; ".join(dict.fromkeys(what)), why) for (part, why), what in found.items()]


def _shown(findings: Sequence[Finding]) -> list[tuple[str, str, str, str]]:
    """Return level, check, summary and mend of the findings that are trouble."""
    return [
        (str(one.level), one.check, shown(str(one), 400), one.mend)
        for one in findings
        if one.level.trouble or (one.level is Level.UNKNOWN and not one.because)
    ]


def _size(characters: int) -> str:
    if characters < 1e3:
        return f"{characters} B"
    return f"{characters / 1e6:.1f} MB" if characters >= 1e5 else f"{characters / 1e3:.1f} kB"
