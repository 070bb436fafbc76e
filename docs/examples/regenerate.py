"""Hide a part of a picture and let a model that `cxrpt export` wrote make it up. Research only, not for clinical use.

    python regenerate.py chest-model chest.png --hide 0.5 0.4 0.9 0.8 --report "Opacity in the left lower zone."

`--hide` is a box, left top right bottom, in shares of the middle square, which is what the model sees of a picture; every patch
that the box touches is hidden. The PNG shows the picture, what the model saw of it, what it made of that, and with --report
what it made of that and the report. It is no finding, but a guess from what usually stands there.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import cxrpt

HIDDEN_BLUE = (51, 66, 92)  # not a gray that a picture could hold


def main() -> None:
    """Read the command line, regenerate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder that `cxrpt export` wrote")
    parser.add_argument("picture", type=Path, help="PNG or JPEG file")
    parser.add_argument("--hide", type=float, nargs=4, default=(0.5, 0.4, 0.9, 0.8), metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"))
    parser.add_argument("--report", help="what the report says")
    parser.add_argument("--out", type=Path, default=Path("regenerated.png"), help="PNG to write")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()

    left, top, right, bottom = args.hide
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError("--hide takes left top right bottom in 0..1, left below right and top below bottom")
    model = cxrpt.load_pretrained(args.model, device=args.device)
    seen = model.as_seen([args.picture])[0]
    hidden = box(model.grid, left, top, right, bottom)
    pixels = np.kron(hidden, np.ones((model.image_size // model.grid,) * 2, bool))

    made = {"alone": model.regenerate(args.picture, hidden)}
    if args.report:
        made["with the report"] = model.regenerate(args.picture, hidden, args.report)
    sheet = [np.dstack([picture] * 3) for picture in (seen, seen, *made.values())]
    sheet[1][pixels] = HIDDEN_BLUE
    sheet = [np.pad(picture, ((0, 0), (0, 4), (0, 0)), constant_values=255) for picture in sheet]  # a white line apart
    Image.fromarray(np.hstack(sheet)).save(args.out, format="PNG")

    for name, picture in made.items():
        error = np.abs(picture.astype(float) - seen)[pixels].mean() / 255
        print(f"{name}: mean absolute error of the hidden pixels {error:.3f} of their range")
    print(f"{args.out}: picture, masked ({100 * hidden.mean():.0f} % hidden), regenerated {', '.join(made)}")


def box(grid: int, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """(grid, grid) bool: the patches that a box in shares of the side touches."""
    hidden = np.zeros((grid, grid), bool)
    hidden[math.floor(top * grid) : math.ceil(bottom * grid), math.floor(left * grid) : math.ceil(right * grid)] = True
    return hidden


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:  # what cxrpt refuses is a ValueError; take this away to see where it came from
        sys.exit(f"error: {error}".strip())
