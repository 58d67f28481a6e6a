"""Secrets that the chart makes: once, and what belongs together together."""

import base64
import json
import os

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from harness.cluster import CHART, helm
from harness.kube_api import KubeApi

REDIS = {"redis": {"enabled": True}, "mongodb": {"enabled": True}}
NOBODY = {"gateway": {"enabled": False}, "sidecar": {"injection": "none"}}
NAMES = ("d-doorman", "d-doorman-gateway", "d-doorman-redis")


@pytest.fixture
def cluster():
    with KubeApi() as api:
        yield api


def rendered(api, values):
    made = helm("template", "d", CHART, "--is-upgrade", "--dry-run=server", "--kubeconfig",
                os.devnull, "--kube-apiserver", api.url, "--disable-openapi-validation", "-f", "-",
                stdin=yaml.safe_dump(values))
    return [o for o in yaml.safe_load_all(made.stdout) if o]


def render(api, **values):
    """What helm would apply to this cluster; it is stored there, as an upgrade would."""
    objects = rendered(api, values)
    api.store(objects)
    return {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "Secret"}


def text(secret, key):
    return base64.b64decode(secret[key]).decode()


def belong_together(secrets):
    """The gateways' halves verify what the admin's sign."""
    admin, gateway = (secrets[n] for n in NAMES[:2])
    private = json.loads(text(admin, "jwt-keys"))
    public = json.loads(text(gateway, "jwt-keys"))
    assert [k["kid"] for k in private] == [k["kid"] for k in public]
    pairs = [(p["private_key"], q["public_key"]) for p, q in zip(private, public)]
    assert not [k for k in public if "private_key" in k]
    pairs.append((text(admin, "policy-signing-key"), text(gateway, "policy-verify-key")))
    for private, public in pairs:
        half = load_pem_private_key(private.encode(), None).public_key()
        assert x509.load_pem_x509_certificate(public.encode()).public_key() == half
    assert admin["token-encryption-key"] == gateway["token-encryption-key"]


def test_an_upgrade_leaves_every_secret_as_it_was(cluster):
    first = render(cluster, **REDIS)
    assert set(first) == set(NAMES)
    belong_together(first)
    assert render(cluster, **REDIS, config={"log": {"level": "DEBUG"}}) == first


def test_gateways_that_come_later_change_nothing_of_the_admin(cluster):
    first = render(cluster, **REDIS, **NOBODY)
    assert "d-doorman-gateway" not in first
    later = render(cluster, **REDIS)
    assert later["d-doorman"] == first["d-doorman"]
    belong_together(later)


def test_from_memory_mode_to_stores_tokens_stay_valid(cluster):
    first = render(cluster, mode="memory", productionStrict=False, admin={"replicaCount": 1})
    later = render(cluster, **REDIS)
    for key in ("jwt-keys", "token-encryption-key", "vault-key", "admin-password"):
        assert later["d-doorman"][key] == first["d-doorman"][key], key
    belong_together(later)


def test_a_gateways_secret_that_was_lost_is_made_of_the_admins(cluster):
    first = render(cluster, **REDIS)
    del cluster.objects["Secret", "d-doorman-gateway"]
    later = render(cluster, **REDIS)
    assert later["d-doorman"] == first["d-doorman"]
    belong_together(later)


def test_a_value_that_is_given_is_used_and_nothing_else_changes(cluster):
    first = render(cluster, **REDIS)
    later = render(cluster, **REDIS, auth={"vaultKey": "given" * 8})
    assert text(later["d-doorman"], "vault-key") == "given" * 8
    kept = set(first["d-doorman"]) - {"vault-key"}
    assert {k: later["d-doorman"][k] for k in kept} == {k: first["d-doorman"][k] for k in kept}


def test_the_migration_waits_for_a_store_that_comes_with_the_upgrade(cluster):
    def jobs():
        return [o for o in rendered(cluster, REDIS) if o["kind"] == "Job"]
    assert not jobs()
    render(cluster, **REDIS)
    assert len(jobs()) == 1
