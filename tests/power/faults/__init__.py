"""All faults, a module a chapter."""

from tests.power.faults import ch1, ch6, ch7

FAULTS = [*ch1.FAULTS, *ch6.FAULTS, *ch7.FAULTS]
