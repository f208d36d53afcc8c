"""What the operating system must allow a run; found out before the first question."""

import resource

from evals.errors import ConfigError

_FIXED, _EACH = 40, 4


def check_descriptors(in_flight: int) -> None:
    """Make sure that `in_flight` questions at a time find file descriptors; raise a soft limit.

    Raises:
        ConfigError: the hard limit is too low.
    """
    needed = _FIXED + _EACH * in_flight
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(
            f"this process may open {hard} files at a time, and a run with {in_flight} questions "
            f"in flight needs {needed}; allow more with `ulimit -n {needed}`, or ask fewer at a "
            "time with --in-flight"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
