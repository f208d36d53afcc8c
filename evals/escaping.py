"""Text from a server, a model or a file name, made fit to be shown: nothing in it acts."""

import re
from collections.abc import Callable
from functools import lru_cache

# Most text is ASCII; only the rest is looked at character by character.
_MAYBE_UNPRINTABLE = re.compile(r"[^\n -~]+")


def escape_unprintable(text: str, escape: Callable[[str], str]) -> str:
    """`text` with each character that is not printable as `escape` writes it; newlines are kept."""
    if text.replace("\n", "").isprintable():
        return text

    def escaped(found: re.Match[str]) -> str:
        return "".join(c if c.isprintable() else escape(c) for c in found[0])

    return _MAYBE_UNPRINTABLE.sub(escaped, text)


def escape_controls(text: str) -> str:
    """`text` with control characters (also of ANSI escapes) made visible; newlines are kept."""
    return escape_unprintable(text, lambda c: c if c == "\t" else repr(c)[1:-1])


def excerpt(text: str | bytes, longest: int = 200) -> str:
    """The beginning of `text`, at most `longest` characters of it, fit to be shown."""
    if isinstance(text, bytes):
        # A character has at most four bytes: more than these need not be decoded.
        text = text[: 4 * longest].decode("utf-8", errors="replace")
    return escape_controls(text[:longest])


HIDDEN_KEY = "[key]"
_LONG_KEY = 16


def without_key(text: str, key: str) -> str:
    """`text` with `key` taken out: as it is, with backslashes as JSON has them, and where cut off.

    Of a long key that was cut its first half is enough to go by: less is no key, and a short one
    (`none`, `EMPTY`) has halves that are words.
    """
    if not key or key[0] not in text:
        return text
    half = len(key) // 2 if len(key) >= _LONG_KEY else len(key)
    parts, done = list[str](), 0
    for found in _begins(key[:half]).finditer(text):
        if found.start() >= done:
            parts += [text[done : found.start()], HIDDEN_KEY]
            done = _end_of(text, found.end(), key[half:])
    return "".join([*parts, text[done:]])


@lru_cache(maxsize=8)
def _begins(key: str) -> re.Pattern[str]:
    return re.compile("".join(rf"\\?{re.escape(letter)}" for letter in key))


def _end_of(text: str, place: int, rest: str) -> int:
    """Where what is there of `rest` ends, from `place` on."""
    for letter in rest:
        escaped = text.startswith("\\" + letter, place)
        if not escaped and not text.startswith(letter, place):
            break
        place += 2 if escaped else 1
    return place


def one_line(text: str) -> str:
    """`text` fit to be shown, its newlines and tabs as escapes, too: such as a file's name."""
    return escape_controls(text).replace("\n", "\\n").replace("\t", "\\t")
