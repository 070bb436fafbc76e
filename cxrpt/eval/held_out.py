"""Whether the patients of a scored split are held out: none of them among those of the split that was trained on.

`cxrpt prep` gives a patient's studies to one split of a source, by a hash of the patient or by an official list; this looks
whether the shards at hand keep to it. A patient of two sources has two pseudonyms and cannot be seen.
"""

from contextlib import suppress
from pathlib import Path

from cxrpt.data.shards import BadSampleError
from cxrpt.data.storage.shard_folder import open_shard, read_index
from cxrpt.eval.samples import CannotRunError, SplitFolder

MOST_SAMPLES = 50_000
"""Training samples that are looked at, shard by shard. A core read 40,000 to 65,000 a second from the page cache; a file system
that answers in a millisecond takes a minute for all."""


def require_held_out(train: list[SplitFolder], sources: list[str], patients: list[str], most: int = MOST_SAMPLES) -> str:
    """Look for scored patients among those of training.

    Args:
        train: folders of the training split; remote shards are not fetched for this.
        sources: of each scored sample.
        patients: pseudonym of each scored sample.
        most: training samples to look at.

    Returns:
        How sure it is, in words for the results.

    Raises:
        CannotRunError: a patient is in both splits.
        InputError: a shard is missing or truncated.
    """
    scored = set(zip(sources, patients, strict=True))
    seen = total = 0
    found: set[tuple[str, str]] = set()
    for folder in train:
        if all(folder.source != source for source in sources):
            continue
        for shard in folder.shards:
            if not isinstance(shard, Path) or seen >= most:
                total += len(read_index(shard)) if isinstance(shard, Path) else shard.entry.num_samples
                continue
            reader = open_shard(shard)
            total += len(reader)
            for number in range(len(reader)):
                with suppress(BadSampleError):
                    found.add((folder.source, reader.read_meta(number).patient))
            seen += len(reader)
            reader.close()
    if shared := len(scored & found):
        raise CannotRunError(
            f"{shared} of the {len(scored)} patients are in the training split too: scores would not be of held-out patients; "
            "build the shards again with one split a patient"
        )
    looked = f"all {total}" if seen == total else f"{seen} of {total}"
    return f"none of the {len(scored)} patients is in the training split of their source: {looked} samples of it were looked at"
