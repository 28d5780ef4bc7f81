"""What is shipped: built, looked into, installed into an empty environment, and run beside a user's own folders."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import httpx
import pytest

from support.cli import environment
from support.polling import eventually

ROOT = Path(__file__).parents[2]
FOLDERS = ("resilience", "telemetry", "tools")


def python_files(folder: str) -> set[str]:
    tree = ROOT / folder
    return {str(path.relative_to(ROOT)) for path in tree.rglob("*.py")} | {
        str(path.relative_to(ROOT)) for path in tree.rglob("py.typed")
    }


def wanted_data() -> set[str]:
    """What an installed Tracefuse hands out: dashboards, rules, and the schema of reports."""
    telemetry = ROOT / "telemetry"
    found = [*(telemetry / "dashboards").rglob("*.json"), *(telemetry / "rules").rglob("*.y*ml")]
    assert len(found) > 4
    return {f"tracefuse/{path.relative_to(ROOT)}" for path in found} | {"tracefuse/tools/nmap/report.schema.json"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sdist and wheel, the wheel built from the sdist as an installer would."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return folder


def test_the_wheel_holds_the_three_packages_and_nothing_else(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {f"tracefuse/{name}" for folder in FOLDERS for name in python_files(folder)}
    assert {name for name in names if name.endswith((".py", "py.typed"))} == wanted
    assert all(name.startswith(tuple(f"tracefuse/{folder}/" for folder in FOLDERS)) for name in names)
    assert wanted_data() <= names
    assert "tracefuse/telemetry/otel-collector.yaml" in names


def test_the_source_distribution_holds_what_the_wheel_is_built_from(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for folder in FOLDERS for name in python_files(folder)} <= names
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names


@pytest.mark.timeout(600)
def test_the_wheel_works_in_an_empty_environment_beside_folders_of_the_same_names(dist: Path, tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = str(folder / "bin" / "python")
    wheel = str(next(dist.glob("*.whl")))
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, capture_output=True, timeout=500)

    users = tmp_path / "project"
    for name in ("tools", "telemetry", "resilience"):
        (users / name).mkdir(parents=True)
        (users / name / "__init__.py").write_text("MINE = True\n", encoding="utf-8")
    source = "import tools, telemetry, tracefuse.tools, tracefuse.telemetry; print(tools.MINE, telemetry.MINE)"
    imported = subprocess.run([python, "-c", source], cwd=users, capture_output=True, text=True, check=True, timeout=60)
    assert imported.stdout == "True True\n"

    command = [str(folder / "bin" / "tracefuse"), "scan", "127.0.0.1", "--dry-run", "--json"]
    planned = subprocess.run(command, cwd=users, capture_output=True, text=True, timeout=60, check=False)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert '"address_count": 1' in planned.stdout

    served = subprocess.run(
        [str(folder / "bin" / "tracefuse"), "serve", "--port", "0"],
        cwd=users, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (served.returncode, served.stderr) == (
        2,
        "tracefuse: tracefuse serve needs an extra that is not installed: pip install 'tracefuse[serve]'\n",
    )


@pytest.mark.timeout(600)
def test_the_service_works_from_an_installed_wheel_with_its_extras(dist: Path, tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = str(folder / "bin" / "python")
    wheel = str(next(dist.glob("*.whl")))
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", f"{wheel}[serve,mcp,yaml]"],
        check=True, capture_output=True, timeout=500,
    )  # fmt: skip
    command = str(folder / "bin" / "tracefuse")
    env = environment(tmp_path / "cache")
    configuration = tmp_path / "tracefuse.yaml"
    configuration.write_text("policy:\n  max_addresses: 7\n", encoding="utf-8")
    with subprocess.Popen(
        [command, "--config", str(configuration), "serve", "--port", "0", "--mcp", "http"],
        env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as service:  # fmt: skip
        try:
            assert service.stdout is not None
            url = service.stdout.readline().split()[-1]
            eventually(lambda: httpx.get(f"{url}/livez").is_success, "the service to answer")
            assert httpx.get(f"{url}/config").json()["policy"]["max_addresses"] == 7
            refused = httpx.post(f"{url}/scans", json={"targets": ["203.0.113.7"]})
            assert (refused.status_code, refused.json()["rule"]) == (422, "target.network")
            assert httpx.get(f"{url}/openapi.json").json()["openapi"].startswith("3.1")
            service.terminate()
            assert service.wait(30) == 0
        finally:
            service.kill()
    exported = tmp_path / "observability"
    done = subprocess.run([command, "dashboards", "export", str(exported)], env=env, check=True, timeout=60)
    assert done.returncode == 0
    assert any(exported.rglob("otel-collector.yaml")) and any(exported.rglob("*.json"))
