"""The training step in PyTorch on the CPU, asked by contenders.mjs: a line of JSON for a line of JSON, the time in milliseconds in it."""

import json
import struct
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F


def main():
    step = None
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.perf_counter()
        try:
            if asked["method"] == "prepare":
                step, value = training(**asked["argument"]), None
            else:
                value = step()
            answer = {"value": value, "ms": 1e3 * (time.perf_counter() - start)}
        except Exception as problem:  # told to whoever asked
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        print(json.dumps(answer), flush=True)


def training(folder, rows, learning):
    """A function that takes a step of AdamW behind a clip and tells the loss before it."""
    config = json.loads(Path(folder, "config.json").read_text())
    weights = tensors(Path(folder, "model.safetensors"))
    ids = torch.tensor(rows)
    parameters = list(weights.values())
    optimizer = torch.optim.AdamW(
        parameters, lr=learning["rate"], betas=(learning["beta1"], learning["beta2"]), eps=learning["eps"], weight_decay=0
    )

    def step():
        optimizer.zero_grad()
        logits = logits_of(config, weights, ids)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, learning["maxNorm"])
        optimizer.step()
        return loss.item()

    return step


def logits_of(config, weights, ids):
    """ids [B,T] → [B,T,V]."""
    (rows, time_), width, eps = ids.shape, config["hidden_size"], config["rms_norm_eps"]
    half = config["head_dim"] // 2
    angles = torch.outer(torch.arange(time_), config["rope_theta"] ** (-torch.arange(half) / half))
    cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def norm(x, name):
        return F.rms_norm(x, (width,), weights[f"{name}.weight"], eps)

    def linear(x, name):
        return F.linear(x, weights[f"{name}.weight"])

    def turned(x):
        return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin

    x = F.embedding(ids, weights["model.embed_tokens.weight"])
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        h = norm(x, f"{layer}.input_layernorm")
        q, k, v = (linear(h, f"{layer}.self_attn.{n}_proj").view(rows, time_, -1, 2 * half).transpose(1, 2) for n in "qkv")
        mixed = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True, enable_gqa=q.shape != k.shape)
        x = x + linear(mixed.transpose(1, 2).reshape(rows, time_, -1), f"{layer}.self_attn.o_proj")
        h = norm(x, f"{layer}.post_attention_layernorm")
        x = x + linear(F.silu(linear(h, f"{layer}.mlp.gate_proj")) * linear(h, f"{layer}.mlp.up_proj"), f"{layer}.mlp.down_proj")
    return linear(norm(x, "model.norm"), "lm_head")


def tensors(path):
    """The arrays of a safetensors file of float32, to be trained."""
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<Q", data)
    table, start = json.loads(data[8 : 8 + length]), 8 + length
    read = {}
    for name, entry in table.items():
        first, last = (start + offset for offset in entry["data_offsets"])
        flat = torch.frombuffer(data, dtype=torch.float32, count=(last - first) // 4, offset=first)
        read[name] = flat.reshape(entry["shape"]).clone().requires_grad_()
    return read


main()
