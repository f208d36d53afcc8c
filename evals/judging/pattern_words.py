"""The shortest text that several patterns are all found in, or the proof that there is none.

Each pattern becomes an automaton over sets of characters; all run side by side, breadth first, over
one character of each kind that any of them tells apart.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_MOST_NODES = 3_000
_MOST_STATES = 8_000
_LONGEST = 400
_SAMPLES = "a0A_ -.é\n/@Zz9:,"

Takes = Callable[[str], bool]


class NotKnownError(ValueError):
    """The patterns say something that is not followed here, or too much."""


@dataclass
class _Automaton:
    """Nodes by number: steps that take a character, and those that need none, with a condition."""

    steps: list[list[tuple[Takes, int]]] = field(default_factory=list)
    free: list[list[tuple[Any, int]]] = field(default_factory=list)
    letters: set[str] = field(default_factory=set)
    start: int = 0
    end: int = 0

    def node(self) -> int:
        if len(self.steps) >= _MOST_NODES:
            raise NotKnownError("too long a pattern")
        self.steps.append([])
        self.free.append([])
        return len(self.steps) - 1

    def closure(self, nodes: Iterable[int], before: str, after: str) -> frozenset[int]:
        """All nodes that can be reached between two characters; an edge of the text is ''."""
        found, left = set(nodes), list(nodes)
        while left:
            for condition, target in self.free[left.pop()]:
                if target not in found and _holds(condition, before, after):
                    found.add(target)
                    left.append(target)
        return frozenset(found)


def word(patterns: Sequence[str], shortest: int = 0, longest: int | None = None) -> str | None:
    """A text of that many characters in which every pattern is found, as `re.search` finds it.

    None: there is none. `$` is the end of the text, and not before its last newline.

    Raises:
        NotKnownError: a pattern looks ahead or behind, refers back, or is too large to tell.
    """
    return _word(tuple(patterns), shortest, longest)


@lru_cache(maxsize=4096)
def _word(patterns: tuple[str, ...], shortest: int, longest: int | None) -> str | None:
    if shortest > _LONGEST:
        raise NotKnownError("too long a text")
    machines = [_automaton(pattern) for pattern in patterns]
    letters = sorted(
        {*_SAMPLES, *(c for machine in machines for c in machine.letters)},
        key=lambda c: (not c.isalnum(), not c.isascii(), c == "\n", c != "a", c),
    )
    first = (tuple(frozenset({machine.start}) for machine in machines), "", 0)
    queue: deque[tuple[Any, str]] = deque([(first, "")])
    seen: set[Any] = {first}
    while queue:
        (states, before, length), text = queue.popleft()
        if length >= shortest and _accepts(machines, states, before):
            return text
        if len(text) == longest:
            continue
        if len(text) >= _LONGEST or len(seen) > _MOST_STATES:
            raise NotKnownError("too many texts")
        for letter in letters:
            moved = _move(machines, states, before, letter)
            # Once long enough, the length no longer tells states apart, but where it is limited.
            count = len(text) + 1 if longest is not None else min(len(text) + 1, shortest)
            state = (moved, letter, count)
            key = (moved, _is_word(letter), letter == "\n", count)
            if moved is not None and key not in seen:
                seen.add(key)
                queue.append((state, text + letter))
    return None


def _accepts(machines: Sequence[_Automaton], states: Sequence[frozenset[int]], before: str) -> bool:
    pairs = zip(machines, states, strict=True)
    return all(m.end in m.closure(state, before, "") for m, state in pairs)


def _move(
    machines: Sequence[_Automaton], states: Sequence[frozenset[int]], before: str, letter: str
) -> tuple[frozenset[int], ...] | None:
    moved = []
    for machine, state in zip(machines, states, strict=True):
        reached = machine.closure(state, before, letter)
        after = {to for node in reached for takes, to in machine.steps[node] if takes(letter)}
        if not after:
            return None
        moved.append(frozenset(after))
    return tuple(moved)


def _is_word(letter: str) -> bool:
    return bool(re.match(r"\w", letter))


def _holds(condition: Any, before: str, after: str) -> bool:
    if condition is None:
        return True
    if condition in (ops.AT_BEGINNING, ops.AT_BEGINNING_STRING):
        return not before
    if condition in (ops.AT_END, ops.AT_END_STRING):
        return not after
    edge = _is_word(before) != _is_word(after)
    return edge if condition == ops.AT_BOUNDARY else not edge


def _automaton(pattern: str) -> _Automaton:
    try:
        tree = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise NotKnownError(f"not a pattern of Python: {error}") from None
    flags = tree.state.flags
    if flags & re.MULTILINE:
        raise NotKnownError("multiline patterns")
    machine = _Automaton()
    machine.start, first, last, machine.end = (machine.node() for _ in range(4))
    for outside in (machine.start, machine.end):
        machine.steps[outside].append((lambda _: True, outside))
    machine.free[machine.start].append((None, first))
    machine.free[last].append((None, machine.end))
    _build(machine, tree, first, last, flags)
    return machine


def _build(machine: _Automaton, tree: Any, start: int, end: int, flags: int) -> None:
    """What `tree` says, between two nodes."""
    here = start
    for op, argument in tree:
        there = machine.node()
        _build_one(machine, op, argument, here, there, flags)
        here = there
    machine.free[here].append((None, end))


def _build_one(machine: _Automaton, op: Any, argument: Any, start: int, end: int, f: int) -> None:
    if op in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN):
        machine.letters.update(_letters(op, argument, f))
        machine.steps[start].append((_taker(op, argument, f), end))
    elif op == ops.AT and argument in _PLACES:
        machine.free[start].append((argument, end))
    elif op == ops.BRANCH:
        for branch in argument[1]:
            _build(machine, branch, start, end, f)
    elif op == ops.SUBPATTERN:
        _, added, dropped, tree = argument
        _build(machine, tree, start, end, (f | added) & ~dropped)
    elif op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
        _repeat(machine, argument, start, end, f)
    else:
        raise NotKnownError(f"{op} in a pattern")


_PLACES = (
    ops.AT_BEGINNING,
    ops.AT_BEGINNING_STRING,
    ops.AT_END,
    ops.AT_END_STRING,
    ops.AT_BOUNDARY,
    ops.AT_NON_BOUNDARY,
)


def _repeat(machine: _Automaton, argument: Any, start: int, end: int, flags: int) -> None:
    least, most, tree = argument
    here = start
    for _ in range(least):
        there = machine.node()
        _build(machine, tree, here, there, flags)
        here = there
    if most == ops.MAXREPEAT:
        loop = machine.node()
        machine.free[here].append((None, loop))
        _build(machine, tree, loop, loop, flags)
        here = loop
    else:
        for _ in range(most - least):
            machine.free[here].append((None, end))
            there = machine.node()
            _build(machine, tree, here, there, flags)
            here = there
    machine.free[here].append((None, end))


def _taker(op: Any, argument: Any, flags: int) -> Takes:
    """Whether a character is taken: asked of `re` itself, where flags mean what they do."""
    if op == ops.ANY:
        source = "."
    elif op == ops.IN:
        source = f"[{''.join(_class_item(*item) for item in argument)}]"
    else:
        source = f"[{'^' * (op == ops.NOT_LITERAL)}{_escaped(argument)}]"
    compiled = re.compile(source, flags & (re.IGNORECASE | re.DOTALL | re.ASCII))
    return lambda letter: compiled.match(letter) is not None


def _class_item(op: Any, argument: Any) -> str:
    if op == ops.NEGATE:
        return "^"
    if op == ops.RANGE:
        return f"{_escaped(argument[0])}-{_escaped(argument[1])}"
    if op == ops.CATEGORY:
        return _CATEGORIES[argument]
    return _escaped(argument)


_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"


def _letters(op: Any, argument: Any, flags: int) -> Iterable[str]:
    """Characters that stand for those taken and those not, one of each kind at the least."""
    codes: set[int] = set()
    for kind, value in argument or () if op == ops.IN else [(op, argument)]:
        if kind == ops.RANGE:
            codes |= {value[0], value[1], value[1] + 1, max(value[0] - 1, 0)}
        elif kind in (ops.LITERAL, ops.NOT_LITERAL):
            codes |= {value, value + 1}
    letters = {chr(code) for code in codes if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF}
    if flags & re.IGNORECASE:
        letters |= {other for c in letters for other in (c.lower(), c.upper()) if len(other) == 1}
    return letters
