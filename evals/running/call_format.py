"""The call format that a profile's server parses: told by its parser, checked where it is said."""

from typing import Any

from evals.config import Config, Profile
from evals.errors import ConfigError
from evals.formats.qwen_xml import QWEN_XML
from evals.formats.registry import FORMATS, NOT_KNOWN, find_format
from evals.parsers.names import STOCK


def parsed_format(name: str, config: Config, tokenizer: Any) -> str:
    """The format that profile `name` is judged by; the server's own where the profile says none.

    `tokenizer` is that of the model, None where it is not on this machine.

    Raises:
        ConfigError: the profile says a format that the parser of the server to boot does not read.
    """
    profile, target = config.profile(name), config.target(name)
    parser = parser_of(profile, tokenizer)
    read = [format_.name for format_ in FORMATS if parser in format_.parsers]
    said = profile.call_format
    if said is None:
        guess = QWEN_XML.name if target.url is None else NOT_KNOWN
        return read[0] if read else guess
    # A server that runs already may have any parser, whatever the model's template is.
    if target.url is None and read and parser not in find_format(said).parsers:
        whose = "the model's template implies" if profile.parser == STOCK else "the profile names"
        raise ConfigError(
            f"profiles.{name}.call_format is {said}, but {whose} the parser {parser}, which reads "
            f"{' or '.join(read)}; leave call_format out, or name the parser of {said} "
            f"({', '.join(find_format(said).parsers) or 'mlx_lm has none'})"
        )
    return said


def parser_of(profile: Profile, tokenizer: Any) -> str | None:
    """The profile's own parser, else what mlx_lm infers from this tokenizer; None if neither."""
    if profile.parser != STOCK:
        return profile.parser
    function = getattr(tokenizer, "tool_parser", None)
    module = getattr(function, "__module__", None)
    return str(module).removeprefix("mlx_lm.tool_parsers.") if module else None
