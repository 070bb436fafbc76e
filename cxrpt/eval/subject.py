"""What is evaluated, as the results tell it: the size of the model and what it was trained on. Its checkpoint may go later."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxrpt.checkpoint.export import Exported
from cxrpt.export.provenance import SourceSeen, read_provenance


def model_facts(exported: Exported) -> dict[str, Any]:
    """Number of parameters, and the numbers that the shapes of the weights depend on."""
    return {"parameters": sum(one.numel() for one in exported.model.parameters())} | asdict(exported.model.shape)


def training_facts(run_dir: Path, folder: Path, step: int, lanes: int) -> list[dict[str, Any]]:
    """Of each source: what its training split holds, and how much of it was drawn up to a checkpoint; empty if not known.

    Args:
        run_dir: of the run.
        folder: of the checkpoint.
        step: of the checkpoint.
        lanes: of the run.
    """
    provenance = read_provenance(run_dir, folder, step, lanes)
    if provenance is None:
        return []
    shares = provenance.mixes[-1][1] if provenance.mixes else {}
    return [_source_facts(one, shares.get(one.name, 0.0)) for one in provenance.sources]


def _source_facts(one: SourceSeen, share: float) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": one.name, "samples": one.samples, "seen": one.seen, "epochs": one.epochs, "bad": one.bad}
    facts["share"] = share
    if (record := one.record) is not None:
        facts |= {"use": record.use, "pairs": record.pairs, "images": record.images, "texts": record.texts}
        facts |= {"patients": record.build["patients"]} if "patients" in record.build else {}
    return facts
