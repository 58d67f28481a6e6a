"""`smoke`, what helm test runs: it must pass on a product that works, and only there."""

import os
import subprocess

from harness.process import ADMIN_EMAIL, ADMIN_PASSWORD, program
from harness.platform import expect


def smoke(url, password=ADMIN_PASSWORD, gateway=None):
    variables = {"SMOKE_ADMIN_URL": url, "SMOKE_GATEWAY_URL": gateway or url,
                 "SMOKE_REST_UPSTREAM": url, "SMOKE_EMAIL": ADMIN_EMAIL,
                 "SMOKE_PASSWORD": password}
    return subprocess.run([program("doorman"), "smoke"], env={**os.environ, **variables},
                          capture_output=True, text=True, timeout=60, check=False)


def test_it_passes_on_a_product_that_works_and_leaves_nothing(doorman, admin):
    made = smoke(doorman.url)
    assert made.returncode == 0, made.stdout + made.stderr
    for line in ("call it: 200", "call it without a token: 401", "call it too often: 429"):
        assert f"ok     {line}" in made.stdout
    assert "smoke" not in str(expect(admin.get("/platform/api/all")))
    assert "smoke" not in str(expect(admin.get("/platform/user/all")))


def test_without_a_gateway_it_publishes_but_calls_nothing(doorman, admin):
    made = smoke(doorman.url, gateway="none")
    assert made.returncode == 0, made.stdout + made.stderr
    assert "ok     subscribe" in made.stdout and "call it" not in made.stdout
    assert "smoke" not in str(expect(admin.get("/platform/api/all")))


def test_it_fails_on_a_wrong_password_and_on_nobody(doorman):
    made = smoke(doorman.url, password="wrong-password")
    assert made.returncode == 1 and "FAILED log in: 400" in made.stdout
    made = smoke("http://127.0.0.1:1")
    assert made.returncode == 1 and "FAILED readiness" in made.stdout


def test_it_says_what_it_needs(doorman):
    made = smoke(doorman.url, password="")
    assert made.returncode == 64 and "SMOKE_PASSWORD" in made.stderr
    made = smoke("ftp://somewhere")
    assert made.returncode == 64 and "SMOKE_ADMIN_URL" in made.stderr
