"""The variables of compose.yaml start the programs, as check-config sees it."""

import pathlib
import re
import subprocess

import pytest
import yaml

from harness.process import program

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = "0123456789abcdef0123456789abcdef"


def substituted(text, given):
    """${NAME:-default} and ${NAME:?sentence}: what the compose file makes use of."""
    def value(match):
        name, kind, rest = match.groups()
        if name in given:
            return given[name]
        assert kind == "-", f"{name} must be given"
        return rest
    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, text)


def check_config(tmp_path, service, **given):
    given = {n: SECRET for n in ("DOORMAN_ADMIN_PASSWORD", "JWT_SECRET_KEY",
                                 "TOKEN_ENCRYPTION_KEY", "REDIS_PASSWORD")} | given
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    variables = {name: substituted(value, given)
                 for name, value in compose["services"][service]["environment"].items()}
    variables["DOORMAN_DATA_DIR"] = str(tmp_path)
    return subprocess.run([program(f"doorman-{service}"), "check-config"], env=variables,
                          cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("service", ["admin", "gateway"])
@pytest.mark.parametrize("given", [{}, {"ENV": "production", "HTTPS_ENABLED": "true",
                                        "ALLOWED_ORIGINS": "https://doorman.example.com",
                                        "COOKIE_DOMAIN": "doorman.example.com"}],
                         ids=["as it stands", "production"])
def test_variables_of_the_compose_file_are_a_configuration(tmp_path, service, given):
    made = check_config(tmp_path, service, **given)
    assert made.returncode == 0, made.stdout + made.stderr


def test_a_short_password_is_refused(tmp_path):
    made = check_config(tmp_path, "admin", DOORMAN_ADMIN_PASSWORD="short")
    assert made.returncode == 78 and "DOORMAN_ADMIN_PASSWORD" in made.stdout + made.stderr
