from pathlib import Path

import pytest
from canitoolcall.fixtures import Fixture, load_fixtures
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from evals.errors import ModelError
from evals.replay.build import build_replay
from evals.replay.tokenizer import split_token

FIXTURES = [
    fixture
    for fixture in load_fixtures()
    if fixture.family in ("qwen3-xml", "qwen3-hermes")
    and fixture.tokenizer is not None
    and fixture.tokenizer.repo.startswith("Qwen/Qwen3-")
]


@pytest.fixture(scope="module")
def tokenizer(replay_model: Path) -> Tokenizer:
    return Tokenizer.from_file(str(replay_model / "tokenizer.json"))


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(
    ("token", "number"),
    [
        ("<|endoftext|>", 151643),
        ("<|im_end|>", 151645),
        ("<tool_call>", 151657),
        ("</tool_call>", 151658),
        ("<tool_response>", 151665),
        ("</tool_response>", 151666),
        ("<think>", 151667),
        ("</think>", 151668),
        ("></", 1472),
        (">\n", 397),
    ],
)
def test_tokens_have_the_ids_of_qwen3(tokenizer: Tokenizer, token: str, number: int) -> None:
    assert encode(tokenizer, token) == [number]


def test_there_are_as_many_fixtures_of_this_vocabulary_as_counted() -> None:
    assert len(FIXTURES) == 70


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.id)
def test_recorded_answers_encode_and_decode_to_their_ids(
    tokenizer: Tokenizer, fixture: Fixture
) -> None:
    assert fixture.output_token_ids is not None
    ids = list(fixture.output_token_ids)
    assert encode(tokenizer, fixture.raw_output) == ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == fixture.raw_output


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back_as_it_is(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(encode(tokenizer, text), skip_special_tokens=False) == text


def test_a_token_is_split_into_the_two_parts_that_merge_last() -> None:
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4, b"abc": 5}
    assert split_token(b"bc", ranks) == [b"b", b"c"]
    assert split_token(b"abc", ranks) == [b"a", b"bc"]


def test_a_token_that_no_merge_makes_is_an_error() -> None:
    with pytest.raises(ModelError, match="cannot make its own token b'abc'"):
        split_token(b"abc", {b"a": 0, b"b": 1, b"c": 2, b"abc": 3})


def test_an_unknown_template_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'chatml' \(choose from .*hermes.*qwen3-coder"):
        build_replay(tmp_path, tmp_path, template="chatml")
