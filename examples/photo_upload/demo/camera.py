"""Real JPEGs for the demo: a few megapixels of picture, EXIF with a camera and a place."""

import io
import random
from typing import Final

from PIL import Image, ImageFilter

SIZES: Final = ((2048, 1536), (2272, 1704), (1536, 2048), (1920, 1080))
"""Width and height in pixels, 2 to 4 megapixels."""
GPS_TAG: Final = 0x8825
MODEL_TAG: Final = 0x0110
ORIENTATION_TAG: Final = 0x0112
UPRIGHT: Final = 1
TURNED: Final = 6
"""The camera was held upright: the picture is to be shown turned by 90 degrees."""


def photo(seed: int) -> bytes:
    """A picture that compresses like one: some 300 to 500 KB."""
    rng = random.Random(seed)
    coarse = Image.frombytes("RGB", (64, 48), rng.randbytes(64 * 48 * 3))
    image = coarse.resize(rng.choice(SIZES), Image.Resampling.BICUBIC)
    image = image.filter(ImageFilter.GaussianBlur(2))
    exif = Image.Exif()
    exif[MODEL_TAG] = "Holdfast Box Camera"
    exif[ORIENTATION_TAG] = rng.choice((UPRIGHT, TURNED))
    place = exif.get_ifd(GPS_TAG)
    place.update({1: "N", 2: (48.0, 8.0, 13.0 + seed % 40), 3: "E", 4: (11.0, 34.0, 31.0)})
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, exif=exif)
    return out.getvalue()


def has_place(jpeg: bytes) -> bool:
    with Image.open(io.BytesIO(jpeg)) as image:
        return bool(image.getexif().get_ifd(GPS_TAG))


def has_exif(jpeg: bytes) -> bool:
    """Any of it, readable or not."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return bool(image.getexif()) or b"Exif\0" in jpeg


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Width and height as stored."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return image.size


def size_within(jpeg: bytes, side_max: int) -> tuple[int, int]:
    """Width and height that a photo of `SIZES` must have when it is shown upright and its longer
    side is side_max."""
    with Image.open(io.BytesIO(jpeg)) as image:
        width, height = image.size
        if image.getexif()[ORIENTATION_TAG] == TURNED:
            width, height = height, width
    longer = max(width, height)
    return width * side_max // longer, height * side_max // longer
