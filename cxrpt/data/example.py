"""From a sample of a shard to what the model learns from: text cut to sections and tokens, pixels, masks.

Everything random comes from (seed, sample, epoch), so that a sample looks the same wherever it is read.
"""

from dataclasses import dataclass

import numpy as np

from cxrpt.config import DataConfig, ObjectiveConfig
from cxrpt.data.hashing import generator, hash_text
from cxrpt.data.masking import MaskedText, mask_regions, mask_words
from cxrpt.data.shards import BadSampleError, RawSample
from cxrpt.data.text import Tokenizer, select_text
from cxrpt.data.transforms import load_augmented, load_square, to_patches

_AUGMENT, _MASK_TEXT, _MASK_IMAGE, _SPLIT = 11, 12, 13, 14


@dataclass(frozen=True)
class Example:
    """One sample, ready to be packed; `patches` is None without an image, `text` is None without a report."""

    source: int
    patches: np.ndarray | None
    """(patches, patch_size ** 2) uint8."""
    hidden: np.ndarray | None
    """(grid, grid) bool, the masked patches."""
    text: MaskedText | None
    split: bool
    """A pair that becomes two sequences, for the contrast."""
    study: int
    """Hash of the study: pairs of one study are no negatives of each other."""
    wording: int
    """Hash of the text that was used: equal texts are no negatives of each other."""


@dataclass(frozen=True)
class ExampleMaker:
    """Turns raw samples into examples."""

    data: DataConfig
    objective: ObjectiveConfig
    patch_size: int
    tokenizer: Tokenizer
    seed: int

    def make(self, raw: RawSample, source: int, epoch: int) -> Example:
        """Decode, augment and mask one sample.

        Raises:
            BadSampleError: neither a picture that decodes nor a text with a word is in it.
        """
        identity = hash_text(raw.key)

        def rng(purpose: int) -> np.random.Generator:
            return generator(self.seed, purpose, identity, epoch)

        patches = hidden = None
        if raw.image is not None:
            size = self.data.image_size
            square = load_augmented(raw.image, size, rng(_AUGMENT)) if self.data.augment else load_square(raw.image, size)
            patches = to_patches(square, self.patch_size)
            grid = size // self.patch_size
            ratio = self.objective.mvm_ratio if self.objective.mvm_weight > 0 else 0.0
            hidden = mask_regions(grid, tuple(self.objective.mvm_scales), ratio, rng(_MASK_IMAGE))
        tokens = self.tokens(raw)
        if patches is None and tokens is None:
            raise BadSampleError("neither an image nor a word of text", raw.key)
        text = None
        if tokens is not None:
            words, ratio = self.tokenizer, self.objective.mlm_ratio if self.objective.mlm_weight > 0 else 0.0
            text = mask_words(tokens, words.word_start, words.never_masked, words.mask_id, ratio, rng(_MASK_TEXT))
        paired = patches is not None and text is not None
        split = paired and bool(rng(_SPLIT).random() < self.objective.split_pairs)
        wording = hash_text(tokens.tobytes().hex()) if tokens is not None else 0
        return Example(source, patches, hidden, text, split, hash_text(raw.meta.study), wording)

    def tokens(self, raw: RawSample) -> np.ndarray | None:
        """The tokens of the chosen sections, cut to the longest length allowed; None without any."""
        if raw.text is None:
            return None
        chosen = select_text(raw.text, raw.meta.sections, tuple(self.data.sections))
        tokens = self.tokenizer.encode(chosen)[: self.data.max_text_tokens]
        return tokens if len(tokens) else None
