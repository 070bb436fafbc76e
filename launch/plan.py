"""`cxrpt plan`: what a run will see, on any number of nodes, ranks and workers, before it is started."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from cxrpt.config import RunConfig, load_config
from cxrpt.errors import InputError
from launch.console import wide_console
from launch.pretrain import ConfigFile, Overrides

if TYPE_CHECKING:
    from cxrpt.data.loading.forecast import Forecast
    from cxrpt.data.order.plan import Plan
    from cxrpt.preflight import Prepared


def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    nodes: Annotated[int, typer.Option(help="Nodes of the run.")] = 1,
    ranks: Annotated[int, typer.Option(help="Ranks a node.")] = 1,
    workers: Annotated[int | None, typer.Option(help="Loader processes a rank, in place of data.workers.")] = None,
    step: Annotated[int | None, typer.Option(help="Print the samples of this step instead, over all ranks.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print what a run will see: samples, epochs and tokens of each source, the mix, and whether ranks are balanced.

    Of a run that has begun, --step follows the mix as it was, changes in mid-run included.

    Example: cxrpt plan configs/demo.yaml --ranks 2
    """
    from cxrpt.data.loading.forecast import forecast
    from cxrpt.data.storage.check_shards import check_shards
    from cxrpt.preflight import prepare, prepare_lengths

    words = [*(overrides or []), *([] if workers is None else [f"data.workers={workers}"])]
    resolved = load_config(config, words)
    for name, value in (("--nodes", nodes), ("--ranks", ranks)):
        if value < 1:
            raise InputError(f"{name} {value}: must be at least 1")
    prepared = prepare(resolved, 0, nodes * ranks, ranks)
    if step is not None:
        _print_step(resolved, prepared, step, as_json)
        return
    check_shards(prepared.sources, resolved.data.lanes, nodes)
    steps = resolved.train.steps
    seen = forecast(prepared.plan, prepared.sources, prepare_lengths(prepared), prepared.step, steps)
    shape = dataclasses.asdict(prepared.step) | {
        "nodes": nodes, "ranks_a_node": ranks, "workers_a_rank": resolved.data.workers, "steps": steps,
        "global_batch": resolved.train.global_batch, "fingerprint": prepared.plan.fingerprint(),
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(seen) | {"shape": shape}))
    else:
        _print(seen, shape)


def _print_step(config: RunConfig, prepared: "Prepared", step: int, as_json: bool) -> None:
    from cxrpt.data.storage.step_samples import samples_of_step

    if step < 1:
        raise InputError(f"--step {step}: steps are counted from 1")
    first_slot = (step - 1) * prepared.step.slots
    plan = _plan_of_run(config, prepared.plan, first_slot)
    samples = samples_of_step(plan, prepared.sources, prepared.step.slots, first_slot)
    if as_json:
        typer.echo(json.dumps({"step": step, "samples": [dataclasses.asdict(sample) for sample in samples]}))
        return
    table = _table(f"the {len(samples):,} samples of step {step:,}", "source", "shard", "key", "epoch")
    for sample in samples:
        table.add_row(sample.source, sample.shard, sample.key, str(sample.epoch))
    wide_console(least=True).print(table)


def _plan_of_run(config: RunConfig, planned: "Plan", slot: int) -> "Plan":
    """The plan that the run has followed so far, or that of the configuration if it has no checkpoint.

    Raises:
        InputError: a source is no longer what it was at the slot; no source is left there.
    """
    from cxrpt.checkpoint.state import RunState
    from cxrpt.checkpoint.store import committed_steps, step_folder
    from cxrpt.data.order.plan import Plan
    from cxrpt.data.order.timeline import Segment

    if steps := committed_steps(config.run_dir):
        timeline = RunState.read(step_folder(config.run_dir, steps[-1])).timeline
        planned = Plan(planned.sources, planned.lanes, tuple(Segment.from_json(fields) for fields in timeline))
    segment = next(one for one in reversed(planned.segments) if one.first_slot <= slot)
    if not segment.shares:
        raise InputError("--step: every source has ended before that step")
    now = {(source.name, source.fingerprint) for source in planned.sources}
    for name in segment.shares:
        if (name, segment.contents[name].fingerprint) not in now:
            raise InputError(f"--step: source {name!r} is not what it was at that step: point it at the shards it had then")
    return planned


def _print(seen: "Forecast", shape: dict[str, Any]) -> None:
    console = wide_console(least=True)
    steps, batch = shape["steps"], shape["global_batch"]
    held = _table("what the sources hold", "source", "use", "samples", "paired", "images", "texts")
    taken = _table(f"{steps:,} steps of {batch:,} samples", "source", "weight", "share", "drawn", "epochs", "steps/epoch",
                   "tokens/sample", "tokens", "ends at step")  # fmt: skip
    for one in seen.sources:
        kinds = (f"{count:,}" for count in (one.samples, one.paired, one.image_only, one.text_only))
        held.add_row(one.name, one.use, *kinds)
        taken.add_row(
            one.name, f"{one.weight:g}", f"{one.share:.4f}", f"{one.drawn:,}", f"{one.epochs:.2f}",
            "" if one.steps_an_epoch is None else f"{one.steps_an_epoch:,.1f}",
            f"{one.tokens_a_sample:.1f}", _told(one.tokens), _told(one.ends_at_step),
        )  # fmt: skip
    console.print(held)
    console.print(taken)
    for step, shares in seen.changes[1:]:
        mix = ", ".join(f"{name} {share:.4f}" for name, share in shares.items())
        typer.echo(f"from step {step:,}: {mix}")
    typer.echo(
        f"mix: {seen.paired:.1%} paired, {seen.image_only:.1%} images only, {seen.text_only:.1%} texts only; "
        f"about {seen.tokens_a_step:,.0f} tokens a step, {seen.tokens_a_step * steps:,.0f} in the run"
    )
    typer.echo(
        f"{shape['nodes']} nodes x {shape['ranks_a_node']} ranks x {shape['workers_a_rank']} workers: a rank takes "
        f"{shape['accumulation']} micro-batches of {shape['micro_batch']} a step"
    )
    exchange = f"exchanging samples among {shape['group']} ranks" if shape["group"] > 1 else "without exchange"
    typer.echo(
        f"balance, by estimated lengths in {seen.steps_looked_at} steps: the fullest rank is {seen.imbalance:.1%} above the "
        f"mean (at worst {seen.imbalance_max:.1%}), {exchange}; {seen.imbalance_of_lanes:.1%} if all kept to their lanes"
    )
    typer.echo(f"data fingerprint {shape['fingerprint']}")


def _table(title: str, first: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column(first)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _told(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"
