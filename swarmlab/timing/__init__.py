"""Where a run spends its time: what is timed, what the processors of this machine did meanwhile, and its profile."""

from swarmlab.timing.processors import Busy, Container, Meter, Processors, Program, machine
from swarmlab.timing.recorder import Recorder, recording, span, spanned, timed, watch

__all__ = [
    "Busy",
    "Container",
    "Meter",
    "Processors",
    "Program",
    "Recorder",
    "machine",
    "recording",
    "span",
    "spanned",
    "timed",
    "watch",
]
