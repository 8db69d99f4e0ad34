"""Server-sent events of a real daemon: of a queue and of one job, missed ones too."""

import threading
import time
from collections.abc import Iterator

import pytest

from holdfast import Worker
from holdfast.active import ActiveJob
from support.api import Api
from support.daemon import DaemonProcess


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("events") / "data") as daemon:
        yield daemon


@pytest.fixture
def api(daemon: DaemonProcess) -> Api:
    return Api(daemon.http_address)


def test_a_queue_tells_what_happens_and_what_was_missed(api: Api) -> None:
    api.post("/queues/told/jobs", {"name": "n", "id": "a"})
    with api.events("/queues/told/events") as stream:
        assert stream.next() is not None  # it listens from here on
        api.post("/queues/told/jobs", {"name": "n", "id": "b"})
        added = stream.next()
        assert added is not None
        assert (added.name, added.data["id"]) == ("added", "b")
        last = stream.last_id
    assert last is not None
    api.post("/queues/told/jobs", {"name": "n", "id": "c"})
    with api.events("/queues/told/events", Last_Event_ID=last) as stream:
        assert stream.next() is not None
        missed = stream.next()
        assert missed is not None
        assert (missed.name, missed.data["id"]) == ("added", "c")
        assert int(missed.id or 0) == int(last) + 1
    with api.events("/queues/told/events", Last_Event_ID="5") as stream:
        assert stream.next() is not None
        gap = stream.next()
        assert gap is not None
        assert gap.name == "missed"
    assert api.get("/queues/told/events", Last_Event_ID="five").status == 400


def test_a_job_is_followed_to_its_end(api: Api, daemon: DaemonProcess) -> None:
    begin = threading.Event()

    def upload(job: ActiveJob) -> dict[str, str]:
        begin.wait(10)
        job.progress(50)
        return {"url": "/photo.webp"}

    worker = Worker("uploads", upload, url=daemon.url)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        api.post("/queues/uploads/jobs", {"name": "upload", "id": "u/1"})
        api.post("/queues/uploads/jobs", {"name": "upload", "id": "other", "delay_ms": 60_000})
        with api.events("/queues/uploads/jobs/u%2F1/events") as stream:
            assert stream.next() is not None
            now = stream.next()
            assert now is not None
            assert now.name == "job"
            assert now.data["state"] in ("waiting", "active")
            begin.set()
            rest = stream.rest()
            last = stream.last_id
    finally:
        begin.set()
        worker.stop()
        thread.join(10)
    assert [event.name for event in rest if event.name != "active"] == [
        "progress",
        "job",
        "completed",
    ]
    assert {event.data["id"] for event in rest} == {"u/1"}
    progress = next(event for event in rest if event.name == "progress")
    assert progress.data["progress"] == 50
    assert rest[-2].data["result"] == {"url": "/photo.webp"}
    # A browser comes back by itself, and is told to stop.
    with api.events("/queues/uploads/jobs/u%2F1/events", Last_Event_ID=last or "") as stream:
        assert stream.status == 204
    with api.events("/queues/uploads/jobs/u%2F1/events") as stream:
        assert [event.name for event in stream.rest()] == ["", "job"]


def test_streams_and_waits_end_when_the_daemon_stops(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with DaemonProcess(tmp_path_factory.mktemp("stop") / "data") as daemon:
        api = Api(daemon.http_address)
        api.post("/queues/q/jobs", {"name": "n", "id": "a"})
        statuses: list[int] = []
        path = "/queues/q/jobs/a/wait?timeout_ms=60000"
        waiting = threading.Thread(target=lambda: statuses.append(api.get(path).status))
        with api.events("/queues/q/events") as stream:
            assert stream.next() is not None
            waiting.start()
            time.sleep(0.3)  # that it waits by now is not to be seen; if it does not, it is refused
            began = time.monotonic()
            assert daemon.stop() == 0
            assert stream.rest() == []
            waiting.join(10)
            assert time.monotonic() - began < 5
        assert statuses == [503]
        assert "Traceback" not in daemon.log()


def test_a_reader_that_left_is_forgotten(api: Api, daemon: DaemonProcess) -> None:
    """More than one client may have at once."""
    api.post("/queues/left/jobs", {"name": "n", "id": "a"})
    for _ in range(150):
        with api.events("/queues/left/jobs/a/events") as stream:
            assert stream.status == 200
