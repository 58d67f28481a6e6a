"""What is made from the chart's values is current; the compose file sets what the product knows."""

import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_schema_and_readme_of_the_chart_are_current():
    made = subprocess.run([sys.executable, ROOT / "scripts" / "chart", "check"],
                          capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def test_the_chart_carries_the_assets_of_ops():
    for copy in (ROOT / "helm" / "doorman" / "files").iterdir():
        if copy.name == "settings.json":
            continue  # made by scripts/chart
        assert copy.read_bytes() == (ROOT / "ops" / copy.name).read_bytes(), copy.name


def known_settings():
    text = (ROOT / "docs" / "settings.md").read_text()
    return set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", text, re.M))


def test_compose_sets_known_settings_for_images_that_are_built_here():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    for name in ("admin", "gateway"):
        service = compose["services"][name]
        unknown = set(service["environment"]) - known_settings()
        assert not unknown, (name, unknown)
        dockerfile = (ROOT / service["build"]["dockerfile"]).read_text()
        port = service["ports"][0].split(":")[-1]
        assert f"EXPOSE {port} " in dockerfile
    assert not [k for k in compose["services"]["gateway"]["environment"] if "MONGO" in k]


def test_compose_starts_programs_once_their_stores_answer():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name, stores in (("admin", {"redis", "mongodb"}), ("gateway", {"redis"})):
        assert set(services[name]["depends_on"]) == stores
        for store, how in services[name]["depends_on"].items():
            assert how == {"condition": "service_healthy"}
            assert services[store]["healthcheck"]["test"]
        dockerfile = (ROOT / services[name]["build"]["dockerfile"]).read_text()
        assert f'CMD ["/usr/bin/doorman-{name}", "healthcheck"]' in dockerfile
        assert services[name]["read_only"] and services[name]["cap_drop"] == ["ALL"]


def test_one_version_is_told_everywhere():
    version = re.search(r"project\(\s*\w+\s+VERSION\s+([\d.]+)",
                        (ROOT / "CMakeLists.txt").read_text())[1]
    chart = yaml.safe_load((ROOT / "helm" / "doorman" / "Chart.yaml").read_text())
    assert chart["appVersion"] == version
    for name in ("Dockerfile.gateway", "Dockerfile.admin"):
        found = re.findall(r"^ARG VERSION=(\S+)$", (ROOT / name).read_text(), re.M)
        assert found and set(found) == {version}, name


def test_settings_of_the_chart_are_known():
    text = (ROOT / "helm" / "doorman" / "templates" / "_settings.tpl").read_text()
    names = set(re.findall(r"^([A-Z][A-Z0-9_]+): ", text, re.M))
    names |= set(re.findall(r'"([A-Z][A-Z0-9_]+)_FILE" "', text))
    names |= set(re.findall(r"^- name: ([A-Z][A-Z0-9_]+)$", text, re.M))
    assert len(names) > 20 and names <= known_settings(), names - known_settings()
