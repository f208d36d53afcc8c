"""Keys of files are described by the docstrings below them, also where a schema has other names."""

from pydantic import Field

from evals.config import Config
from evals.described import Described
from evals.loading.entries import CaseFile


class Own(Described):
    """Not of evals: its source is not looked for."""

    key: int = Field(default=1, description="said in the field")


def test_every_key_of_a_case_and_of_the_settings_is_described_in_the_schema() -> None:
    for model, name in ((CaseFile, "CaseEntry"), (Config, "Target")):
        known = model.model_json_schema()["$defs"]
        assert name in known
        untold = [key for key, field in known[name]["properties"].items() if not told(field)]
        assert untold in ([], ["id"]), name


def told(field: dict[str, object]) -> bool:
    return bool(field.get("description")) or "$ref" in field


def test_what_a_field_says_itself_is_kept() -> None:
    assert Own.model_json_schema()["properties"]["key"]["description"] == "said in the field"
