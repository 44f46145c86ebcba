"""All faults of claims: the FAULTS of the modules here, one module for a chapter or a part of it."""

import pkgutil
from importlib import import_module

FAULTS = [
    fault
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__))
    for fault in import_module(f"{__name__}.{module}").FAULTS
]
