"""Object storage: any file system that fsspec knows, named by $STORAGE_URL (a directory, s3://…)."""

import os
from typing import Any

import fsspec


def put_upload(image: bytes) -> str:
    """Keep an upload under a new key. Returns the key."""
    key = os.urandom(8).hex()
    _put(f"uploads/{key}.jpg", image)
    return key


def get_upload(key: str) -> bytes:
    filesystem, folder = _folder()
    image: bytes = filesystem.cat_file(f"{folder}/uploads/{key}.jpg")
    return image


def put_photo(key: str, image: bytes) -> str:
    """Keep the finished photo, under one name however often. Returns its URL."""
    return _put(f"photos/{key}.jpg", image)


def _put(name: str, data: bytes) -> str:
    filesystem, folder = _folder()
    path = f"{folder}/{name}"
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(path, data)
    url: str = filesystem.unstrip_protocol(path)
    return url


def _folder() -> tuple[Any, str]:
    filesystem, path = fsspec.url_to_fs(os.environ["STORAGE_URL"])
    return filesystem, path
