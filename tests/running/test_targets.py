"""What a target says: its engine, the model that plays scripts, and what does not go together."""

from pathlib import Path

import pytest

from evals.config import Config, Target, read_config
from evals.engines.mlx_lm import boot
from evals.engines.registry import LLAMA_CPP, MLX_LM, OLLAMA, VLLM_MLX
from evals.errors import ConfigError, ModelError, ServerError
from evals.replay.vocabulary import FULL
from evals.running.options import profile_names, read_options
from evals.running.profile import open_profile
from evals.running.targets import copy_model, engine_of


def test_mlx_lm_is_booted_and_an_attached_server_is_recognised() -> None:
    assert engine_of(Target()) == MLX_LM
    assert engine_of(Target(url="http://127.0.0.1:1")) is None
    assert engine_of(Target(url="http://127.0.0.1:1", engine="llama_cpp")) == LLAMA_CPP


def test_which_model_plays_scripts() -> None:
    assert copy_model(Target(model="replay")) is None  # the one with code
    assert copy_model(Target(model="default", engine="llama_cpp")) is None
    played = copy_model(Target(model="replay", engine="llama_cpp", template="hermes"))
    assert played is not None
    assert (played.template, played.distance) == ("hermes", 1024)
    chosen = copy_model(Target(model="copy", vocabulary="full", distance=2048))
    assert chosen is not None
    assert (chosen.vocabulary, chosen.distance) == (FULL, 2048)


def test_all_profiles_are_those_that_need_no_other_engine() -> None:
    config = Config()
    assert "replay-llama-cpp" in config.profiles
    assert "replay-llama-cpp" not in profile_names({"profiles": "all"}, config)
    assert profile_names({"profiles": "replay-llama-cpp"}, config) == ("replay-llama-cpp",)


def test_the_command_line_chooses_engine_name_and_key() -> None:
    config = Config()
    given = {"engine": "vllm", "served_name": "m", "api_key_env": "K", "attach": "http://h:1"}
    target = read_options(given, config).applied_to(config).target("default")
    assert (target.engine, target.served_name, target.api_key_env) == ("vllm", "m", "K")
    with pytest.raises(ConfigError, match="unknown engine 'vlm', did you mean 'vllm'"):
        read_options({"engine": "vlm"}, config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[targets.t]\nengine = "lama"', "targets.t.engine: unknown engine 'lama'"),
        (
            '[targets.t]\nengine = "llama_cpp"\n[profiles.p]\ntarget = "t"\ngrammar = true',
            "profiles.p: a parser or grammar is put into mlx_lm.server alone",
        ),
        ('[profiles.default]\nasks = "replai"', "profiles.default.asks: unknown profile 'replai'"),
        (
            '[targets.t]\napi_key_env = "A"\napi_key_file = "b"',
            "give one of api_key_env and api_key_file",
        ),
    ],
)
def test_mistakes_are_named_where_they_stand(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "evals.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path)


def test_lane_direct_and_another_engine(tmp_path: Path) -> None:
    config = Config()
    opening = open_profile("replay-llama-cpp", config, ["direct"], tmp_path, tmp_path, print)
    with pytest.raises(ConfigError, match="lane direct loads the model with mlx_lm"), opening:
        pass


# --- engines that cannot start -------------------------------------------------------------------


def test_an_engine_that_is_only_attached_to(tmp_path: Path) -> None:
    starting = boot(tmp_path, log=tmp_path / "log", cache=tmp_path, engine=OLLAMA)
    with pytest.raises(ServerError, match=r"Ollama is started by yourself.*--attach URL"), starting:
        pass


def test_an_engine_that_is_not_installed(tmp_path: Path) -> None:
    starting = boot(tmp_path, log=tmp_path / "log", cache=tmp_path, engine=VLLM_MLX)
    with (
        pytest.raises(ServerError, match="is not installed here: `evals engine install vllm_mlx`"),
        starting,
    ):
        pass


def test_a_folder_for_llama_cpp(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    starting = boot(tmp_path, log=tmp_path / "log", cache=tmp_path, engine=LLAMA_CPP)
    with pytest.raises(ModelError, match=r"is a folder; llama\.cpp serves a GGUF file"), starting:
        pass


def test_a_gguf_file_that_is_cut_off_ends_the_boot_at_once(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF" + bytes(60))
    starting = boot(file, log=tmp_path / "log", cache=tmp_path, engine=LLAMA_CPP, timeout=60)
    with (
        pytest.raises(ServerError, match=r"the server (ended|was killed).*before it was"),
        starting,
    ):
        pass
