"""The names of tool parsers, as a profile says them; nothing of mlx_lm is imported for them."""

import importlib.util
import pkgutil
from pathlib import Path

STOCK = "stock"
"""The parser that the server infers from the model's template."""
OWN = ("adaptive_xml",)
"""The parsers of this package, which a launcher puts into the server."""


def parser_names() -> list[str]:
    """`stock`, this package's parsers, and the modules of `mlx_lm.tool_parsers`."""
    spec = importlib.util.find_spec("mlx_lm")
    folders = [
        Path(place) / "tool_parsers" for place in ((spec and spec.submodule_search_locations) or ())
    ]
    stock = sorted(module.name for module in pkgutil.iter_modules(map(str, folders)))
    return [STOCK, *OWN, *stock]
