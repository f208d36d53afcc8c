"""What `from evals import …` gives, for type checkers."""

from evals.api import (
    Case,
    CaseFailed,
    Expect,
    HarnessError,
    Judged,
    OpenTarget,
    Tool,
    judge_response,
    load_cases,
    make_case,
    open_target,
    tools_of_functions,
)

__version__: str
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
