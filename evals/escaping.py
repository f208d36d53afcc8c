"""Text from a server, a model or a file name, made fit to be shown: nothing in it acts."""


def escape_controls(text: str) -> str:
    """`text` with control characters (also of ANSI escapes) made visible; newlines are kept."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else repr(c)[1:-1] for c in text)


def excerpt(text: str | bytes, longest: int = 200) -> str:
    """The beginning of `text`, at most `longest` characters of it, fit to be shown."""
    if isinstance(text, bytes):
        # A character has at most four bytes: more than these need not be decoded.
        text = text[: 4 * longest].decode("utf-8", errors="replace")
    return escape_controls(text[:longest])


def one_line(text: str) -> str:
    """`text` fit to be shown, its newlines and tabs as escapes, too: such as a file's name."""
    return escape_controls(text).replace("\n", "\\n").replace("\t", "\\t")
