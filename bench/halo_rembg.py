"""Runs under another program's Python: `bench/halo.py` asks it for cutouts with rembg's own functions.

Each line of standard input names an .npz file with `photo` (height, width, 3 uint8) and `matte` (height, width uint8)
and one of `naive`, `decontaminate`; the cutout (height, width, 4 uint8) is written beside it as .npy, and a line says
so. `decontaminate` is pymatting's estimate_foreground_ml on the given matte.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from rembg.bg import decontaminate_cutout, naive_cutout

WAYS = {"naive": naive_cutout, "decontaminate": decontaminate_cutout}


def main() -> None:
    for line in sys.stdin:
        way, _, name = line.rstrip("\n").partition(" ")
        path = Path(name)
        with np.load(path) as arrays:
            photo, matte = Image.fromarray(arrays["photo"]), Image.fromarray(arrays["matte"])
        np.save(path.with_suffix(".npy"), np.asarray(WAYS[way](photo, matte)))
        print("done", flush=True)


main()
