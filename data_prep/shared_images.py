"""Headers of a million images in little memory: what the images of a study say alike is kept once."""

from dataclasses import replace
from typing import TypeVar

from data_prep.inputs import Identifiers
from data_prep.loose import NOBODY, LooseImage

Value = TypeVar("Value")


class SharedImages:
    """Takes images one by one, as they come, and gives them back without what is kept already.

    The identifiers of an image are cut to those that the first image of its study did not have, and its own UID: the study
    has them all, as linking joins them.
    """

    def __init__(self) -> None:
        self._first: dict[str, LooseImage] = {}
        self._values: dict = {}

    def take(self, image: LooseImage, input_id: str) -> LooseImage:
        """The image, with `input_id`, an equal text that is kept anyway, for its own."""
        image = replace(image, image=replace(image.image, input_id=input_id))
        first = self._first.get(image.study_uid) if image.study_uid else None
        if first is None or first.patient != image.patient or first.accession != image.accession:
            image = replace(image, identifiers=self._slim(image))
            if image.study_uid:
                self._first[image.study_uid] = image
            return image
        return replace(
            image,
            patient=first.patient,
            study_uid=first.study_uid,
            accession=first.accession,
            date=first.date if first.date == image.date else image.date,
            identifiers=self._beyond(first.identifiers, image),
        )

    def _slim(self, image: LooseImage) -> Identifiers:
        found = image.identifiers
        own = {text: text for text in (image.patient, image.study_uid, image.accession)}
        ids = tuple(own.get(one, one) for one in found.ids if one != image.image.image_id)
        return Identifiers(found.names, ids, self._one(found.dates), self._one(found.phrases))

    def _beyond(self, first: Identifiers, image: LooseImage) -> Identifiers:
        found = image.identifiers
        rest = Identifiers(
            tuple(name for name in found.names if name not in first.names),
            tuple(one for one in found.ids if one not in first.ids and one != image.image.image_id),
            tuple(date for date in found.dates if date not in first.dates),
            tuple(phrase for phrase in found.phrases if phrase not in first.phrases),
        )
        return NOBODY if rest == NOBODY else rest

    def _one(self, value: Value) -> Value:
        return self._values.setdefault(value, value)
