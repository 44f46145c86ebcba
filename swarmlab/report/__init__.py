"""Pages of runs: one HTML file to read on a screen, offline or on paper, and a Markdown page of results."""

from __future__ import annotations

from swarmlab.report.html import render, write

__all__ = ["render", "write"]
