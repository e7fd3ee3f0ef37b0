"""The pictures of the README, from the report that `make demo` wrote: `python -m benchmarks.pictures`."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from report.contact import Cell, contact_png
from report.pictures import colour, overlay

SHOWN = 6
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Write docs/pictures/masks.png: photographs, masks and overlays of the demo's report (default .gfi/demo)."""
    images = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".gfi" / "demo") / "images"
    photos = sorted(images.glob("*-photo.jpg"))
    if not photos:
        sys.exit(f"no report in {images.parent}: make demo writes one")
    rows: dict[str, list[Cell]] = {"photograph": [], "mask": [], "overlay": []}
    for photo in photos[:: max(1, len(photos) // SHOWN)][:SHOWN]:
        rgb = np.asarray(Image.open(photo).convert("RGB"))
        grey = (
            Image.open(photo.with_name(photo.name.replace("-photo.jpg", "-mask.png")))
            .convert("LA")
            .getchannel(0)
        )
        mask = (
            np.asarray(grey.resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.BILINEAR), np.float32) / 255
        )
        rows["photograph"].append(Cell(rgb))
        rows["mask"].append(Cell(colour(mask)))
        rows["overlay"].append(Cell(overlay(rgb, mask, 0.55)))
    target = ROOT / "docs" / "pictures" / "masks.png"
    target.write_bytes(contact_png([""] * SHOWN, list(rows.items())))
    print(target)


if __name__ == "__main__":
    main()
