"""Which values a configuration may hold, and which of them fit together."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from cxrpt.errors import InputError

if TYPE_CHECKING:
    from cxrpt.config import RunConfig

STOP_SIGNAL_NAMES = ("TERM", "INT", "USR1", "USR2", "HUP", "ALRM", "XCPU")
"""Signals that may ask a run to stop; SIGQUIT writes stacks."""

CLASSIFIERS = ("linear", "attention", "fine_tune", "zero_shot")
"""How findings may be told from images: by probes of frozen states, with all weights trained, from prompts."""


def require(condition: bool, key: str, value: Any, rule: str) -> None:
    """Raise InputError with the value and the rule that it breaks."""
    if not condition:
        raise InputError(f"{key}={value!r}: {rule}")


def check_config(config: RunConfig) -> None:
    """Raise InputError for a value out of its range or values that do not fit together."""
    data, model, objective, engine, train = config.data, config.model, config.objective, config.engine, config.train
    is_name = bool(re.fullmatch(r"[\w.-]+", config.name)) and config.name not in (".", "..")
    require(is_name, "name", config.name, "a run needs a name of letters, digits, - _ .")
    require(bool(data.sources), "data.sources", {}, "name at least one source, as data.sources.NAME.path=FOLDER")
    for name, source in data.sources.items():
        key = f"data.sources.{name}"
        require(bool(source.path), f"{key}.path", source.path, "name the folder that `cxrpt prep` made, or its URL")
        require(
            source.use in ("all", "pairs", "images", "texts"), f"{key}.use", source.use, "must be all, pairs, images or texts"
        )
        require(0 <= source.weight <= 1e9, f"{key}.weight", source.weight, "must lie between 0 and 1e9")
        schedule = source.weight_from_step
        require(
            all(step > 0 and 0 <= weight <= 1e9 for step, weight in schedule.items()),
            f"{key}.weight_from_step", schedule, "must hold steps above 0 and weights between 0 and 1e9",
        )  # fmt: skip
        require(source.epochs >= 0, f"{key}.epochs", source.epochs, "must be 0 (without end) or more")
    weights = {name: source.weight for name, source in data.sources.items()}
    require(sum(weights.values()) > 0, "data.sources.*.weight", weights, "sums to 0: give at least one source a weight above 0")
    require(
        len(weights) <= data.mix_slots <= 65536,
        "data.mix_slots", data.mix_slots, f"must lie between the number of sources, {len(weights)}, and 65536",
    )  # fmt: skip
    require(
        data.temperature == 0 or 0.1 <= data.temperature < float("inf"),
        "data.temperature", data.temperature, "must be 0 (weights as they are) or at least 0.1",
    )  # fmt: skip
    positive = (
        (data, "data", "image_size"), (data, "data", "lanes"), (data, "data", "cache_gb"),
        (model, "model", "patch_size"), (model, "model", "mlp_ratio"),
        (config.optim, "optim", "lr"), (config.optim, "optim", "eps"), (config.optim, "optim", "clip_norm"),
    )  # fmt: skip
    for part, section, key in positive:
        value = getattr(part, key)
        require(0 < value < float("inf"), f"{section}.{key}", value, "must be above 0 and finite")
    require(data.image_size <= 4096, "data.image_size", data.image_size, "must be at most 4096")
    for key in ("width", "depth", "heads"):
        require(getattr(model, key) >= 0, f"model.{key}", getattr(model, key), "must be 0 (that of model.size) or more")
    require(
        train.global_batch > 0 and train.global_batch % data.lanes == 0,
        "train.global_batch", train.global_batch, f"must be a multiple of data.lanes={data.lanes}",
    )  # fmt: skip
    require(
        data.image_size % model.patch_size == 0,
        "data.image_size",
        data.image_size,
        f"must be a multiple of model.patch_size={model.patch_size}",
    )
    require(data.max_text_tokens >= 2, "data.max_text_tokens", data.max_text_tokens, "must be at least 2")
    require(
        data.workers >= 0 and data.prefetch > 0, "data.workers", data.workers, "workers must be 0 or more, prefetch above 0"
    )
    require(0 <= data.max_bad_fraction <= 1, "data.max_bad_fraction", data.max_bad_fraction, "must lie between 0 and 1")
    for key in ("mlm_weight", "mvm_weight", "itc_weight"):
        weight = getattr(objective, key)
        require(0 <= weight < float("inf"), f"objective.{key}", weight, "must be 0 (off) or more, and finite")
    require(
        objective.mlm_weight + objective.mvm_weight + objective.itc_weight > 0,
        "objective",
        "",
        "all weights are 0: nothing to learn",
    )
    for key in ("mlm_ratio", "mvm_ratio", "split_pairs"):
        require(0 <= getattr(objective, key) <= 1, f"objective.{key}", getattr(objective, key), "must lie between 0 and 1")
    require(
        1 in objective.mvm_scales and len(objective.mvm_scales) == len(objective.mvm_scale_weights),
        "objective.mvm_scales", objective.mvm_scales, "must hold scale 1 and have as many mvm_scale_weights",
    )  # fmt: skip
    scales, of_scales = objective.mvm_scales, objective.mvm_scale_weights
    require(
        min(scales) > 0 and len(set(scales)) == len(scales),
        "objective.mvm_scales", scales, "must be whole numbers above 0, each once",
    )  # fmt: skip
    require(
        all(0 <= weight < float("inf") for weight in of_scales) and sum(of_scales) > 0,
        "objective.mvm_scale_weights", of_scales, "must be 0 or more, not all 0",
    )  # fmt: skip
    require(
        objective.itc_weight == 0 or objective.split_pairs > 0,
        "objective.itc_weight", objective.itc_weight, "the contrast needs split pairs: set objective.split_pairs above 0",
    )  # fmt: skip
    require(config.eval.every > 0, "eval.every", config.eval.every, "must be 1 (all) or more")
    require(config.eval.idle_min > 0, "eval.idle_min", config.eval.idle_min, "must be above 0")
    require(config.eval.order in ("newest", "oldest"), "eval.order", config.eval.order, "must be newest or oldest")
    require(engine.zero_stage in (0, 1, 2, 3), "engine.zero_stage", engine.zero_stage, "must be 0, 1, 2 or 3")
    require(engine.precision in ("bf16", "fp16", "fp32"), "engine.precision", engine.precision, "must be bf16, fp16 or fp32")
    require(
        engine.zero_stage > 0 or engine.precision == "fp32",
        "engine.zero_stage", 0, f"is the reference, in fp32: set engine.precision=fp32, not {engine.precision}, or stage 1",
    )  # fmt: skip
    scale_power = engine.initial_loss_scale_power
    require(0 <= scale_power <= 32, "engine.initial_loss_scale_power", scale_power, "must lie between 0 and 32")
    require(engine.loss_scale_window > 0, "engine.loss_scale_window", engine.loss_scale_window, "must be above 0")
    require(
        engine.recompute_blocks >= -1, "engine.recompute_blocks", engine.recompute_blocks, "must be -1 (all), 0 (none) or more"
    )
    require(
        not (engine.compile and engine.zero_stage == 3),
        "engine.compile", engine.compile, "does not go with engine.zero_stage=3, whose weights come and go: use stage 2",
    )  # fmt: skip
    require(engine.device in ("auto", "cpu", "cuda"), "engine.device", engine.device, "must be auto, cpu or cuda")
    require(engine.micro_batch >= 0, "engine.micro_batch", engine.micro_batch, "must be 0 or more")
    require(train.max_failed_saves >= 0, "train.max_failed_saves", train.max_failed_saves, "must be 0 or more")
    require(engine.max_skipped_steps >= 0, "engine.max_skipped_steps", engine.max_skipped_steps, "must be 0 or more")
    require(train.keep_last >= 0, "train.keep_last", train.keep_last, "must be 0 (all) or more")
    require(train.keep_every >= 0, "train.keep_every", train.keep_every, "must be 0 (none) or more")
    require(
        0 <= engine.hang_timeout_s < float("inf"), "engine.hang_timeout_s", engine.hang_timeout_s, "must be 0 (off) or more"
    )
    for name in train.stop_signals:
        known = difflib.get_close_matches(name.upper().removeprefix("SIG"), STOP_SIGNAL_NAMES, 1, 0.0)
        require(
            name.removeprefix("SIG") in STOP_SIGNAL_NAMES,
            "train.stop_signals",
            name,
            f"is no such signal: the closest is {known[0]!r}",
        )
    require(
        0 <= train.spike_threshold < float("inf"), "train.spike_threshold", train.spike_threshold, "must be 0 (off) or more"
    )
    require(train.trace_steps >= 0, "train.trace_steps", train.trace_steps, "must be 0 (off) or more")
    for key in ("steps", "log_every", "checkpoint_every", "trace_from_step"):
        require(getattr(train, key) > 0, f"train.{key}", getattr(train, key), "must be above 0")
    optim = config.optim
    require(optim.schedule in ("cosine", "constant"), "optim.schedule", optim.schedule, "must be cosine or constant")
    for key in ("warmup_steps", "cooldown_steps", "weight_decay"):
        require(0 <= getattr(optim, key) < float("inf"), f"optim.{key}", getattr(optim, key), "must be 0 or more")
    require(0 <= optim.min_lr <= optim.lr, "optim.min_lr", optim.min_lr, f"must lie between 0 and optim.lr={optim.lr}")
    require(
        optim.cooldown_steps == 0 or optim.schedule == "constant",
        "optim.cooldown_steps", optim.cooldown_steps, "is for optim.schedule=constant; a cosine falls from the warm-up on",
    )  # fmt: skip
    require(
        len(optim.betas) == 2 and all(0 <= beta < 1 for beta in optim.betas),
        "optim.betas", optim.betas, "must be two numbers, each at least 0 and below 1",
    )  # fmt: skip
    for name in config.eval.sources:
        require(name in data.sources, "eval.sources", name, f"is no source: those are {', '.join(data.sources)}")
    require(config.eval.split in ("val", "test"), "eval.split", config.eval.split, "must be val or test")
    for ratio in config.eval.mask_ratios:
        require(0 < ratio < 1, "eval.mask_ratios", ratio, "must lie between 0 and 1, both left out")
    for kind in config.eval.mask_kinds:
        is_kind = bool(re.fullmatch(r"mixed|([1-9]\d?)x\1", kind))
        require(is_kind, "eval.mask_kinds", kind, "must be mixed, or a square of patches such as 2x2")
    for key in ("mask_ratios", "mask_kinds"):
        require(bool(getattr(config.eval, key)), f"eval.{key}", getattr(config.eval, key), "must name at least one")
    require(config.eval.threads >= 0, "eval.threads", config.eval.threads, "must be 0 (all) or more")
    require(config.eval.max_biharmonic >= 0, "eval.max_biharmonic", config.eval.max_biharmonic, "must be 0 (none) or more")
    sizes = ("max_train_images", "max_images", "max_pairs", "max_regenerated", "max_probed", "batch")
    for key in (*sizes, "label_draws", "fine_tune_steps", "fine_tune_batch"):
        require(getattr(config.eval, key) > 0, f"eval.{key}", getattr(config.eval, key), "must be above 0")
    for name in config.eval.classifiers or [""]:
        require(name in CLASSIFIERS, "eval.classifiers", name, f"must be one of {', '.join(CLASSIFIERS)}")
    for share in config.eval.label_shares or [0.0]:
        require(0 < share <= 100, "eval.label_shares", share, "must be per cent, above 0 and at most 100")
    require(0 < config.eval.fine_tune_lr < 1, "eval.fine_tune_lr", config.eval.fine_tune_lr, "must lie between 0 and 1")
    for task in config.eval.tasks:
        known_tasks = ("classify", "retrieve", "regenerate", "grounding")
        require(task in known_tasks, "eval.tasks", task, f"must be one of {', '.join(known_tasks)}")
