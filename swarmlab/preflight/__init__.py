"""Preflight: what stands in the way of a cluster, found by looking at it, before any claim of it is judged."""

from swarmlab.preflight.checks import CHECKS, Check, explaining, preflight, reasons
from swarmlab.preflight.finding import Finding, Level

__all__ = ["CHECKS", "Check", "Finding", "Level", "explaining", "preflight", "reasons"]
