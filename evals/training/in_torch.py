"""The steps of a training in torch, for a CPU: faster than mlx's there, the more so on two cores.

Not imported by the suite: a program for the Python of another environment, which has torch, numpy
and safetensors, as vLLM's own has. It knows the Llama that `train` trains and nothing else of this
suite; what it gets and gives are files in the folder of the training, see `evals.training.train`.
Loss and gradients are mlx's, to the rounding of float32.

    python in_torch.py BASE WORK
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

_STATE, _LOG = "state.pt", "train.jsonl"


class Begun(TypedDict):
    """One row: its token ids, the positions whose next token is learned, where questions begin."""

    ids: list[int]
    positions: list[int]
    starts: list[int]


class Llama:
    """A frozen Llama with LoRA of mlx_lm's names and shapes; `lora` has what is trained."""

    def __init__(self, base: Path, lora: dict[str, Any], scale: float) -> None:
        config = json.loads((base / "config.json").read_text())
        self.layers = config["num_hidden_layers"]
        self.groups = config["num_attention_heads"] // config["num_key_value_heads"]
        self.size = config["hidden_size"] // config["num_attention_heads"]
        plain = {"head_dim": self.size, "tie_word_embeddings": True, "rope_scaling": None}
        plain |= {"rope_traditional": False, "attention_bias": False, "mlp_bias": False}
        for name, known in plain.items():
            if (has := config.get(name, known)) not in (known, None):
                sys.exit(
                    f"train: the steps in torch know {name} {known} alone; this base has {has}"
                )
        self.epsilon = config["rms_norm_eps"]
        self.theta = config["rope_theta"]
        self.scale = scale
        # In this order the optimizer's state is kept; that in a file depends on who wrote it.
        self.lora = {name: lora[name].float().requires_grad_() for name in sorted(lora)}
        files = sorted(base.glob("*.safetensors"))
        self.frozen = {name: v.float() for file in files for name, v in load_file(file).items()}

    def loss(self, batch: Sequence[Begun]) -> Any:
        """The mean of -log p of the batch's learned tokens."""
        length = max(len(row["ids"]) for row in batch)
        tokens = torch.zeros(len(batch), length, dtype=torch.long)
        places = torch.arange(length).repeat(len(batch), 1)
        learned, targets = [], []
        for i, row in enumerate(batch):
            tokens[i, : len(row["ids"])] = torch.tensor(row["ids"])
            learned += [i * length + place for place in row["positions"]]
            targets += [row["ids"][place + 1] for place in row["positions"]]
            for start in row["starts"]:
                places[i, start:] = torch.arange(length - start) + row["starts"][0]
        asked = [_sizes(row["starts"], length) for row in batch]
        hidden = self._hidden(tokens, places, asked)[torch.tensor(learned)]
        logits = functional.linear(hidden, self.frozen["model.embed_tokens.weight"])
        return functional.cross_entropy(logits, torch.tensor(targets))

    def _hidden(self, tokens: Any, places: Any, asked: Sequence[list[int]]) -> Any:
        batch, length = tokens.shape
        x = functional.embedding(tokens, self.frozen["model.embed_tokens.weight"]).flatten(0, 1)
        half = self.size // 2
        angles = places[:, None, :, None] * torch.exp(
            torch.arange(half) * (-math.log(self.theta) / half)
        )
        cos, sin = (torch.cat([f, f], -1) for f in (angles.cos(), angles.sin()))
        for number in range(self.layers):
            layer = f"model.layers.{number}."
            y = self._norm(x, f"{layer}input_layernorm")
            heads = (self._linear(y, f"{layer}self_attn.{name}_proj") for name in "qkv")
            q, k, v = (y.view(batch, length, -1, self.size).transpose(1, 2) for y in heads)
            q, k = (y * cos + torch.cat([-y[..., half:], y[..., :half]], -1) * sin for y in (q, k))
            k, v = (y.repeat_interleave(self.groups, 1) for y in (k, v))
            attended = [
                _attention(*(y[i : i + 1].split(sizes, 2) for y in (q, k, v)))
                for i, sizes in enumerate(asked)
            ]
            y = torch.cat(attended).transpose(1, 2).reshape(batch * length, -1)
            x = x + self._linear(y, f"{layer}self_attn.o_proj")
            y = self._norm(x, f"{layer}post_attention_layernorm")
            gate, up = (self._linear(y, f"{layer}mlp.{name}_proj") for name in ("gate", "up"))
            x = x + self._linear(functional.silu(gate) * up, f"{layer}mlp.down_proj")
        return self._norm(x, "model.norm")

    def _norm(self, x: Any, name: str) -> Any:
        return functional.rms_norm(x, (x.shape[-1],), self.frozen[f"{name}.weight"], self.epsilon)

    def _linear(self, x: Any, name: str) -> Any:
        y = functional.linear(x, self.frozen[f"{name}.weight"])
        if f"{name}.lora_a" not in self.lora:
            return y
        a, b = self.lora[f"{name}.lora_a"], self.lora[f"{name}.lora_b"]
        return torch.addmm(y, x @ a, b, alpha=self.scale)


def _sizes(starts: Sequence[int], length: int) -> list[int]:
    """How many tokens all questions of a row share, then how many each has."""
    if not starts:
        return [length]
    ends = [*starts[1:], length]
    return [starts[0], *(end - start for start, end in zip(starts, ends, strict=True))]


def _attention(queries: Sequence[Any], keys: Sequence[Any], values: Sequence[Any]) -> Any:
    """Of one row, in parts: what is shared, and of each question what it sees: that and itself."""
    (q0, *qs), (k0, *ks), (v0, *vs) = queries, keys, values
    done = [functional.scaled_dot_product_attention(q0, k0, v0, is_causal=True)]
    for q, k, v in zip(qs, ks, vs, strict=True):
        shared, own = k0.shape[2], k.shape[2]
        seen = torch.ones(own, shared + own, dtype=torch.bool).tril(shared)
        k, v = torch.cat([k0, k], 2), torch.cat([v0, v], 2)
        done.append(functional.scaled_dot_product_attention(q, k, v, attn_mask=seen))
    return torch.cat(done, 2)


def main(base: Path, work: Path) -> None:
    """Train until the last step; a training that was ended goes on at its last checkpoint."""
    settings = json.loads((work / "adapter_config.json").read_text())
    steps = [json.loads(line) for line in (work / "steps.jsonl").read_text().splitlines()]
    first, state = 0, None
    if (work / _STATE).exists():
        first, state = torch.load(work / _STATE)
        _cut(work / _LOG, first)
        print(f"train: goes on after step {first}", flush=True)
    model = Llama(base, load_file(_weights(work, first)), settings["lora_parameters"]["scale"])
    optimizer = torch.optim.Adam(model.lora.values(), betas=(0.9, 0.98))
    if state:
        optimizer.load_state_dict(state)
    began, losses = time.monotonic(), []
    for done, step in enumerate(steps[first:], start=first + 1):
        for group in optimizer.param_groups:
            group["lr"] = step["rate"]
        optimizer.zero_grad()
        loss = model.loss(step["batch"])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if done % 10 == 0:
            spent = time.monotonic() - began
            left = spent / (done - first) * (len(steps) - done)
            print(f"step {done}/{len(steps)}, about {left / 60:.0f} min left", flush=True)
            mean = round(sum(losses) / len(losses), 4)
            line = {"iteration": done, "train_loss": mean, "seconds": round(spent)}
            with (work / _LOG).open("a") as file:
                file.write(json.dumps(line) + "\n")
            losses = []
        if done % settings["save_every"] == 0 or done == len(steps):
            save_file({k: v.detach() for k, v in model.lora.items()}, _weights(work, done))
            torch.save((done, optimizer.state_dict()), work / f"{_STATE}.new")
            (work / f"{_STATE}.new").replace(work / _STATE)


def _cut(log: Path, last: int) -> None:
    """Drop the lines of steps that are taken again, and one that a killed training left torn."""
    if log.exists():
        lines = log.read_text(errors="replace").splitlines()
        log.write_text("".join(f"{line}\n" for line in lines if _step(line) <= last))


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _weights(work: Path, step: int) -> Path:
    return work / f"{step:07d}_adapters.safetensors"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
