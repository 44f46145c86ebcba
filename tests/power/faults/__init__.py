"""All faults, a module a chapter."""

from tests.power.faults import ch1, ch2, ch3, ch4, ch5, ch6, ch6_portainer, ch7, ch7_stacks

_MODULES = (ch1, ch2, ch3, ch4, ch5, ch6, ch6_portainer, ch7, ch7_stacks)
FAULTS = [fault for module in _MODULES for fault in module.FAULTS]
