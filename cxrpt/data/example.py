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
    """Of a pair that may be split, a hash of the study: pairs of one study are no negatives of each other."""
    wording: int
    """Of a pair that may be split, a hash of the text that was used: equal texts are no negatives of each other."""


@dataclass(frozen=True)
class Unmasked:
    """One sample read and decoded, before its masks are drawn."""

    source: int
    epoch: int
    identity: int
    """Hash of the sample's key."""
    study: str
    patches: np.ndarray | None
    """(patches, patch_size ** 2) uint8."""
    tokens: np.ndarray | None
    """(T,) int32."""


@dataclass(frozen=True)
class ExampleMaker:
    """Turns raw samples into examples."""

    data: DataConfig
    objective: ObjectiveConfig
    patch_size: int
    tokenizer: Tokenizer
    seed: int

    def make(self, raw: RawSample, source: int, epoch: int) -> Example:
        """Decode, augment and mask one sample; of many, first `decode` all, then `mask` all.

        Raises:
            BadSampleError: neither a picture that decodes nor a text with a word is in it.
        """
        return self.mask(self.decode(raw, source, epoch))

    def decode(self, raw: RawSample, source: int, epoch: int) -> Unmasked:
        """Decode and augment one sample.

        Raises:
            BadSampleError: neither a picture that decodes nor a text with a word is in it.
        """
        identity, size, patches = hash_text(raw.key), self.data.image_size, None
        if raw.image is not None and self.data.augment:
            square = load_augmented(raw.image, size, generator(self.seed, _AUGMENT, identity, epoch))
            patches = to_patches(square, self.patch_size)
        elif raw.image is not None:
            patches = to_patches(load_square(raw.image, size), self.patch_size)
        tokens = self.tokens(raw)
        if patches is None and tokens is None:
            raise BadSampleError("neither an image nor a word of text", raw.key)
        return Unmasked(source, epoch, identity, raw.meta.study, patches, tokens)

    def mask(self, sample: Unmasked) -> Example:
        """Draw the masks of one sample, and whether a pair is split.

        Right after a picture was decoded this takes nearly twice as long: the decoder leaves nothing else in the cache.
        """
        objective, words, tokens = self.objective, self.tokenizer, sample.tokens

        def rng(purpose: int) -> np.random.Generator:
            return generator(self.seed, purpose, sample.identity, sample.epoch)

        split, study, wording = False, 0, 0
        if sample.patches is not None and tokens is not None and objective.split_pairs > 0:
            split = bool(rng(_SPLIT).random() < objective.split_pairs)
            study, wording = hash_text(sample.study), hash_text(tokens.tobytes().hex())
        # What is contrasted is whole, as in retrieval: a report of what is hidden fits no picture.
        masked = not (split and objective.itc_weight > 0)
        hidden = text = None
        if sample.patches is not None:
            grid = self.data.image_size // self.patch_size
            ratio = objective.mvm_ratio if masked and objective.mvm_weight > 0 else 0.0
            hidden = mask_regions(grid, tuple(objective.mvm_scales), ratio, rng(_MASK_IMAGE))
        if tokens is not None:
            ratio = objective.mlm_ratio if masked and objective.mlm_weight > 0 else 0.0
            text = mask_words(tokens, words.word_start, words.never_masked, words.mask_id, ratio, rng(_MASK_TEXT))
        return Example(sample.source, sample.patches, hidden, text, split, study, wording)

    def tokens(self, raw: RawSample) -> np.ndarray | None:
        """The tokens of the chosen sections, cut to the longest length allowed; None without any."""
        if raw.text is None:
            return None
        chosen = select_text(raw.text, raw.meta.sections, tuple(self.data.sections))
        tokens = self.tokenizer.encode(chosen)[: self.data.max_text_tokens]
        return tokens if len(tokens) else None
