"""Runs of the suites as one HTML file that needs nothing else: to be read on a screen, offline, or on paper."""

from __future__ import annotations

from swarmlab.report.html import render, write

__all__ = ["render", "write"]
