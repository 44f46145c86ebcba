"""What all HTML pages share: templates, the style sheet, pictures, durations and links to files."""

from __future__ import annotations

import base64
import os
import re
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from swarmlab.report.incidents import linked
from swarmlab.verdicts.defects import mend


def pages(*packages: str) -> jinja2.Environment:
    """Return a Jinja environment that finds templates in *packages*, the first that has one."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, ".") for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["slug"] = lambda text: re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
    environment.filters["linked"] = linked
    environment.filters["backquoted"] = backquoted
    environment.filters["mend"] = mend
    environment.filters["duration"] = duration
    return environment


def backquoted(text: str) -> Markup:
    """Return a text as HTML in which what stands between backquotes is code."""
    texts = [linked(part) for part in re.split(r"`[^`]+`", text)]
    codes = [Markup("<code>{}</code>").format(part) for part in re.findall(r"`([^`]+)`", text)]
    return Markup("").join(part for pair in zip_longest(texts, codes, fillvalue="") for part in pair)


def stylesheet() -> Markup:
    """Return the style sheet that all HTML pages share."""
    return Markup((Path(__file__).parent / "style.css").read_text(encoding="utf-8"))


def svg_uri(content: bytes) -> str:
    """Return an SVG picture as a data: URI for an image element.

    As an image and not as elements: no script in it runs, and its names and styles clash with no other picture's.
    """
    return "data:image/svg+xml;base64," + base64.b64encode(content).decode()


def link(path: Path, beside: Path) -> str:
    """Return the link from a page in the folder *beside* to a file."""
    return quote(os.path.relpath(path.absolute(), beside).replace(os.sep, "/"))


def duration(seconds: float) -> str:
    """Return seconds as a readable duration: 1.5 s, 75 s, 12 min, 1 h 30 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
