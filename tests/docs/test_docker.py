"""deploy/docker is as it should be: by linters, the daemon's own rules and plain reading."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from holdfastd import config
from holdfastd.access import exposure
from support.image import DOCKER, ROOT, Image, stages
from support.prometheus import need_prometheus, promtool

DOCKERFILE: Final = (DOCKER / "Dockerfile").read_text()
COMPOSE: Final[dict[str, Any]] = YAML(typ="safe").load((DOCKER / "compose.yaml").read_text())
BIN: Final = Path(sys.prefix) / "bin"


def lint(dockerfile: str) -> list[str]:
    """The rules of hadolint that are broken."""
    done = subprocess.run(
        [BIN / "hadolint", "--no-color", "--format", "json", "-"],
        input=dockerfile,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return [each["code"] for each in json.loads(done.stdout)]


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert lint(DOCKERFILE) == []
    unpinned = DOCKERFILE.replace(":3.13-slim-trixie", "").replace(
        'ENTRYPOINT ["holdfastd"]', "ENTRYPOINT holdfastd"
    )
    assert set(lint(unpinned)) == {"DL3006", "DL3025"}


def test_the_image_is_built_in_two_stages_of_one_pinned_base() -> None:
    build, last = stages(DOCKERFILE)
    bases = {stage[0].text.split()[0] for stage in (build, last)}
    (base,) = bases
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base)
    assert not [each for each in last if "pip" in each.text]
    assert "ADD" not in {each.name for stage in (build, last) for each in stage}


def test_the_image_runs_as_a_user_by_number_and_keeps_its_data_in_a_volume() -> None:
    image = Image.of(DOCKERFILE)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", image.user)
    assert image.volume == "/var/lib/holdfast"
    assert f"install -d -m 0700 -o 10001 -g 10001 {image.volume}" in DOCKERFILE
    assert image.healthcheck == ["holdfastd", "healthcheck"]
    assert image.environment["HOLDFAST_CONFIG"] in dict(image.copies).values()


def test_all_that_is_copied_is_there_and_let_through() -> None:
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    let_through = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    sources = {
        word.rstrip("/")
        for stage in stages(DOCKERFILE)
        for each in stage
        if each.name == "COPY" and "--from" not in each.text
        for word in each.text.split()[:-1]
    }
    assert sources == let_through
    assert all((ROOT / source).exists() for source in sources)


# ---- what it begins with ---------------------------------------------------------------------


def settings(environment: dict[str, str]) -> config.Config:
    return config.load(DOCKER / "config.toml", environment, {})


def test_its_configuration_is_closed_by_default() -> None:
    found = settings({})
    assert str(found.data.dir) == Image.of(DOCKERFILE).volume
    ports = {str(found.tcp.listen.port), str(found.http.listen.port)}
    assert set(dict(stages(DOCKERFILE)[-1])["EXPOSE"].split()) == ports
    assert len(exposure.problems(found)) == 2
    assert exposure.is_key_required(found, found.tcp.listen)
    assert exposure.is_key_required(found, found.http.listen)


def test_in_compose_it_may_start_and_still_asks_for_keys() -> None:
    found = settings(COMPOSE["services"]["holdfastd"]["environment"])
    assert exposure.problems(found) == []
    assert exposure.is_key_required(found, found.tcp.listen)


# ---- compose.yaml ----------------------------------------------------------------------------


def schema_errors(file: Path) -> int:
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode


@pytest.mark.slow
def test_compose_keeps_to_its_specification(tmp_path: Path) -> None:
    assert schema_errors(DOCKER / "compose.yaml") == 0
    broken = tmp_path / "compose.yaml"
    broken.write_text((DOCKER / "compose.yaml").read_text().replace("read_only", "readonly"))
    assert schema_errors(broken) != 0


def test_all_that_compose_mounts_is_there() -> None:
    mounts = [
        mount.split(":") for each in COMPOSE["services"].values() for mount in each["volumes"]
    ]
    files = [source for source, *_ in mounts if source.startswith(".")]
    volumes = {source for source, *_ in mounts if not source.startswith(".")}
    assert len(files) == 4
    assert all((DOCKER / file).exists() for file in files)
    assert volumes == set(COMPOSE["volumes"])
    build = COMPOSE["services"]["holdfastd"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).samefile(DOCKER / "Dockerfile")


def test_nothing_of_compose_can_be_reached_from_other_machines() -> None:
    ports = [port for each in COMPOSE["services"].values() for port in each["ports"]]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_its_secrets_are_used_and_never_committed() -> None:
    used = {name for each in COMPOSE["services"].values() for name in each.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    assert "/deploy/docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert all(each["file"].startswith("secrets/") for each in COMPOSE["secrets"].values())


def test_grafana_finds_prometheus_and_prometheus_finds_holdfastd() -> None:
    load = YAML(typ="safe").load
    sources = load(ROOT / "deploy/grafana/provisioning/datasources/holdfast.yml")
    assert [each["url"] for each in sources["datasources"]] == ["http://prometheus:9090"]
    boards = load(ROOT / "deploy/grafana/provisioning/dashboards/holdfast.yml")["providers"]
    mounts = [mount.split(":")[1] for mount in COMPOSE["services"]["grafana"]["volumes"]]
    assert [each["options"]["path"] for each in boards] == ["/var/lib/grafana/dashboards"]
    assert boards[0]["options"]["path"] in mounts
    ours = load(DOCKER / "prometheus.yml")
    (job,) = ours["scrape_configs"]
    port = settings({}).http.listen.port
    assert job.pop("static_configs") == [{"targets": [f"holdfastd:{port}"]}]
    (secret,) = COMPOSE["services"]["prometheus"]["secrets"]
    assert job.pop("authorization") == {"credentials_file": f"/run/secrets/{secret}"}
    plain = load(ROOT / "deploy/prometheus/prometheus.yml")
    del plain["scrape_configs"][0]["static_configs"]
    assert ours == plain


def test_promtool_takes_its_configuration() -> None:
    need_prometheus()
    code, said = promtool("check", "config", "--syntax-only", str(DOCKER / "prometheus.yml"))
    assert code == 0, said
