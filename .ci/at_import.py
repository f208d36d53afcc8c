"""Of the mutants on stdin, those in functions that run while modules load.

mutmut chooses a mutant in a process that has loaded them all, so that no test can meet such a one;
`.ci/mutants` runs those that are left once more, each in a process of its own.
"""

import importlib
import pkgutil
import sys
from types import FrameType
from typing import Any

PACKAGES = ("evals.judging", "evals.formats")
called: set[str] = set()


def note(frame: FrameType, event: str, arg: Any) -> None:
    """Note a function of these packages that is called, by mutmut's name for its mutants."""
    module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_qualname
    if event == "call" and module.startswith(PACKAGES) and "<" not in name:
        holder, _, function = name.rpartition(".")
        called.add(f"{module}.xǁ{holder}ǁ{function}" if holder else f"{module}.x_{function}")


sys.setprofile(note)
for package in map(importlib.import_module, PACKAGES):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
sys.setprofile(None)
print(*(m for m in sys.stdin.read().split() if m.partition("__mutmut_")[0] in called), sep="\n")
