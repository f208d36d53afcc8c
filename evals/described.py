"""Models of files whose keys are described by the docstrings below them."""

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema


class Described(BaseModel):
    """A model whose JSON Schema says what is written below its fields.

    Pydantic's `use_attribute_docstrings` reads all sources whenever the classes are imported, which
    takes a tenth of a second; here they are read when somebody wants the schema.
    """

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        told = handler(schema)
        properties = handler.resolve_ref_schema(told).get("properties", {})
        for name, text in attribute_docs(cls).items():
            if name in cls.model_fields:
                key = cls.model_fields[name].alias or name
                properties[key].setdefault("description", text)
        return told


def attribute_docs(of: type) -> dict[str, str]:
    """The docstrings under a class's attributes, those of its own base classes included."""
    found: dict[str, str] = {}
    for owner in reversed(of.__mro__):
        if not owner.__module__.startswith("evals."):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(tree, ast.ClassDef)
        for node, after in pairwise(tree.body):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            for target in targets:
                if isinstance(target, ast.Name) and (text := _text(after)):
                    found[target.id] = " ".join(text.split())
    return found


def _text(node: ast.stmt) -> str | None:
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
