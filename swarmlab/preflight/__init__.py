"""Preflight: checks a cluster for known causes of trouble, before any claim is judged on it."""

from swarmlab.preflight.causes import grouped, headline
from swarmlab.preflight.checks import CHECKS, OF_TRAFFIC, Check, explaining, preflight, reasons
from swarmlab.preflight.finding import Finding, Level

__all__ = [
    "CHECKS",
    "OF_TRAFFIC",
    "Check",
    "Finding",
    "Level",
    "explaining",
    "grouped",
    "headline",
    "preflight",
    "reasons",
]
