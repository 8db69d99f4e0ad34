"""What is done to a photo."""

import io

from PIL import Image, ImageOps

SIDE_MAX = 800
UPLOAD_BYTES_MAX = 20 * 1024 * 1024


class NotAPhoto(Exception):
    """What was uploaded can never become a photo. The text is for the user."""


def check(upload: bytes) -> None:
    """A first look, fast enough for the web application. Raises NotAPhoto."""
    if not upload:
        raise NotAPhoto("the upload is empty: send the JPEG as the body or as the field `photo`")
    if not upload.startswith(b"\xff\xd8\xff"):
        raise NotAPhoto("this is not a JPEG")


def resized(jpeg: bytes) -> bytes:
    """The photo upright, at most 800 pixels wide and high, without EXIF: no place, no camera.

    Raises NotAPhoto: it is cut off, damaged, or too large to be taken apart.
    """
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            image.thumbnail((SIDE_MAX, SIDE_MAX))
            upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises
        raise NotAPhoto(f"this JPEG cannot be read: {error}") from error
    plain = Image.frombytes(upright.mode, upright.size, upright.tobytes())
    out = io.BytesIO()
    plain.save(out, "JPEG", quality=85)
    return out.getvalue()
