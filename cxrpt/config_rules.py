"""Which values a configuration may hold, and which of them fit together."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cxrpt.errors import InputError

if TYPE_CHECKING:
    from cxrpt.config import (
        DataConfig,
        EngineConfig,
        EvalConfig,
        ModelConfig,
        ObjectiveConfig,
        OptimConfig,
        RunConfig,
        TrainConfig,
    )

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
    is_name = bool(re.fullmatch(r"[\w.-]+", config.name)) and config.name not in (".", "..")
    require(is_name, "name", config.name, "a run needs a name of letters, digits, - _ .")
    _check_data(config.data)
    _check_model(config.model)
    _check_objective(config.objective)
    _check_optim(config.optim)
    _check_engine(config.engine)
    _check_train(config.train)
    _check_eval(config.eval)
    data, model, train = config.data, config.model, config.train
    require(
        train.global_batch > 0 and train.global_batch % data.lanes == 0,
        "train.global_batch", train.global_batch, f"must be a multiple of data.lanes={data.lanes}",
    )  # fmt: skip
    require(
        data.image_size % model.patch_size == 0,
        "data.image_size", data.image_size, f"must be a multiple of model.patch_size={model.patch_size}",
    )  # fmt: skip
    for name in config.eval.sources:
        require(name in data.sources, "eval.sources", name, f"is no source: those are {', '.join(data.sources)}")


def _each(section: str, part: Any, keys: tuple[str, ...], holds: Callable[[Any], bool], rule: str) -> None:
    for key in keys:
        require(holds(getattr(part, key)), f"{section}.{key}", getattr(part, key), rule)


def _above_0(value: float) -> bool:
    return 0 < value < float("inf")


def _from_0(value: float) -> bool:
    return 0 <= value < float("inf")


def _check_data(data: DataConfig) -> None:
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
    _each("data", data, ("image_size", "lanes", "cache_gb"), _above_0, "must be above 0 and finite")
    require(data.image_size <= 4096, "data.image_size", data.image_size, "must be at most 4096")
    require(data.max_text_tokens >= 2, "data.max_text_tokens", data.max_text_tokens, "must be at least 2")
    require(
        data.workers >= 0 and data.prefetch > 0, "data.workers", data.workers, "workers must be 0 or more, prefetch above 0"
    )
    require(0 <= data.max_bad_fraction <= 1, "data.max_bad_fraction", data.max_bad_fraction, "must lie between 0 and 1")


def _check_model(model: ModelConfig) -> None:
    _each("model", model, ("patch_size", "mlp_ratio"), _above_0, "must be above 0 and finite")
    _each("model", model, ("width", "depth", "heads"), _from_0, "must be 0 (that of model.size) or more")


def _check_objective(objective: ObjectiveConfig) -> None:
    _each("objective", objective, ("mlm_weight", "mvm_weight", "itc_weight"), _from_0, "must be 0 (off) or more, and finite")
    require(
        objective.mlm_weight + objective.mvm_weight + objective.itc_weight > 0,
        "objective", "", "all weights are 0: nothing to learn",
    )  # fmt: skip
    _each("objective", objective, ("mlm_ratio", "mvm_ratio", "split_pairs"), lambda x: 0 <= x <= 1, "must lie between 0 and 1")
    scales, weights = objective.mvm_scales, objective.mvm_scale_weights
    require(
        1 in scales and len(scales) == len(weights),
        "objective.mvm_scales", scales, "must hold scale 1 and have as many mvm_scale_weights",
    )  # fmt: skip
    require(
        min(scales) > 0 and len(set(scales)) == len(scales),
        "objective.mvm_scales", scales, "must be whole numbers above 0, each once",
    )  # fmt: skip
    require(
        all(map(_from_0, weights)) and sum(weights) > 0,
        "objective.mvm_scale_weights", weights, "must be 0 or more, not all 0",
    )  # fmt: skip
    require(
        objective.itc_weight == 0 or objective.split_pairs > 0,
        "objective.itc_weight", objective.itc_weight, "the contrast needs split pairs: set objective.split_pairs above 0",
    )  # fmt: skip


def _check_optim(optim: OptimConfig) -> None:
    _each("optim", optim, ("lr", "eps", "clip_norm"), _above_0, "must be above 0 and finite")
    require(optim.schedule in ("cosine", "constant"), "optim.schedule", optim.schedule, "must be cosine or constant")
    _each("optim", optim, ("warmup_steps", "cooldown_steps", "weight_decay"), _from_0, "must be 0 or more")
    require(0 <= optim.min_lr <= optim.lr, "optim.min_lr", optim.min_lr, f"must lie between 0 and optim.lr={optim.lr}")
    require(
        optim.cooldown_steps == 0 or optim.schedule == "constant",
        "optim.cooldown_steps", optim.cooldown_steps, "is for optim.schedule=constant; a cosine falls from the warm-up on",
    )  # fmt: skip
    require(
        len(optim.betas) == 2 and all(0 <= beta < 1 for beta in optim.betas),
        "optim.betas", optim.betas, "must be two numbers, each at least 0 and below 1",
    )  # fmt: skip


def _check_engine(engine: EngineConfig) -> None:
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
    require(engine.max_skipped_steps >= 0, "engine.max_skipped_steps", engine.max_skipped_steps, "must be 0 or more")
    require(
        0 <= engine.hang_timeout_s < float("inf"), "engine.hang_timeout_s", engine.hang_timeout_s, "must be 0 (off) or more"
    )


def _check_train(train: TrainConfig) -> None:
    _each("train", train, ("steps", "log_every", "checkpoint_every", "trace_from_step"), _above_0, "must be above 0")
    require(train.max_failed_saves >= 0, "train.max_failed_saves", train.max_failed_saves, "must be 0 or more")
    require(train.keep_last >= 0, "train.keep_last", train.keep_last, "must be 0 (all) or more")
    require(train.keep_every >= 0, "train.keep_every", train.keep_every, "must be 0 (none) or more")
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


def _check_eval(evaluation: EvalConfig) -> None:
    require(evaluation.every > 0, "eval.every", evaluation.every, "must be 1 (all) or more")
    require(evaluation.idle_min > 0, "eval.idle_min", evaluation.idle_min, "must be above 0")
    require(evaluation.order in ("newest", "oldest"), "eval.order", evaluation.order, "must be newest or oldest")
    require(evaluation.split in ("val", "test"), "eval.split", evaluation.split, "must be val or test")
    for ratio in evaluation.mask_ratios:
        require(0 < ratio < 1, "eval.mask_ratios", ratio, "must lie between 0 and 1, both left out")
    for kind in evaluation.mask_kinds:
        is_kind = bool(re.fullmatch(r"mixed|([1-9]\d?)x\1", kind))
        require(is_kind, "eval.mask_kinds", kind, "must be mixed, or a square of patches such as 2x2")
    _each("eval", evaluation, ("mask_ratios", "mask_kinds"), bool, "must name at least one")
    require(evaluation.threads >= 0, "eval.threads", evaluation.threads, "must be 0 (all) or more")
    require(evaluation.max_biharmonic >= 0, "eval.max_biharmonic", evaluation.max_biharmonic, "must be 0 (none) or more")
    sizes = ("max_train_images", "max_images", "max_pairs", "max_regenerated", "max_probed", "batch")
    _each("eval", evaluation, (*sizes, "label_draws", "fine_tune_steps", "fine_tune_batch"), _above_0, "must be above 0")
    for name in evaluation.classifiers or [""]:
        require(name in CLASSIFIERS, "eval.classifiers", name, f"must be one of {', '.join(CLASSIFIERS)}")
    for share in evaluation.label_shares or [0.0]:
        require(0 < share <= 100, "eval.label_shares", share, "must be per cent, above 0 and at most 100")
    require(0 < evaluation.fine_tune_lr < 1, "eval.fine_tune_lr", evaluation.fine_tune_lr, "must lie between 0 and 1")
    for task in evaluation.tasks:
        known_tasks = ("classify", "retrieve", "regenerate", "grounding")
        require(task in known_tasks, "eval.tasks", task, f"must be one of {', '.join(known_tasks)}")
