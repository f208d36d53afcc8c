"""Does tool calling survive the pipeline, and did the last change break it.

What tests of one's own import from here is in `evals.api`, loaded when it is asked for.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "Case",
    "CaseFailed",
    "Expect",
    "HarnessError",
    "Judged",
    "OpenTarget",
    "Tool",
    "judge_response",
    "load_cases",
    "make_case",
    "open_target",
    "tools_of_functions",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'evals' has no attribute {name!r}")
    return getattr(import_module("evals.api"), name)
