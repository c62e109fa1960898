"""The files that make images and releases: what can be known of them without building anything."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCKS = sorted(ROOT.glob("requirements*.lock"))
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """Return the versions that a lock file pins."""
    return dict(_PIN.findall((ROOT / lock).read_text(encoding="utf-8")))


def test_every_stage_comes_from_the_one_base_that_can_be_replaced() -> None:
    """A mirror is one build argument away."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    names = {name for _, name in stages}

    assert DOCKERFILE.count("\nFROM ") == len(stages)
    assert {base for base, _ in stages} <= {"${PYTHON_IMAGE}", *names}
    assert "ARG PYTHON_IMAGE=python:3.13-slim\n" in DOCKERFILE


def test_the_stage_that_is_built_without_a_target_is_the_production_image() -> None:
    """`docker build .` must not give anybody the trial's image."""
    assert DOCKERFILE.rstrip().endswith("FROM release AS costbatch")


def test_the_stand_in_for_aws_is_the_trials_alone() -> None:
    """The project leaves the simulator and the demo to a folder that only the trial's stage copies."""
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))

    assert 'mv "$package/demo" "$package/simulator" "/trial' in stages["project"]
    assert [name for name, text in stages.items() if "--from=project /trial" in text] == ["demo"]


def test_everything_from_an_index_is_installed_by_hash() -> None:
    """A package that was exchanged after it was locked is refused."""
    installs = re.findall(r"\binstall ([^&]+)", DOCKERFILE)
    assert installs

    for options in installs:
        assert "--no-deps" in options
        assert "--require-hashes" in options or "--no-index" in options


@pytest.mark.parametrize("name", ["Makefile", "README.md", "docs/installation.md"])
def test_a_checkout_is_installed_by_hash(name: str) -> None:
    """Also what builds it: pip would fetch that by itself, in whatever version is the newest."""
    text = (ROOT / name).read_text()
    if name == "Makefile":
        (text,) = re.findall(r"^\$\(READY\):.*?\n\n", text, re.MULTILINE | re.DOTALL)
    installs = re.findall(r"\binstall (-.*)", text)
    assert len(installs) >= 2

    for options in installs:
        assert "--no-deps" in options
        assert "--require-hashes" in options or "--no-build-isolation" in options


@pytest.mark.parametrize("lock", [lock.name for lock in LOCKS])
def test_lock_files_have_hashes_and_no_address(lock: str) -> None:
    """They work with any index, and say nothing about the one that they were made with."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text.strip())

    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
    assert "--index" not in text


def test_the_trial_s_image_has_the_same_versions_as_the_production_image() -> None:
    """It only adds packages; those of the production image stay as they are."""
    production, demo, tests = (
        pins("requirements.lock"),
        pins("requirements-demo.lock"),
        pins("requirements-dev.lock"),
    )

    assert production.items() <= demo.items()
    assert demo.items() <= tests.items()


def test_the_wheel_is_built_with_what_the_project_asks_for() -> None:
    """The lock of the build tools holds pyproject.toml's build system."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    for requirement in project["build-system"]["requires"]:
        assert re.split(r"[<>=!~]", requirement)[0] in pins("requirements-build.lock")


def test_the_build_context_has_what_is_copied_and_nothing_else() -> None:
    """Everything is left out first; what the Dockerfile copies is let in by name."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = {
        source.split("/")[0]
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for source in sources.split()
    }

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied


def test_published_ports_are_on_loopback_only() -> None:
    """A database with a known password must not be open to the network."""
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert published

    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_starts_only_postgres_unless_it_is_asked_for_more() -> None:
    """The rest is in profiles."""
    profiles = {name: service.get("profiles") for name, service in COMPOSE["services"].items()}

    assert profiles == {
        "postgres": None,
        "aws": ["aws"],
        "pushgateway": ["monitoring"],
        "prometheus": ["monitoring"],
        "costbatch": ["run"],
        "demo-accounts": ["run"],
    }


def test_compose_runs_our_containers_hardened() -> None:
    """As in Kubernetes: read-only, without capabilities."""
    for name in ("aws", "costbatch", "demo-accounts"):
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_jobs_have_few_rights(workflow: Path) -> None:
    """A tag of somebody's action can be moved; a commit cannot."""
    document: dict[str, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    steps = [step for job in document["jobs"].values() for step in job["steps"]]

    assert document["permissions"] == {"contents": "read"}
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    # What others can write must reach a shell as a variable, never as code.
    assert not [step["run"] for step in steps if "${{" in step.get("run", "")]
    assert all("timeout-minutes" in job for job in document["jobs"].values())


def test_a_release_signs_image_and_chart_and_attests_to_what_is_in_the_image() -> None:
    """The release builds both architectures and signs by digest, without a key."""
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")

    assert "linux/amd64,linux/arm64" in text
    assert 'cosign sign --yes --recursive "$IMAGE@$DIGEST"' in text
    assert "cosign attest --yes --type cyclonedx" in text
    assert 'cosign sign --yes "$REGISTRY/charts/costbatch@$digest"' in text
    assert "--key" not in text


def test_without_docker_the_local_installation_says_so_and_names_the_demo(tmp_path: Path) -> None:
    """One sentence, and a command that works."""
    command = ["/bin/bash", str(ROOT / ".ci" / "run-local")]
    environ = {"PATH": "/usr/bin:/bin", "DOCKER_HOST": f"unix://{tmp_path}/nothing"}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Docker is not running. `make demo` shows the same without Docker.\n"
