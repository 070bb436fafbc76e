"""Findings without a label: an image's vector against those of prompts that say a finding is there, and that it is not.

class ─► prompts of presence, of absence ─► unit vectors, averaged over templates (Radford et al., 2021)
image ─► unit vector ─► (image . present - image . absent), as positive and negative prompts in Tiu et al. (2022, CheXzero)

Only where the model was trained with the contrast, and for reports in English.
"""

import re

import numpy as np
import torch

from cxrpt.checkpoint.export import Exported
from cxrpt.eval.features import run_model, text_vectors
from cxrpt.eval.samples import plain_example, tokens_of

PRESENT = ("{}.", "There is {}.", "{} is present.", "Findings consistent with {}.")
ABSENT = ("No {}.", "There is no {}.", "{} is absent.", "No evidence of {}.")


def prompts_of(name: str) -> tuple[list[str], list[str]]:
    """Prompts that a class is there, and that it is not.

    "Pleural_Thickening" and "PleuralThickening" become "pleural thickening"; a class of absence ("No Finding") has the two
    turned round.
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_\s]+", " ", name)).strip().lower()
    turned = re.match(r"no (.+)", words)
    present, absent = (
        [template.format(turned.group(1) if turned else words) for template in templates] for templates in (PRESENT, ABSENT)
    )
    present, absent = ([text[0].upper() + text[1:] for text in texts] for texts in (present, absent))
    return (absent, present) if turned else (present, absent)


def zero_shot(exported: Exported, classes: list[str], images_ND: np.ndarray) -> np.ndarray:
    """(images, classes) scores in -2..2: how much nearer an image is to a finding's presence than to its absence.

    Args:
        exported: a model with the contrast on.
        classes: their names.
        images_ND: unit vectors of the images, by the contrastive head.
    """
    prompts = [prompts_of(name) for name in classes]
    texts = list(dict.fromkeys(text for both in prompts for texts in both for text in texts))
    vector_of = dict(zip(texts, _encode(exported, texts), strict=True))

    def direction(texts: list[str]) -> np.ndarray:
        mean = np.mean([vector_of[text] for text in texts], axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    present_CD, absent_CD = (np.stack([direction(both[side]) for both in prompts]) for side in (0, 1))
    return (images_ND @ (present_CD - absent_CD).T).astype(np.float64)


@torch.inference_mode()
def _encode(exported: Exported, texts: list[str]) -> np.ndarray:
    """(texts, D) unit vectors."""
    tokens = [tokens_of(text, exported) for text in texts]
    examples = [plain_example(None, one, exported.model.shape.patch_size) for one in tokens]
    states, packed = run_model(exported, examples)
    return text_vectors(exported, states, packed, [len(one) for one in tokens]).float().cpu().numpy()
