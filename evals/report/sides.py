"""Whose fault the failed cases are, parted as a reviewer parts them, and what to do then."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from evals.escaping import excerpt, one_line
from evals.report.problems import Problem, Why
from evals.results import Layer, Record

_KINDS = 3


@dataclass(frozen=True)
class Side:
    """Where the fault of a failed case lies, and what to do then."""

    name: str
    holds: Callable[[Problem], bool]
    advice: str
    cleared: bool = False
    """Whether the very text with which the case passed before takes the fault from here."""


def _blamed(*layers: Layer) -> Callable[[Problem], bool]:
    return lambda problem: problem.record.blame in layers


NO_ANSWER = Side(
    "no answer: the server, or the way to it",
    lambda problem: problem.record.outcome == Why.ERROR,
    "Read the server's log at the first error (server.log of the run, if the run booted it). "
    "These cases say nothing of the model: ask them again (evals run --resume RUN) when the "
    "server stays up.",
)
SIDES = (
    Side(
        "the prompt, before the model: its chat template",
        _blamed(Layer.TEMPLATE),
        "The server's prompt is not the one that the request makes here, so the model was asked "
        "something else: look at the chat template, the tokenizer, and whether the server passes "
        "on the tools and each message, the system's too; not at the weights or the parser.",
    ),
    NO_ANSWER,
    Side(
        "downstream of the model",
        lambda problem: (
            problem.record.outcome == Why.VIOLATION
            and not _blamed(Layer.MODEL, Layer.UNKNOWN)(problem)
        ),
        "The model wrote it right and the response lost or changed it: hold the model's text "
        "against the response in the first case, and look at what changed in engine and parser, "
        "not in the weights.",
    ),
    Side(
        "the model itself",
        _blamed(Layer.MODEL),
        "The response is what the model wrote: look at weights, training data, quantisation and "
        "prompt; the parser and the server are not to blame.",
        cleared=True,
    ),
    Side(
        "unknown: no evidence of what the model wrote, or a text that can be read in two ways",
        lambda problem: True,
        "The reason of the first case says which: without evidence, ask again with a server that "
        "returns token ids or the raw text, or in lane direct; a text that says two things, such "
        "as one parameter twice, is worth a look at both the model and the parser.",
        cleared=True,
    ),
)
"""The first that holds is a problem's side."""
_BEHIND = (
    "The model wrote the very same when the case passed, so the change is behind it, whatever the "
    "layer says of the text: look at what changed in engine, parser and template, not in the "
    "weights."
)

_ONE_LANE = (
    "Other lanes got answers. If the server stayed up, look at what changed in the engine for this "
    "lane, such as how a stream ends, by the events of the first case."
)


@dataclass(frozen=True)
class Fault:
    """Failed cases of one side."""

    side: Side
    cases: int
    what: str
    """Layer and kinds, the most frequent first."""
    first: Record
    """The case to begin with."""
    lanes: tuple[str, ...] = ()
    """The lanes in which they failed, where the run asked others, too."""
    told: int = 0
    """Of how many of the cases it is known what the model wrote now and when the case passed."""
    same: int = 0
    """In how many of those it is the very same text."""
    said: str = ""
    """What happened to most of those that got no answer; it can hold a server's text."""

    def counted(self, *, new: bool = False) -> str:
        """`1 case`, `6 newly failing cases`."""
        return f"{self.cases} {'newly failing ' * new}case{'s' * (self.cases != 1)}"

    @property
    def advice(self) -> str:
        """What to do next."""
        if self.side is NO_ANSWER and self.lanes:
            return f"{_ONE_LANE} {self.side.advice}"
        same = self.side.cleared and self.same == self.cases
        return _BEHIND if same else self.side.advice

    @property
    def where(self) -> str:
        """`only in lane stream`; empty where they failed in all lanes."""
        lanes = ", ".join(self.lanes)
        return f"only in lane{'s' if len(self.lanes) > 1 else ''} {lanes}" * bool(lanes)

    @property
    def texts(self) -> str:
        """`the model wrote the same as before in 3 of 4`; empty where that is not known."""
        return f"the model wrote the same as before in {self.same} of {self.told}" * bool(self.told)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is known of all of them."""
        return tuple(note for note in (self.where, self.texts) if note)


def faults(
    found: Iterable[Problem], same_texts: Mapping[str, bool], lanes: Iterable[str]
) -> Iterator[Fault]:
    """The sides that `found` falls into, most cases first; `lanes` are all of the run."""
    asked = set(lanes)
    sides: dict[Side, list[Problem]] = {}
    for problem in found:
        side = next(side for side in SIDES if side.holds(problem))
        sides.setdefault(side, []).append(problem)
    for side, mine in sorted(sides.items(), key=lambda item: -len(item[1])):
        kinds = Counter(_what(problem) for problem in mine).most_common(_KINDS)
        texts = [same_texts[p.record.key] for p in mine if p.record.key in same_texts]
        failed = dict.fromkeys(lane for problem in mine for lane in problem.lanes)
        yield Fault(
            side,
            len(mine),
            ", ".join(f"{kind} {count}" for kind, count in kinds),
            mine[0].record,
            lanes=() if asked <= failed.keys() else tuple(failed),
            told=len(texts),
            same=sum(texts),
            said=_said(mine),
        )


def _said(mine: Iterable[Problem]) -> str:
    errors = (p for p in mine if p.record.outcome == Why.ERROR)
    reasons = Counter(one_line(excerpt(p.verdict.reason)) for p in errors if p.verdict)
    return next((reason for reason, _ in reasons.most_common(1)), "")


def _what(problem: Problem) -> str:
    verdict = problem.verdict
    if verdict is None:
        return "no response"
    return f"{problem.record.blame}: {str(verdict.kind).replace('_', ' ')}"
