"""The example's producers against a real daemon, without a worker: they answer at once."""

import time
from pathlib import Path

import pytest
from examples.photo_upload import camera, images

from support.daemon import DaemonProcess


@pytest.fixture
def environment(
    daemon: DaemonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DaemonProcess:
    monkeypatch.setenv("HOLDFAST_URL", daemon.url)
    monkeypatch.setenv("STORAGE_URL", str(tmp_path / "objects"))
    monkeypatch.setenv("APP_DATABASE", str(tmp_path / "app.db"))
    return daemon


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    return camera.photo(1)


def test_a_photo_loses_its_place_and_keeps_its_proportions(jpeg: bytes) -> None:
    assert camera.has_place(jpeg)
    small = images.resized(jpeg)
    assert not camera.has_exif(small)
    assert max(camera.size_of(small)) == images.SIDE_MAX


def test_flask_answers_202_while_no_worker_runs(environment: DaemonProcess, jpeg: bytes) -> None:
    import importlib

    from examples.photo_upload import app_flask

    app = importlib.reload(app_flask).app
    client = app.test_client()
    client.post("/upload?user_id=1", data=jpeg)  # connects
    started = time.perf_counter()
    answer = client.post("/upload?user_id=1", data=jpeg)
    assert time.perf_counter() - started < 1
    assert answer.status_code == 202
    state = client.get(f"/jobs/{answer.get_json()['job_id']}").get_json()
    assert state["state"] == "waiting"
    assert client.get("/jobs/nope").status_code == 404


@pytest.mark.parametrize(
    ("body", "words"), [(b"", "the upload is empty"), (b"GIF89a", "this is not a JPEG")]
)
def test_what_is_no_photo_is_refused(environment: DaemonProcess, body: bytes, words: str) -> None:
    from examples.photo_upload.app_flask import app

    answer = app.test_client().post("/upload?user_id=1", data=body)
    assert answer.status_code == 415
    assert words in answer.get_data(as_text=True)
