"""A trained model to be used elsewhere: a folder that `cxrpt export` wrote, to embeddings of pictures and reports.

pictures ─► (S, S) uint8 ─┐
                          ├─► transformer ─► states ─┬─► embed_images, embed_texts   (n, D)   each on its own
texts ────► tokens ───────┘                          ├─► embed_pairs                 (n, D)   picture and text as one sequence
                                                     ├─► image_features              (n, 2 D) what linear probes were fitted on
                                                     ├─► trainable_features          (n, 2 D) the same, with gradients
                                                     └─► regenerate                  (S, S)   a picture whose parts were hidden

Pixels and text are prepared, and states pooled, by the functions that the evaluation uses. DeepSpeed, MLflow and shards are not
needed, nor is a network.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cxrpt.checkpoint.export import Exported, load_exported
from cxrpt.data.example import Example
from cxrpt.data.shards import BadSampleError
from cxrpt.data.transforms import fit_square, load_square
from cxrpt.errors import InputError
from cxrpt.eval.features import batches_of, image_vectors, mean_states, pooled_images, run_model, text_vectors
from cxrpt.eval.samples import plain_example, tokens_of
from cxrpt.export.package import check_package

Image = np.ndarray | bytes | str | os.PathLike[str]
"""A picture, bright where it is dense and windowed as for a viewer: (H, W) uint8, (H, W) uint16 over the whole range, or a PNG
or JPEG file as its bytes or its path."""

_BLACK = 16
"""Of 256. A 16-bit picture that stays below it has 12 bits at most, which nobody scaled."""


def load_pretrained(folder: str | os.PathLike[str], device: str = "cpu", batch: int = 32) -> "Pretrained":
    """Read a folder that `cxrpt export` wrote, and check it against its checksums.

    Args:
        folder: the one named by --out.
        device: where the model computes, in fp32.
        batch: pictures or texts that go through it at once.

    Raises:
        InputError: a file is missing, damaged or of another version; there is no such device; or the batch is below 1.
    """
    if batch < 1:
        raise InputError(f"batch={batch}: must be 1 or more")
    check_package(Path(folder))
    exported = load_exported(Path(folder))
    try:
        exported.model.to(device).requires_grad_(False)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch without CUDA
        why = str(error).splitlines()[0]
        raise InputError(f"device={device!r} cannot be used ({why}): name cpu, or cuda where there is one") from None
    return Pretrained(exported, batch)


@dataclass(frozen=True)
class Pretrained:
    """Embeds pictures and texts; each result depends on its own picture or text only, but for rounding in fp32.

    A text is what a report says in its `sections` (joined by a line break), or a whole report that has none of them; what is
    longer than the model takes is cut. De-identified places are written `___`.
    """

    exported: Exported
    batch: int = 32

    @property
    def width(self) -> int:
        """D, the columns of an embedding."""
        return self.exported.model.shape.width

    @property
    def image_size(self) -> int:
        """S, the side in pixels of the square that the model sees of a picture (`as_seen`)."""
        return self.exported.model.shape.image_size

    @property
    def grid(self) -> int:
        """Patches a side of that square; a patch is hidden or visible as a whole."""
        return self.image_size // self.exported.model.shape.patch_size

    @property
    def sections(self) -> tuple[str, ...]:
        """The titles of the report sections that the model was trained on, in order."""
        return self.exported.sections

    @property
    def contrastive(self) -> bool:
        """Whether image and text embeddings were trained to be compared.

        Then they are unit vectors. Otherwise they are means over states: to compare images with texts, first take from each
        the mean over many of its own kind, as the evaluation of retrieval does.
        """
        return self.exported.model.shape.contrast

    @property
    def module(self) -> torch.nn.Module:
        """The network itself, frozen; `module.requires_grad_(True)` begins to train it.

        Every method computes with its weights as they are at that time.
        """
        return self.exported.model

    def embed_images(self, images: Sequence[Image]) -> np.ndarray:
        """(n, D) float32, each picture on its own; of length 1 if `contrastive`.

        Raises:
            InputError: one is no picture; the message gives its number.
        """
        _require_list(images, "images")
        return self._run([(image, None) for image in images], "image")

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(n, D) float32, each text on its own; of length 1 if `contrastive`.

        Raises:
            InputError: one is no text, or empty; the message gives its number.
        """
        _require_list(texts, "texts")
        return self._run([(None, text) for text in texts], "text")

    def embed_pairs(self, images: Sequence[Image], texts: Sequence[str]) -> np.ndarray:
        """(n, D) float32, not of length 1, of picture n and text n as one sequence, in which each sees the other.

        It is the mean of two means, over the states of the patches and over those of the words. No score of the evaluation
        uses it.

        Raises:
            InputError: not as many texts as pictures, or one of them is none; the message gives its number.
        """
        _require_list(images, "images")
        _require_list(texts, "texts")
        if len(images) != len(texts):
            raise InputError(f"{len(images)} images and {len(texts)} texts: hand over a text for each image")
        return self._run(list(zip(images, texts, strict=True)), "pair")

    def image_features(self, images: Sequence[Image]) -> np.ndarray:
        """(n, 2 D) float32: the mean over patch states, then the summary state; the features of the evaluation's linear probe.

        Raises:
            InputError: one is no picture; the message gives its number.
        """
        _require_list(images, "images")
        return self._run([(image, None) for image in images], "features")

    def trainable_features(self, images: Sequence[Image]) -> torch.Tensor:
        """`image_features` as a tensor (n, 2 D) where the model is, for fine-tuning: a loss on it trains `module`.

        Gradients reach those weights that ask for them. All pictures go through the model at once, whatever `batch` is.

        Raises:
            InputError: one is no picture; the message gives its number.
        """
        _require_list(images, "images")
        return self._pooled([self._example(number, image, None, "features") for number, image in enumerate(images)], "features")

    def as_seen(self, images: Sequence[Image]) -> np.ndarray:
        """Pictures as the model sees them: (n, S, S) uint8, the short side fitted and the middle kept.

        Raises:
            InputError: one is no picture; the message gives its number.
        """
        _require_list(images, "images")
        squares = [_square(image, number, self.image_size) for number, image in enumerate(images)]
        return np.array(squares, np.uint8).reshape(-1, self.image_size, self.image_size)

    def regenerate(self, image: Image, hidden: np.ndarray, text: str | None = None) -> np.ndarray:
        """The picture, its hidden patches made up by the model from the visible ones, and from the report where one is given.

        The evaluation of regeneration scores this at scale 1, and draws it. What lies under `hidden` is not looked at.

        Args:
            image: the picture.
            hidden: (grid, grid) bool, true for the patches to hide.
            text: what the report says; the model reads it beside the picture.

        Returns:
            (S, S) uint8, what `as_seen` gives where nothing is hidden.

        Raises:
            InputError: no picture, no text, a mask of another shape or type, or a model that was trained on normalised targets
                (`objective.normalize_targets`), which tell neither brightness nor contrast.
        """
        # Late: scores and figures of the evaluation come along, and embeddings need none of their packages.
        from cxrpt.eval.pixel_scores import fill
        from cxrpt.eval.regenerate import predict

        shape = self.exported.model.shape
        if shape.normalize_targets:
            raise InputError("the model was trained on normalised targets and gives no brightness: take one that was not")
        if not isinstance(hidden, np.ndarray) or hidden.dtype != bool or hidden.shape != (self.grid, self.grid):
            given = f"{hidden.dtype} {hidden.shape}" if isinstance(hidden, np.ndarray) else type(hidden).__name__
            raise InputError(f"hidden is {given}: hand over an array of bool of shape {(self.grid, self.grid)}, one a patch")
        seen, tokens = _square(image, 0, self.image_size), None if text is None else self._tokens(text, 0)
        (groups,) = predict(self.exported, [seen], [hidden], [tokens])
        filled = fill(seen / np.float32(255), hidden, groups[1], 1, shape.patch_size)
        return np.round(filled * 255).astype(np.uint8)

    @torch.inference_mode()
    def _run(self, items: list[tuple[Image | None, str | None]], what: str) -> np.ndarray:
        rows = [np.empty((0, self.width * (2 if what == "features" else 1)), np.float32)]
        for batch in batches_of(enumerate(items), self.batch):
            examples = [self._example(number, image, text, what) for number, (image, text) in batch]
            rows.append(self._pooled(examples, what).float().cpu().numpy())
        return np.concatenate(rows)

    def _example(self, number: int, image: Image | None, text: str | None, what: str) -> Example:
        shape = self.exported.model.shape
        pixels = None if what == "text" else _square(image, number, shape.image_size)
        tokens = self._tokens(text, number) if what in ("text", "pair") else None
        return plain_example(pixels, tokens, shape.patch_size)

    def _tokens(self, text: object, number: int) -> np.ndarray:
        if not isinstance(text, str):
            raise InputError(f"text {number} is a {type(text).__name__}: hand over str")
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError(f"text {number} holds NUL or half a character: hand over Unicode text")
        tokens = tokens_of(text, self.exported)
        if not len(tokens):
            raise InputError(f"text {number} is empty: leave it out")
        return tokens

    def _pooled(self, examples: list[Example], what: str) -> torch.Tensor:
        states, batch = run_model(self.exported, examples)
        lengths = [len(example.text.tokens) for example in examples if example.text is not None]
        if what == "features":
            return pooled_images(states, batch)
        if what == "pair":
            patches = mean_states(states, batch.image_rows_I, [batch.grid**2] * len(batch.image_rows_I))
            return (patches + mean_states(states, batch.text_rows_X, lengths)) / 2
        if what == "image":
            return image_vectors(self.exported, states, batch)
        return text_vectors(self.exported, states, batch, lengths)


def _require_list(items: object, what: str) -> None:
    """Raise InputError for a single picture or text, whose characters or rows would be taken for many."""
    if isinstance(items, str | bytes | os.PathLike) or (isinstance(items, np.ndarray) and items.ndim < 3):
        raise InputError(f"{what} is a single one: hand over a list of {what}")


def _square(image: Image | None, number: int, size: int) -> np.ndarray:
    """The picture as the model sees it: (size, size) uint8."""
    if isinstance(image, np.ndarray):
        if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16) or not image.size:
            raise InputError(
                f"image {number} is an array of {image.dtype} {image.shape}: hand over (H, W) of uint8 or uint16, one channel"
            )
        deep = image.dtype == np.uint16
        square = fit_square((image >> 8).astype(np.uint8) if deep else image, size)
    else:
        data = _file_bytes(image, number)
        # In the header of a PNG byte 24 is the bit depth.
        deep = data[:4] == b"\x89PNG" and data[24:25] == b"\x10"
        try:
            square = load_square(data, size)
        except BadSampleError:
            raise InputError(f"image {number} does not decode: hand over PNG or JPEG, or an array of its pixels") from None
    if deep and square.max() < _BLACK:
        raise InputError(f"image {number} has 16 bits and is all but black: scale its pixels to 0..65535 (12 bits: times 16)")
    return square


def _file_bytes(image: bytes | str | os.PathLike[str] | None, number: int) -> bytes:
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str | os.PathLike):
        raise InputError(f"image {number} is a {type(image).__name__}: hand over a path, bytes or an array")
    try:
        return Path(image).read_bytes()
    except (OSError, ValueError) as error:
        # A path can identify a patient: it is not told.
        why = getattr(error, "strerror", None) or "no path of this system"
        raise InputError(f"image {number} cannot be read ({why}): hand over a path, bytes or an array") from None
