"""llama.cpp's own server out of the PyPI package `xllamacpp`, as a process of its own.

`python llama_cpp_server.py --model FILE.gguf --host 127.0.0.1 --port 8080` takes the few options of
`llama-server` that are named below, under the same names and with its defaults. The package runs
the server in threads of the process that loads it; a crash must not be one of the run. It imports
nothing of this suite: the environment of its own that llama.cpp may have does not have that.
"""

import argparse
import importlib.util
import signal
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code is 2 without the package."""
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("xllamacpp") is None:
        print(
            "the package xllamacpp is not installed; `pip install 'toolcall-evals[llama-cpp]'` "
            "brings llama.cpp's server, or start llama-server yourself and give its --url",
            file=sys.stderr,
        )
        return 2
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    server = _start(options)
    print(f"listening at {server.listening_address}", file=sys.stderr, flush=True)
    while not stopping:
        signal.pause()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evals.engines.llama_cpp_server", allow_abbrev=False)
    parser.add_argument("--model", "-m", required=True, help="a GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--alias", "-a", help="the model's name in responses")
    parser.add_argument("--ctx-size", "-c", type=int, default=0, help="0: the model's own")
    parser.add_argument("--parallel", "-np", type=int, default=4, help="requests at a time")
    parser.add_argument("--threads", "-t", type=int, help="default: llama.cpp's own choice")
    parser.add_argument("--api-key", action="append", default=[])
    parser.add_argument("--chat-template-file", help="in place of the model's own")
    return parser


def _start(options: argparse.Namespace) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options.model
    if hasattr(params, "hostnames"):
        params.hostnames = [options.host]
    else:  # before 2026.10
        params.hostname = options.host
    params.port = options.port
    params.n_ctx = options.ctx_size
    params.n_parallel = options.parallel
    params.kv_unified = True  # as llama-server: each request may use the whole context
    params.use_jinja = True
    if options.alias:
        params.model_alias = {options.alias}
    if options.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    if options.api_key:
        params.api_keys = options.api_key
    if options.chat_template_file:
        params.chat_template = Path(options.chat_template_file).read_text(encoding="utf-8")
    return xllamacpp.Server(params)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
