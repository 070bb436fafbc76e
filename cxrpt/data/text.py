"""Report text to token ids: SentencePiece, and the choice of sections.

The ids every tokenizer of cxrpt starts with::

    0 <unk>   1 <s>   2 </s>   3 <mask>   4 ___ (what de-identification left)   5.. bytes, then pieces

Bytes are pieces of their own, so that no text holds an unknown token.
"""

import hashlib
from pathlib import Path

import numpy as np
import sentencepiece

from cxrpt.data.sample import DEID_TOKEN
from cxrpt.errors import InputError

SPACE_MARK = "\u2581"
"""How SentencePiece writes the space before a word."""

SPECIAL_PIECES = ("<unk>", "<s>", "</s>", "<mask>", DEID_TOKEN)
"""The first pieces of the vocabulary, in the order of their ids."""


class Tokenizer:
    """A trained SentencePiece model; pickles as the bytes of its file, so that it travels to loader workers.

    `word_start` is a bool array of `vocab_size`: the piece begins a word. Special pieces are words of their own.
    `never_masked` are the tokens that are no masking targets. `fingerprint` is 16 hexadecimal digits of the sha256 of the
    model file.
    """

    unk_id = 0
    bos_id = 1
    eos_id = 2
    mask_id = 3
    deid_id = 4

    def __init__(self, model_bytes: bytes):
        """Wrap the bytes of a model file.

        Raises:
            InputError: they are no SentencePiece model, or it lacks one of SPECIAL_PIECES at its place.
        """
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            # An empty file parses as a model without pieces, which SentencePiece reports only at the first use.
            loaded = bool(model_bytes) and self._processor.LoadFromSerializedProto(model_bytes)
        except RuntimeError:
            loaded = False
        if not loaded:
            raise InputError("not a SentencePiece model: train one with `cxrpt tokenizer`")
        self.model_bytes = model_bytes
        self.vocab_size: int = self._processor.get_piece_size()
        self.fingerprint: str = hashlib.sha256(model_bytes).hexdigest()[:16]
        pieces = [self._processor.id_to_piece(number) for number in range(self.vocab_size)]
        if tuple(pieces[: len(SPECIAL_PIECES)]) != SPECIAL_PIECES:
            raise InputError(
                f"the SentencePiece model does not begin with {' '.join(SPECIAL_PIECES)}: train one with `cxrpt tokenizer`"
            )
        self.word_start = np.array([piece.startswith(SPACE_MARK) for piece in pieces])
        self.word_start[: len(SPECIAL_PIECES)] = True
        # "___" is written as a bare space and itself: to tell the space would be to tell the token.
        bare_spaces = [number for number, piece in enumerate(pieces) if piece == SPACE_MARK]
        self.never_masked: tuple[int, ...] = (*range(len(SPECIAL_PIECES)), *bare_spaces)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a model file.

        Raises:
            InputError: it is missing, not a SentencePiece model, or not one of cxrpt's.
        """
        try:
            model_bytes = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{path} does not exist: make a tokenizer with `cxrpt tokenizer`, or mend data.tokenizer"
            ) from None
        except IsADirectoryError:
            raise InputError(f"{path} is no tokenizer file: make one with `cxrpt tokenizer`") from None
        try:
            return cls(model_bytes)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def __getstate__(self) -> bytes:
        return self.model_bytes

    def __setstate__(self, model_bytes: bytes) -> None:
        self.__init__(model_bytes)  # type: ignore[misc]

    def encode(self, text: str) -> np.ndarray:
        """Token ids (int32) of a text, without <s> and </s>; runs of white space count as one space."""
        return np.array(self._processor.encode(" ".join(text.split())), dtype=np.int32)

    def encode_with_spans(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The ids that `encode` gives, and the characters that each stands for: (T, 2) int64, begin and end.

        Characters are those of the text with runs of white space made one space; the space before a word is its first piece's.
        """
        found = self._processor.encode(" ".join(text.split()), return_type="offset_mapping")
        return np.array(found["ids"], np.int32), np.array(found["offsets"], np.int64).reshape(-1, 2)

    def decode(self, ids: np.ndarray | list[int]) -> str:
        """The text of token ids; <s>, </s> and <mask> give nothing.

        Raises:
            IndexError: an id outside the vocabulary.
        """
        return self._processor.decode(np.asarray(ids, dtype=np.int64).tolist())

    def piece(self, token: int) -> str:
        """How one token is written in the vocabulary."""
        return self._processor.id_to_piece(int(token))


def select_text(text: str, sections: dict[str, tuple[int, int]], choice: tuple[str, ...]) -> str:
    """The bodies of the chosen sections, in the order of `choice`, joined by a line break.

    A report that has none of them, or has them all empty, gives its whole text; so does an empty choice. In a report without
    titled FINDINGS and IMPRESSION the section LAST PARAGRAPH is its last untitled paragraph, which can be chosen too.
    """
    bodies = [text[slice(*sections[title])].strip() for title in choice if title in sections]
    return "\n".join(body for body in bodies if body) or text
