"""The errors of this package.

```
EvalsError                 base of every error below except CaseFailed
├── CaseFileError          a case file, tool file or record file is wrong: file:line, field, remedy
├── ConfigError            a target, profile, gate or option is wrong
└── HarnessError           the run is broken, whatever the model would have said
    ├── ServerError        the server did not start, died, or does not answer
    ├── TransportError     one exchange with a living server did not complete
    └── ModelError         model weights are missing, half built or unusable
CaseFailed(AssertionError) the model or a layer behind it gave a wrong answer
```

A wrong answer is not a broken run: `CaseFailed` enters the rates, `HarnessError` never does.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class EvalsError(Exception):
    """Base of the errors that stop a run or a part of it."""


class CaseFileError(EvalsError):
    """A YAML case or tool file cannot be used; the message names file, line, field and remedy."""


class ConfigError(EvalsError):
    """A target, profile, gate or command-line option is wrong."""


class HarnessError(EvalsError):
    """The run itself is broken; nothing is known about the model's answer."""


class ServerError(HarnessError):
    """The server under test did not start, died, or cannot be reached."""


class TransportError(HarnessError):
    """One request got no complete response; the message says what came back."""


class ModelError(HarnessError):
    """A model folder is missing, incomplete, or fails its preflight."""


class CaseFailed(AssertionError):  # noqa: N818 (a wrong answer is not an error)
    """At least one check of a case failed; the message is ready for a reader."""


def cannot_write(error: OSError) -> str:
    """What the operating system refused, for a message: the file, and its own words."""
    why = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {why}" if error.filename else why


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """That `name` is none of `known`, for a message: it lists them, the likeliest first of all.

    `unknown lane 'straem', did you mean 'stream'? (choose from server, stream, direct, agent)`
    """
    names = list(known)
    close = get_close_matches(name, names, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    return f"unknown {what} {name!r}{hint} (choose from {', '.join(names)})"
