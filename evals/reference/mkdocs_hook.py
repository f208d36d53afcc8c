"""A hook of mkdocs for what it reads otherwise than GitHub does; named in mkdocs.yml."""

import re
from typing import Any

_FENCE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1`*[ \t]*$", re.DOTALL | re.MULTILINE)
_OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./)+(?:cases|evals|tests|\.github)/[^)\s]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    r"""The page without links to files that are not built, and with `\<` as an entity.

    Code blocks stay as they are. That such links lead somewhere is for the tests to tell.
    """
    parts, position = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_rewritten(markdown[position : fence.start()]), fence[0]]
        position = fence.end()
    return "".join([*parts, _rewritten(markdown[position:])])


def _rewritten(text: str) -> str:
    return _OUTSIDE.sub(r"\1", text).replace(r"\<", "&lt;")
