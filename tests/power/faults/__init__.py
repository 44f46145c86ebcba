"""All faults, a module a chapter."""

from tests.power.faults import ch1, ch2, ch3, ch4, ch5, ch6, ch7, ch8_tasks

FAULTS = [*ch1.FAULTS, *ch2.FAULTS, *ch3.FAULTS, *ch4.FAULTS, *ch5.FAULTS, *ch6.FAULTS, *ch7.FAULTS, *ch8_tasks.FAULTS]
