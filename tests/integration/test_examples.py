"""The example against a real daemon: its web applications, its worker, and the demo when it is
interrupted."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from examples.photo_upload import images, records
from examples.photo_upload.demo import camera
from fastapi.testclient import TestClient as FastAPIClient

from holdfast import Queue
from support.daemon import DaemonProcess

ROOT = Path(__file__).parents[2]
ANSWER_S_MAX = 0.5
"""Of one upload. It takes some 5 ms; the work that it puts off takes many times as long."""


@pytest.fixture
def environment(
    daemon: DaemonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DaemonProcess:
    monkeypatch.setenv("HOLDFAST_URL", daemon.url)
    monkeypatch.setenv("STORAGE_URL", str(tmp_path / "objects"))
    monkeypatch.setenv("APP_DATABASE", str(tmp_path / "application.db"))
    monkeypatch.setenv("SMTP_SERVER", "127.0.0.1:1")  # nobody listens there
    return daemon


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    return camera.photo(1)


class Browser:
    """The same requests to either application."""

    def __init__(self, client: Any, kind: str):
        self.client = client
        self._kind = kind

    def upload(self, body: bytes, query: str = "user_id=1") -> tuple[int, str]:
        argument = {"flask": "data", "fastapi": "content"}[self._kind]
        return self._answer(self.client.post(f"/upload?{query}", **{argument: body}))

    def upload_form(self, body: bytes) -> tuple[int, str]:
        if self._kind == "flask":
            import io

            form: dict[str, Any] = {"data": {"photo": (io.BytesIO(body), "a.jpg")}}
        else:
            form = {"files": {"photo": body}}
        return self._answer(self.client.post("/upload?user_id=1", **form))

    def job(self, job_id: str) -> tuple[int, str]:
        return self._answer(self.client.get(f"/jobs/{job_id}"))

    @staticmethod
    def _answer(response: Any) -> tuple[int, str]:
        text = response.text if isinstance(response.text, str) else response.get_data(as_text=True)
        return response.status_code, text


@pytest.fixture(params=["flask", "fastapi"])
def browser(request: pytest.FixtureRequest, environment: DaemonProcess) -> Iterator[Browser]:
    app = _fresh(request.param)
    if request.param == "flask":
        yield Browser(app.app.test_client(), "flask")
        app.photos.close()
    else:
        with FastAPIClient(app.app) as client:
            yield Browser(client, "fastapi")
            client.portal.call(app.photos.close)  # type: ignore[union-attr]  # set inside the with


def _fresh(kind: str) -> ModuleType:
    """The module, with a queue of this test's daemon."""
    return importlib.reload(importlib.import_module(f"examples.photo_upload.app_{kind}"))


@pytest.fixture
def worker(environment: DaemonProcess, tmp_path: Path) -> Iterator[None]:
    """A worker in a process of its own."""
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.photo_upload.worker"], cwd=ROOT, stdout=log, stderr=log
        )
    yield
    process.terminate()
    assert process.wait(15) == 0, (tmp_path / "worker.log").read_text()


# ---- photos --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_photo_loses_its_place_stands_upright_and_keeps_its_proportions(seed: int) -> None:
    photo = camera.photo(seed)
    assert camera.has_place(photo)
    small = images.resized(photo)
    assert not camera.has_exif(small)
    assert camera.size_of(small) == camera.size_within(photo, images.SIDE_MAX)


def test_a_photo_of_which_a_half_is_missing_is_none(jpeg: bytes) -> None:
    half = jpeg[: len(jpeg) // 2]
    images.check(half)
    with pytest.raises(images.NotAPhoto, match="cannot be read"):
        images.resized(half)


# ---- the web applications ------------------------------------------------------------------------


def test_an_upload_is_answered_202_at_once_while_no_worker_runs(
    browser: Browser, jpeg: bytes
) -> None:
    browser.upload(jpeg)  # connects
    started = time.perf_counter()
    status, text = browser.upload(jpeg)
    assert time.perf_counter() - started < ANSWER_S_MAX
    assert status == 202
    status, text = browser.job(_job_id(text))
    assert (status, '"state":"waiting"' in text.replace(" ", "")) == (200, True)


def test_a_form_is_as_good_as_a_body(browser: Browser, jpeg: bytes) -> None:
    status, text = browser.upload_form(jpeg)
    assert status == 202
    with Queue("image-processing") as photos:
        key = photos.get(_job_id(text)).data["file_key"]
    stored = Path(os.environ["STORAGE_URL"]) / "uploads" / f"{key}.jpg"
    assert stored.read_bytes() == jpeg


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 415, "the upload is empty"),
        (b"GIF89a", 415, "this is not a JPEG"),
        (b"\xff\xd8\xff" + bytes(images.UPLOAD_BYTES_MAX), 413, ""),
    ],
    ids=["empty", "no JPEG", "too large"],
)
def test_what_is_no_photo_is_refused_and_adds_nothing(
    browser: Browser, body: bytes, status: int, words: str
) -> None:
    found, text = browser.upload(body)
    assert found == status
    assert words in text
    with Queue("image-processing") as photos:
        assert sum(photos.counts().values()) == 0


def test_an_upload_of_nobody_is_refused(browser: Browser, jpeg: bytes) -> None:
    for query in ("", "user_id=me"):
        status, text = browser.upload(jpeg, query)
        assert status == 422
        assert "user_id" in text


def test_a_job_that_does_not_exist_is_404(browser: Browser, jpeg: bytes) -> None:
    browser.upload(jpeg)
    for job_id in ("nope", "n" * 200):
        status, text = browser.job(job_id)
        assert status == 404
        assert "job" in text


def _job_id(text: str) -> str:
    import json

    job_id: str = json.loads(text)["job_id"]
    return job_id


# ---- the websocket -------------------------------------------------------------------------------


@pytest.fixture
def fastapi(environment: DaemonProcess) -> Iterator[FastAPIClient]:
    app = _fresh("fastapi")
    with FastAPIClient(app.app) as client:
        yield client
        client.portal.call(app.photos.close)  # type: ignore[union-attr]  # set inside the with


@pytest.mark.usefixtures("worker")
def test_the_websocket_is_told_when_the_photo_is_done(fastapi: FastAPIClient, jpeg: bytes) -> None:
    job_id = fastapi.post("/upload?user_id=7", content=jpeg).json()["job_id"]
    with fastapi.websocket_connect(f"/jobs/{job_id}") as page:
        news = page.receive_json()
    assert news["state"] == "completed"
    small = Path(news["result"]["url"].removeprefix("file://")).read_bytes()
    assert camera.size_of(small) == camera.size_within(jpeg, images.SIDE_MAX)
    key = job_id.removeprefix("photo-")
    with records.transaction() as rows:
        for table in ("photos", "sizes", "activity"):
            assert rows.execute(f"SELECT file_key FROM {table}").fetchall() == [(key,)]
    with Queue("mail") as mails:
        assert mails.get(f"mail-{key}").data["user_id"] == 7


@pytest.mark.usefixtures("worker")
def test_the_websocket_is_told_why_a_photo_failed_and_it_is_not_tried_again(
    fastapi: FastAPIClient, jpeg: bytes
) -> None:
    answer = fastapi.post("/upload?user_id=7", content=jpeg[: len(jpeg) // 2])
    job_id = answer.json()["job_id"]
    with fastapi.websocket_connect(f"/jobs/{job_id}") as page:
        news = page.receive_json()
    assert news["state"] == "failed"
    assert "this JPEG cannot be read" in news["error"]
    with Queue("image-processing") as photos:
        assert photos.get(job_id).failures == 1


def test_the_websocket_of_an_unknown_job_says_so(fastapi: FastAPIClient) -> None:
    with fastapi.websocket_connect("/jobs/nope") as page:
        assert page.receive_json()["state"] == "unknown"


# ---- the demo ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_demo_leaves_no_process_and_no_file(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    demo = subprocess.Popen(
        [sys.executable, "-m", "examples.photo_upload.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("uploading"):
            break
    started = psutil.Process(demo.pid).children(recursive=True)
    assert len(started) == 4
    demo.send_signal(number)
    last_words = demo.stdout.read()
    demo.stdout.close()
    assert demo.wait(30) == 130
    assert "interrupted" in last_words
    assert [process for process in started if process.is_running()] == []
    assert list(folder.iterdir()) == []
