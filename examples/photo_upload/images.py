"""What is done to a photo."""

import io

from PIL import Image, ImageOps

SIDE_MAX = 800


def resized(jpeg: bytes) -> bytes:
    """The photo upright, at most 800 pixels wide and high, without EXIF: no place, no camera."""
    with Image.open(io.BytesIO(jpeg)) as image:
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((SIDE_MAX, SIDE_MAX))
        plain = Image.frombytes(upright.mode, upright.size, upright.tobytes())
    out = io.BytesIO()
    plain.save(out, "JPEG", quality=85)
    return out.getvalue()
