"""The image's entry point, user, paths and health check, on a read-only root, without an engine."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.image import DOCKER, Container, Image, can_contain

pytestmark = pytest.mark.skipif(
    not can_contain(), reason="no user namespaces here: nothing can stand for a container"
)
IN_THE_CLEAR = {"HOLDFAST_TCP_TLS": "off", "HOLDFAST_HTTP_TLS": "off"}


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    image = Image.of((DOCKER / "Dockerfile").read_text())
    with Container(image, tmp_path / "container") as made:
        yield made


def test_it_is_closed_until_there_are_tls_and_a_key(container: Container) -> None:
    bare = container.once()
    assert bare.returncode == 2
    tcp, http = bare.stderr.splitlines()
    assert "tcp.listen = 0.0.0.0:4653 can be reached from other machines" in tcp
    assert "http.listen = 0.0.0.0:4654 can be reached from other machines" in http
    keyless = container.once(**IN_THE_CLEAR)
    assert keyless.returncode == 1
    assert "make a first key with `holdfastd keys create" in keyless.stderr


def test_it_serves_stops_and_serves_again_with_all_it_had(container: Container) -> None:
    key = container.once("keys", "create", "web", "--role", "admin").stdout.strip()
    container.start(**IN_THE_CLEAR)
    assert container.is_healthy(**IN_THE_CLEAR)
    added = container.run("holdfast", "add", "mail", "welcome", "{}", HOLDFAST_KEY=key)
    assert added.returncode == 0, added.stderr
    assert container.stop() == 0
    assert not container.is_healthy(**IN_THE_CLEAR)
    container.start(**IN_THE_CLEAR)
    queues = container.run("holdfast", "queues", HOLDFAST_KEY=key)
    assert "mail" in queues.stdout


def test_one_that_hangs_is_unhealthy(container: Container) -> None:
    container.once("keys", "create", "web", "--role", "admin")
    container.start(**IN_THE_CLEAR)
    assert container.is_healthy(**IN_THE_CLEAR)
    container.send(signal.SIGSTOP)
    assert not container.is_healthy(**IN_THE_CLEAR)


def test_it_is_somebody_else_than_root_and_can_write_its_data_only(container: Container) -> None:
    assert container.run("id", "-u").stdout == "10001\n"
    assert container.run("touch", "file").returncode == 0
    assert (container.data / "file").exists()
    for path in ("/file", "/etc/holdfast/config.toml", "/opt/holdfast/file", "/usr/file"):
        assert "Read-only file system" in container.run("touch", path).stderr


def test_keys_are_made_and_noted_by_a_user_without_a_name(container: Container) -> None:
    """The number that `docker run --user` gives is in no list of users."""
    made = container.once(
        *("keys", "create", "web", "--role", "admin"),
        HOLDFAST_AUDIT_FILE=f"{container.image.volume}/audit.jsonl",
    )
    assert made.returncode == 0, made.stderr
    noted = json.loads((container.data / "audit.jsonl").read_text())
    assert (noted["command"], noted["user"]) == ("KEYS CREATE", "uid 10001")
