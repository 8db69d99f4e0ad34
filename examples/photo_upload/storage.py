"""Object storage: any file system that fsspec knows, named by $STORAGE_URL (a directory, s3://…)."""

import os
from typing import Any

import fsspec

UPLOAD_BYTES_MAX = 20 * 1024 * 1024


def why_no_jpeg(image: bytes) -> str | None:
    """None = it is one, by its first bytes."""
    if not image:
        return "the upload is empty: send the JPEG as the body"
    if not image.startswith(b"\xff\xd8\xff"):
        return "this is not a JPEG"
    if len(image) > UPLOAD_BYTES_MAX:
        return f"the photo is over {UPLOAD_BYTES_MAX:,} bytes"
    return None


def _folder() -> tuple[Any, str]:
    filesystem, path = fsspec.url_to_fs(os.environ["STORAGE_URL"])
    return filesystem, path


def _put(name: str, data: bytes) -> str:
    filesystem, folder = _folder()
    path = f"{folder}/{name}"
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, data)
    return path


def put_upload(image: bytes) -> str:
    """Keep an upload. Returns its key."""
    key = os.urandom(8).hex()
    _put(f"uploads/{key}.jpg", image)
    return key


def get_upload(key: str) -> bytes:
    filesystem, folder = _folder()
    image: bytes = filesystem.cat_file(f"{folder}/uploads/{key}.jpg")
    return image


def put_photo(key: str, image: bytes) -> str:
    """Keep the finished photo, under one name however often. Returns where it is."""
    return _put(f"photos/{key}.jpg", image)
