"""Headers of a million images in little memory: what the images of a study say alike is kept once."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from data_prep.inputs import Identifiers
from data_prep.loose import NOBODY, LooseImage

Value = TypeVar("Value")
_UID = re.compile(r"\d+(?:\.\d+){5,}")
"""What the scrub's patterns remove wherever it stands: no report needs it among the known numbers."""


class SharedImages:
    """Takes images one by one, as they come, and gives them back without what is kept already.

    The identifiers of an image are cut to those that the first image of its study did not have: linking joins them again.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._first: dict[str, LooseImage] = {}
        self._values: dict[Any, Any] = {}

    def take(self, image: LooseImage, input_id: str) -> LooseImage:
        """The image, with `input_id`, an equal text that is kept anyway, for its own."""
        picture = image.image
        place = self._root if picture.place == self._root else picture.place
        picture = replace(picture, input_id=input_id, place=place, type=self._one(picture.type), view=self._one(picture.view))
        first = self._first.get(image.study_uid) if image.study_uid else None
        if first is None or first.patient != image.patient or first.accession != image.accession:
            image = replace(image, image=picture, date=self._one(image.date), identifiers=self._beyond(NOBODY, image))
            if image.study_uid:
                self._first.setdefault(image.study_uid, image)
            return image
        return replace(
            image,
            image=picture,
            patient=first.patient,
            study_uid=first.study_uid,
            accession=first.accession,
            date=self._one(image.date),
            identifiers=self._beyond(first.identifiers, image),
        )

    def _beyond(self, first: Identifiers, image: LooseImage) -> Identifiers:
        found = image.identifiers
        own = {text: text for text in (image.patient, image.accession)}
        ids = (own.get(one, one) for one in found.ids if one not in first.ids and not _UID.fullmatch(one))
        rest = Identifiers(
            tuple(self._one(name) for name in found.names if name not in first.names),
            tuple(ids),
            self._one(tuple(self._one(date) for date in found.dates if date not in first.dates)),
            self._one(tuple(self._one(phrase) for phrase in found.phrases if phrase not in first.phrases)),
        )
        return NOBODY if rest == NOBODY else rest

    def _one(self, value: Value) -> Value:
        return self._values.setdefault(value, value)
