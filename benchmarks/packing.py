"""Packing: training samples a second beside the same model with padded batches, and what the padding share promises.

Every step is forward, backward, clipping and AdamW, over the same examples with the same weights: pairs, images and texts
60/25/15, texts of log-normal length (median 55 tokens, cut at 160). The peer pads every sequence to the longest of its batch,
hands `scaled_dot_product_attention` a mask of keys, and feeds the heads hidden places only, as the packed model does; both must
give the same loss before anything is timed. With a share p of padding in the peer's rows, a pack promises 1 / (1 - p) times its
samples a second. bf16 is done as the engine does it: weights in bf16, updated from a master copy in fp32.

    python benchmarks/packing.py [--sizes tiny small] [--images 224 128] [--precisions fp32 bf16] [--repeats 5]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrpt.config import OptimConfig
from cxrpt.data.batch import Batch, MvmGroups, pack
from cxrpt.data.example import Example
from cxrpt.data.masking import mask_regions, mask_words
from cxrpt.model.pretrain import SIZES, PretrainModel, Shape
from cxrpt.optim import parameter_groups

PATCH, VOCAB, LONGEST, SCALES = 16, 8000, 160, (1, 2, 4)
CPU = torch.device("cpu")
KINDS = {"pair": 0.60, "image": 0.25, "text": 0.15}


@dataclass(frozen=True)
class Setting:
    """What one row of claims is measured on."""

    size: str
    image_size: int
    precision: str
    batch: int
    split_pairs: float

    def __str__(self) -> str:
        split = f", {self.split_pairs:.0%} of the pairs split" if self.split_pairs else ""
        return f"{self.size}, {self.image_size} px, {self.precision}, batch {self.batch}{split}"


# --- batches


def draw_examples(rng: np.random.Generator, setting: Setting) -> list[Example]:
    grid = setting.image_size // PATCH
    counts = {kind: round(share * setting.batch) for kind, share in KINDS.items()}
    kinds = rng.permutation([kind for kind, count in counts.items() for _ in range(count)])
    starts = rng.random(VOCAB) < 0.6
    examples = []
    for kind in kinds:
        patches = hidden = text = None
        if kind != "text":
            patches = rng.integers(0, 256, (grid * grid, PATCH * PATCH), dtype=np.uint8)
            hidden = mask_regions(grid, SCALES, 0.5, rng)
        if kind != "image":
            length = int(np.clip(round(rng.lognormal(np.log(55), 0.5)), 1, LONGEST))
            text = mask_words(rng.integers(5, VOCAB, length, dtype=np.int32), starts, (0, 1, 2, 3, 4), 3, 0.15, rng)
        split = kind == "pair" and bool(rng.random() < setting.split_pairs)
        study, wording = (int(rng.integers(1 << 60)) for _ in range(2))
        examples.append(Example(0, patches, hidden, text, split, study, wording))
    return examples


@dataclass(frozen=True, kw_only=True)
class PaddedBatch(Batch):
    """The same batch with S sequences of L rows each: what numbers rows of the pack numbers rows of (S, L) instead."""

    real_SL: Tensor
    """bool, false where padding stands; there `order_N` repeats the first row."""


def padded(batch: Batch) -> PaddedBatch:
    lengths = torch.diff(batch.cu_seqlens).long()
    real_SL = torch.arange(batch.max_seqlen) < lengths[:, None]
    place_N = real_SL.flatten().nonzero()[:, 0]
    order = torch.zeros(real_SL.numel(), dtype=torch.int64).index_copy(0, place_N, batch.order_N)
    same = {entry.name: getattr(batch, entry.name) for entry in fields(Batch)}
    rows = {name: place_N[value] for name, value in same.items() if "_rows_" in name}
    mvm = {scale: MvmGroups(place_N[g.rows_GS], g.patches_GS, g.source_G) for scale, g in batch.mvm.items()}
    return PaddedBatch(**same | rows | {"order_N": order, "mvm": mvm, "real_SL": real_SL})


class PaddedModel(PretrainModel):
    """The model of `cxrpt` over padded batches: weights, embeddings, heads and losses are its own, the rows are not."""

    def states(self, batch: Batch) -> Tensor:
        assert isinstance(batch, PaddedBatch)
        (image_summaries, patches), (text_summaries, tokens) = self.image(batch), self.text(batch)
        rows = torch.cat([image_summaries, patches, text_summaries, tokens]).index_select(0, batch.order_N)
        x_SLD, real = rows.unflatten(0, batch.real_SL.shape), batch.real_SL[:, None, None]
        for block in self.transformer.blocks:
            q, k, v = block.qkv(block.norm_attention(x_SLD)).unflatten(-1, (3, block.heads, -1)).permute(2, 0, 3, 1, 4)
            if not q.is_cuda:  # in fp32 as in the pack: faster here too
                q, k, v = q.float(), k.float(), v.float()
            seen = F.scaled_dot_product_attention(q, k, v, attn_mask=real).to(x_SLD.dtype)
            x_SLD = x_SLD + block.project(seen.transpose(1, 2).flatten(2))
            x_SLD = x_SLD + block.contract(F.gelu(block.expand(block.norm_mlp(x_SLD))))
        return self.transformer.norm(x_SLD).flatten(0, 1)


# --- steps


class Optimizer:
    """AdamW and clipping as a run has them; for bf16 weights over a master copy in fp32."""

    def __init__(self, model: nn.Module):
        config = OptimConfig()
        groups = parameter_groups(model, config.weight_decay)
        self.weights = [weight for group in groups for weight in group["params"]]
        self.masters = [weight if weight.dtype == torch.float32 else weight.detach().float() for weight in self.weights]
        masters = iter(self.masters)
        for group in groups:
            group["params"] = [next(masters) for _ in group["params"]]
        self.adam = torch.optim.AdamW(
            groups, lr=config.lr, betas=(config.betas[0], config.betas[1]), eps=config.eps, fused=True
        )
        self.clip_norm = config.clip_norm

    def step(self) -> None:
        apart = [(weight, master) for weight, master in zip(self.weights, self.masters, strict=True) if weight is not master]
        for weight, master in apart:
            assert weight.grad is not None
            master.grad, weight.grad = weight.grad.float(), None
        torch.nn.utils.clip_grad_norm_(self.masters, self.clip_norm)
        self.adam.step()
        self.adam.zero_grad()
        with torch.no_grad():
            for weight, master in apart:
                weight.copy_(master)


def loss(model: PretrainModel, batch: Batch) -> Tensor:
    losses = model(batch)
    parts = [losses.mlm, *losses.mvm.values()]
    return torch.stack([part.total / max(1, part.count) for part in parts]).sum()


def moved(batch: PaddedBatch, device: torch.device) -> PaddedBatch:
    """A padded batch on a device."""
    there = {entry.name: getattr(batch, entry.name) for entry in fields(PaddedBatch)}
    there |= {name: value.to(device) for name, value in there.items() if isinstance(value, Tensor)}
    mvm = {scale: MvmGroups(*(value.to(device) for value in vars(groups).values())) for scale, groups in batch.mvm.items()}
    return PaddedBatch(**there | {"mvm": mvm})


def seconds(call: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def measure(setting: Setting, num_batches: int, repeats: int, device: torch.device = CPU) -> dict[str, object]:
    grid = setting.image_size // PATCH
    shape = Shape(*SIZES[setting.size], 4.0, PATCH, setting.image_size, VOCAB, LONGEST, SCALES, False, False)
    rng = np.random.default_rng(0)
    packs = [pack(draw_examples(rng, setting), grid, PATCH, SCALES, 1) for _ in range(num_batches)]
    pads = [padded(batch) for batch in packs]
    share = 1 - sum(batch.num_tokens for batch in packs) / sum(batch.real_SL.numel() for batch in pads)
    dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
    torch.manual_seed(0)
    packing, padding = PretrainModel(shape).to(device, dtype), PaddedModel(shape).to(device, dtype)
    packs, pads = [batch.to(device) for batch in packs], [moved(batch, device) for batch in pads]
    padding.load_state_dict(packing.state_dict())
    for batch, pad in zip(packs, pads, strict=True):
        with torch.no_grad():
            one, other = float(loss(packing, batch)), float(loss(padding, pad))
        bound = 5e-3 if device.type == "cuda" and dtype == torch.bfloat16 else 1e-4
        assert abs(one - other) <= bound * abs(one), f"{setting}: the losses differ: {one} packed, {other} padded"

    sides: dict[str, tuple[PretrainModel, list]] = {"packed": (packing, packs), "padded": (padding, pads)}
    optimizers = {name: Optimizer(model) for name, (model, _) in sides.items()}

    def steps(name: str) -> None:
        model, batches = sides[name]
        for batch in batches:
            loss(model, batch).backward()
            optimizers[name].step()

    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 2):
        for name in sides:
            took = seconds(lambda name=name: steps(name), device)
            if repeat >= 2:  # until then memory that was never touched costs seconds
                times[name].append(took)
    rates = {name: setting.batch * num_batches / statistics.median(took) for name, took in times.items()}
    gain = statistics.median(pad / packed for pad, packed in zip(times["padded"], times["packed"], strict=True))
    print(
        f"{setting}: {rates['packed']:.2f} samples/s packed, {rates['padded']:.2f} padded: {gain:.3f} times as many, "
        f"padding {share:.3f} promises {1 / (1 - share):.3f}; s a step "
        + ", ".join(f"{name} {[round(one / num_batches, 3) for one in took]}" for name, took in times.items()),
        flush=True,
    )
    return claim(f"packing, samples/s: {setting}", gain * (1 - share), 0.95, "padded samples/s / (1 - padding share)", "ratio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"])
    parser.add_argument("--images", nargs="+", type=int, default=[224, 128], help="sides, pixels")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--splits", nargs="+", type=float, default=[0.0], help="shares of the pairs that become two sequences")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=2, help="different ones that every repeat goes through")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    claims = [
        measure(Setting(size, image, precision, options.batch, split), options.batches, options.repeats)
        for size in options.sizes
        for image in options.images
        for precision in options.precisions
        for split in options.splits
    ]
    print(json.dumps(claims))


def claim(name: str, value: float, goal: float, against: str, unit: str) -> dict[str, object]:
    return {"claim": name, "value": round(value, 3), "goal": goal, "met": value >= goal, "against": against, "unit": unit}


if __name__ == "__main__":
    main()
