"""Real JPEGs for the demo: a few megapixels of picture, EXIF with a camera and a place."""

import io
import random

from PIL import Image, ImageFilter

GPS_TAG = 0x8825
MODEL_TAG = 0x0110
ORIENTATION_TAG = 0x0112


def photo(seed: int) -> bytes:
    """A picture of 2 to 4 megapixels that compresses like one."""
    rng = random.Random(seed)
    width, height = rng.choice([(2048, 1536), (2272, 1704), (1536, 2048), (1920, 1080)])
    coarse = Image.frombytes("RGB", (64, 48), rng.randbytes(64 * 48 * 3))
    image = coarse.resize((width, height), Image.Resampling.BICUBIC)
    image = image.filter(ImageFilter.GaussianBlur(2))
    exif = Image.Exif()
    exif[MODEL_TAG] = "Holdfast Box Camera"
    exif[ORIENTATION_TAG] = rng.choice([1, 6])
    place = exif.get_ifd(GPS_TAG)
    place.update({1: "N", 2: (48.0, 8.0, 13.0 + seed % 40), 3: "E", 4: (11.0, 34.0, 31.0)})
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, exif=exif)
    return out.getvalue()


def has_place(jpeg: bytes) -> bool:
    with Image.open(io.BytesIO(jpeg)) as image:
        return bool(image.getexif().get_ifd(GPS_TAG))


def has_exif(jpeg: bytes) -> bool:
    with Image.open(io.BytesIO(jpeg)) as image:
        return bool(image.getexif()) or b"Exif" in jpeg[:4096]


def size_of(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg)) as image:
        return image.size
