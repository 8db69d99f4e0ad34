"""What browsers load: small, kept for good, and of others what they released."""

import gzip
import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from holdfastd.web.assets import FOLDER, KEPT, Assets

PACKED_BYTES_MAX = 60_000
"""All of them compressed, as promised."""


def request(url: str, encoding: str = "gzip") -> Request:
    _, version, name = url.removeprefix("/").split("/", 2)
    headers = [(b"accept-encoding", encoding.encode())]
    params = {"version": version, "name": name}
    return Request({"type": "http", "method": "GET", "headers": headers, "path_params": params})


def test_all_assets_together_are_small() -> None:
    assets = Assets()
    assert 40_000 < assets.packed_bytes < PACKED_BYTES_MAX


async def test_an_asset_is_kept_for_good_under_an_address_that_changes_with_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.css").write_text("a { color: red }")
    before = Assets(tmp_path)
    answer = await before.serve(request(before.url("app.css")))
    assert answer.headers["cache-control"] == KEPT
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(answer.body)) == b"a { color: red }"
    (tmp_path / "app.css").write_text("a { color: blue }")
    after = Assets(tmp_path)
    assert after.url("app.css") != before.url("app.css")
    plain = await after.serve(request(before.url("app.css"), "identity"))
    assert plain.headers["cache-control"] == "no-store"
    assert plain.body == b"a { color: blue }"


@pytest.mark.parametrize(
    "name", ["vendor/vendor.toml", "vendor/htmx.LICENSE", "../assets.py", "nothing.js"]
)
async def test_only_style_scripts_and_icons_are_served(name: str) -> None:
    assets = Assets()
    with pytest.raises(KeyError):
        assets.url(name)
    with pytest.raises(HTTPException):
        await assets.serve(request(f"/static/{assets.version}/{name}"))


def wrong(listed: dict[str, Any], folder: Path) -> list[str]:
    """Vendored files that are not what their list says, and those that it does not name."""
    named = {each["name"]: each["sha256"] for each in listed["files"]}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "vendor.toml"
    }
    return sorted(name for name in named | found if named.get(name) != found.get(name))


def test_vendored_files_are_as_they_were_released_with_their_licences() -> None:
    folder = FOLDER / "vendor"
    packages = tomllib.loads((folder / "vendor.toml").read_text())["package"]
    listed = {"files": [each for package in packages for each in package["files"]]}
    assert wrong(listed, folder) == []
    for package in packages:
        assert any(each["from"] == "LICENSE" for each in package["files"])
    first, *others = listed["files"]
    changed = {"files": [{**first, "sha256": "0"}, *others]}
    assert wrong(changed, folder) == [first["name"]]


def test_no_asset_comes_from_elsewhere() -> None:
    for path in FOLDER.rglob("*"):
        if path.suffix in (".css", ".js") and path.parent.name != "vendor":
            text = path.read_text()
            assert "http://" not in text
            assert "https://" not in text
