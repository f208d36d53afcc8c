"""The copying model through two engines that nobody here wrote: ids equal to the script."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.case import Case, ReplayScript
from evals.config import cache_folder
from evals.engines.blas import one_thread
from evals.engines.mlx_lm import boot
from evals.engines.registry import LLAMA_CPP, MLX_LM
from evals.engines.server import Server
from evals.errors import ModelError
from evals.lanes import server as plain_lane
from evals.lanes import stream as stream_lane
from evals.lanes.replayed import replayed
from evals.observation import Observation
from evals.replay.build import templates
from evals.replay.copy_model import CopyModel, chat_template
from evals.replay.copy_weights import HIDDEN, copying_weights, embedding
from evals.replay.layout import LayoutError, Player, calibrate, lay
from evals.replay.prompts import encoder, player_of, text_of
from evals.replay.vocabulary import CUT, END, FULL, VOCABULARIES
from evals.request import build_request, embed

MODEL = CopyModel()
CALL = "<tool_call>\n<function=todoread>\n</function>\n</tool_call>"
TEXTS = (
    "Hi",
    CALL,
    "漢字 äöü 🎉 done",
    "\n\n  begins and ends with space \n",
    "",
    "'re <think>so</think> 9007199254740993",
    "word " * 300,
)


@pytest.fixture(scope="module")
def player() -> Player:
    return player_of(MODEL.folder(cache_folder()), cache_folder() / "downloads", MODEL.distance)


@pytest.fixture(scope="module", params=["mlx_lm", "llama_cpp"])
def served(
    request: pytest.FixtureRequest, player: Player, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The copying model behind each engine, with the layout that the engine needs."""
    log = tmp_path_factory.mktemp(request.param) / "server.log"
    engine = {"mlx_lm": MLX_LM, "llama_cpp": LLAMA_CPP}[request.param]
    if request.param == "llama_cpp":
        pytest.importorskip("xllamacpp")
    model, arguments = {
        "mlx_lm": (MODEL.folder(cache_folder()), ()),
        "llama_cpp": (MODEL.gguf(cache_folder()), ("--threads", "1")),
    }[request.param]
    with boot(
        model,
        log=log,
        cache=cache_folder(),
        arguments=arguments,
        environment=one_thread(),
        engine=engine,
    ) as server:
        yield replayed(server, engine, player)


def ask(server: Server, case: Case) -> Observation:
    return plain_lane.ask(server, case, timeout=60)


def ids_of(text: str, player: Player) -> tuple[int, ...]:
    return (*player.encode(text), *player.encode(END))


@pytest.mark.parametrize("text", TEXTS)
def test_the_ids_are_the_script(served: Server, player: Player, text: str) -> None:
    answer = ask(served, builders.played(ReplayScript(text=text)))
    assert answer.error is None
    assert answer.token_ids == ids_of(text, player)


def test_a_call_comes_plain_and_streamed(served: Server) -> None:
    case = builders.played(ReplayScript(text=CALL))
    for answer in (ask(served, case), stream_lane.ask(served, case, timeout=60)):
        assert answer.error is None
        assert [(call.name, call.arguments) for call in answer.calls] == [("todoread", "{}")]
        assert answer.finish_reason == "tool_calls"


def test_temperature_one_and_a_long_prompt_change_nothing(served: Server, player: Player) -> None:
    tools = [{"name": f"tool_{i}", "description": "word " * 200} for i in range(80)]
    case = builders.played(ReplayScript(text=CALL.replace("todoread", "tool_7")), tools=tools)
    answer = ask(served, case.model_copy(update={"temperature": 1.0}))
    assert answer.usage is not None
    assert answer.usage.prompt > 16_000
    assert answer.token_ids == ids_of(CALL.replace("todoread", "tool_7"), player)


def test_eight_at_once_get_each_their_own(served: Server, player: Player) -> None:
    texts = [f"answer {number}: " + f"word{number} " * (3 + 9 * number) for number in range(8)] * 2
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda text: ask(served, builders.played(ReplayScript(text=text))), texts)
        )
    assert [answer.token_ids for answer in answers] == [ids_of(text, player) for text in texts]


def test_max_tokens_cuts_a_script(served: Server, player: Player) -> None:
    answer = ask(served, builders.played(ReplayScript(text="one two three four"), max_tokens=2))
    assert answer.token_ids == ids_of("one two three four", player)[:2]
    assert answer.finish_reason == "length"


def test_a_tool_result_carries_the_next_script(served: Server, player: Player) -> None:
    first = build_request(builders.played(ReplayScript(text=CALL)))["messages"]
    result = f"nothing {embed(ReplayScript(text='There is nothing to do.'))}"
    function = {"name": "todoread", "arguments": "{}"}
    turns = [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "1", "content": result},
    ]
    answer = ask(served, builders.played(None, messages=[*first, *turns]))
    assert answer.token_ids == ids_of("There is nothing to do.", player)


def test_ids_of_the_full_vocabulary_are_played_as_their_text(served: Server) -> None:
    ids = (151657, 198, 27, 1688, 24000, 67465, 329, 397, 522, 1688, 397, 151658)
    answer = ask(served, builders.played(ReplayScript(ids=ids)))
    assert answer.error is None
    assert [call.name for call in answer.calls] == ["todoread"]


@pytest.fixture(scope="module", params=["mlx 4 bits", "mlx 8 bits", "Q4_0", "Q8_0"])
def quantised(
    request: pytest.FixtureRequest, player: Player, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A quantised copy of the copying model behind its engine."""
    folder = tmp_path_factory.mktemp("quantised")
    first, *rest = request.param.split()
    if first == "mlx":
        from mlx_lm import convert

        source, engine, model = MODEL.folder(cache_folder()), MLX_LM, folder / "model"
        convert(str(source), str(model), quantize=True, q_bits=int(rest[0]), q_group_size=32)
    else:
        pytest.importorskip("xllamacpp")
        engine, model = LLAMA_CPP, folder / "model.gguf"
        write_quantised(model, MODEL.gguf(cache_folder()), first)
    with boot(
        model,
        log=folder / "server.log",
        cache=cache_folder(),
        arguments=() if engine == MLX_LM else ("--threads", "1"),
        environment=one_thread(),
        engine=engine,
    ) as server:
        yield replayed(server, engine, player)


def write_quantised(file: Path, source: Path, kind: str) -> None:
    """A copy of a GGUF file whose matrices are quantised; vectors stay as they are."""
    import gguf

    wanted = gguf.GGMLQuantizationType[kind]
    reader, writer = gguf.GGUFReader(source), gguf.GGUFWriter(str(file), "qwen2")
    for name, field in reader.fields.items():
        if not name.startswith(("GGUF.", "general.architecture")):
            inner = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        values = np.array(tensor.data)
        if values.ndim == 2:
            writer.add_tensor(tensor.name, gguf.quantize(values, wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_quantised_copy_plays_the_same_ids_eight_at_once(
    quantised: Server, player: Player
) -> None:
    texts = [*TEXTS, "answer: " + "word " * 40]
    with ThreadPoolExecutor(8) as pool:
        cases = [builders.played(ReplayScript(text=text)) for text in texts]
        answers = list(pool.map(lambda case: ask(quantised, case), cases))
    assert [answer.token_ids for answer in answers] == [ids_of(text, player) for text in texts]


# --- what cannot be played -----------------------------------------------------------------------


def test_a_script_longer_than_the_distance_is_refused(served: Server) -> None:
    answer = ask(served, builders.played(ReplayScript(text="word " * 1100)))
    assert answer.error is not None
    assert "has 1101 tokens, and 1008 is the most that a model with distance 1024" in answer.error


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (ReplayScript(text="x", delay=1.0), "needs the replay model with code"),
        (ReplayScript(text="x", fail_at=0), "needs the replay model with code"),
        (ReplayScript(ids=(151900,)), "ids without a token: \\[151900\\]"),
    ],
)
def test_a_script_that_no_prompt_can_carry(
    player: Player, script: ReplayScript, message: str
) -> None:
    with pytest.raises(LayoutError, match=message):
        lay(build_request(builders.played(script)), player)


def test_a_request_without_a_script_stays_as_it_is(player: Player) -> None:
    body = build_request(builders.played(None))
    assert lay(body, player) == body


# --- how it is laid ------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=60).filter(
    lambda text: "<|" not in text
)


@given(script=words, question=words)
@settings(max_examples=150, deadline=None)
def test_a_script_stands_at_the_distance_whatever_is_around(
    player: Player, script: str, question: str
) -> None:
    case = builders.played(
        ReplayScript(text=script), messages=[{"role": "user", "content": question}]
    )
    prompt = player.render(lay(build_request(case), player))
    wanted = [*player.encode(script), *player.encode(END)]
    start = len(prompt) - 1 - player.distance
    assert prompt[start : start + len(wanted)] == wanted


def test_content_in_parts_keeps_its_parts(player: Player) -> None:
    parts = [{"type": "text", "text": "Check"}, {"type": "text", "text": " my tasks."}]
    case = builders.played(ReplayScript(text="Hi"), messages=[{"role": "user", "content": parts}])
    laid = lay(build_request(case), player)
    assert [message["role"] for message in laid["messages"]] == ["user", "user"]
    assert laid["messages"][1]["content"][:2] == parts
    prompt = player.render(laid)
    assert prompt[len(prompt) - 1 - player.distance] == player.encode("Hi")[0]


def test_an_engine_that_joins_messages_gets_script_and_question_in_one(player: Player) -> None:
    joining = replace(player, together=True)
    laid = lay(build_request(builders.played(ReplayScript(text="Hi"))), joining)
    assert [message["role"] for message in laid["messages"]] == ["user"]
    prompt = joining.render(laid)
    wanted = [*player.encode("Hi"), *player.encode(END)]
    start = len(prompt) - 1 - joining.distance
    assert prompt[start : start + len(wanted)] == wanted


def test_an_engine_whose_prompts_are_longer_is_found_by_one_probe(player: Player) -> None:
    names = {player.encode(f" {letter}")[0]: f" {letter}" for letter in LETTERS}

    def engine(body: dict[str, Any]) -> str:
        prompt = [*player.render(body), *player.encode("\n<think>\n")]
        start = len(prompt) - 1 - player.distance
        return "".join(names[token] for token in prompt[start : start + 2])

    assert calibrate(player, engine).shift == -len(player.encode("\n<think>\n"))
    with pytest.raises(LayoutError, match="it does not serve the copying model"):
        calibrate(player, lambda body: "I am another model.")


LETTERS = "abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVW"


# --- the files -----------------------------------------------------------------------------------


def test_rows_are_far_from_each_other_and_the_same_everywhere() -> None:
    rows = embedding(2000)
    cosines = rows @ rows.T - 2 * np.eye(2000)
    assert float(cosines.max()) < 0.6
    bits = np.packbits((rows[0] > 0)[:64])
    assert base64.b16encode(bits.tobytes()) == b"E4B00307989547E8"


def test_attention_is_sharp_at_the_distance_alone() -> None:
    weights = copying_weights(8, 1024)
    query = weights["model.layers.0.self_attn.q_proj.bias"].reshape(2, -1)
    key = weights["model.layers.0.self_attn.k_proj.bias"].reshape(2, -1)
    theta = 10_000.0 ** (-2.0 * np.arange(HIDDEN // 2) / HIDDEN)
    distances = np.arange(0, 33_000)
    # q at position 0 against k at -distance: the rotation by distance alone.
    turned = distances[:, None] * theta
    scores = (query[0] * (key[0] * np.cos(turned)) - query[1] * (key[0] * np.sin(turned))).sum(
        1
    ) / HIDDEN**0.5
    best, second = np.sort(scores)[[-1, -2]]
    assert int(np.argmax(scores)) == 1024
    assert best - second > 25


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=lambda v: v.name)
def test_a_folder_is_small_and_has_no_code(vocabulary: Any) -> None:
    folder = CopyModel(vocabulary=vocabulary).folder(cache_folder())
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size < (5.5e6 if vocabulary == CUT else 50e6)
    assert {file.suffix for file in folder.iterdir()} == {".json", ".jinja", ".safetensors"}
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["vocab_size"]) == ("qwen2", vocabulary.rows)


def test_the_cut_vocabulary_has_the_first_ids_and_renumbered_specials() -> None:
    cut, full = (encoder(CopyModel(vocabulary=v).folder(cache_folder())) for v in (CUT, FULL))
    assert cut(" the") == full(" the")
    assert cut("<tool_call>") == [CUT.token_id("<tool_call>")] != full("<tool_call>")
    assert max(cut("todoread 漢字")) < CUT.rows


@pytest.mark.parametrize("name", templates())
def test_each_template_is_there_without_the_mark_of_the_other_model(name: str) -> None:
    assert "<|fim_middle|>" not in chat_template(name)
    assert "add_generation_prompt" in chat_template(name)


def test_an_unknown_template() -> None:
    with pytest.raises(ModelError, match="unknown replay template 'hermess', did you mean"):
        CopyModel(template="hermess").folder(cache_folder())


def test_text_of_ids() -> None:
    downloads = cache_folder() / "downloads"
    assert text_of([151657, 198, 151658], downloads) == "<tool_call>\n</tool_call>"
