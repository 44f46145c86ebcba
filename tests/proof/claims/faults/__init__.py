"""All faults: the FAULTS of every module here, a module a chapter or a part of one."""

import pkgutil
from importlib import import_module

FAULTS = [
    fault
    for module in sorted(one.name for one in pkgutil.iter_modules(__path__))
    for fault in import_module(f"{__name__}.{module}").FAULTS
]
