"""doorman-admin and doorman-gateway together: what neither of them, nor doorman, has alone.

Everything else is in the other files, which `scripts/test split` runs against this shape.
"""

import json
import signal
import threading

import pytest

from harness import platform
from harness.config import ConfigFile
from harness.platform import expect
from harness.process import ADMIN_EMAIL, ADMIN_PASSWORD, Doorman, wait_until
from harness.split import Split, call, policy_pair, published, readyz

# Far above what a sanitizer build on a loaded machine takes.
DEADLINE = 20.0


@pytest.fixture
def start_split(tmp_path):
    started = []

    def start(**options):
        settings = options.pop("settings", {})
        started.append(Split(tmp_path / f"split{len(started)}", settings, **options))
        return started[-1].start()

    yield start
    for split in started:
        split.stop()


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    running = Split(tmp_path_factory.mktemp("split"), gateways=2).start()
    yield running
    running.stop()


def readiness(program):
    answer = platform.Session(program.metrics_url).get("/platform/monitor/readiness")
    return answer.status_code, answer.json()


def test_every_sidecar_enforces_what_the_admin_was_told(split, upstream):
    admin, user, path = published(split, upstream)
    assert [call(g, user, path) for g in split.gateways] == [200, 200]
    platform.revoke(admin, user)
    assert [call(g, user, path) for g in split.gateways] == [401, 401]


def test_a_change_comes_in_force_in_every_sidecar(split, upstream):
    """How soon is measured by bench/run --outage."""
    admin, user, path = published(split, upstream)
    name = path.split("/")[3]
    direct = platform.Session(split.admin_program.url)  # no waiting between write and look
    direct.headers.update(admin.headers)
    platform.after_write.pop(split.admin_program.url)
    try:
        for active, status in [(False, 403), (True, 200)]:
            expect(direct.put(f"/platform/api/{name}/v1", json={"active": active}), 200)
            wait_until(lambda s=status: [call(g, user, path) for g in split.gateways] == [s, s],
                       DEADLINE, "the change")
    finally:
        platform.after_write[split.admin_program.url] = split.settle


def test_status_tells_whether_redis_answered(split, upstream):
    admin, _, _ = published(split, upstream)

    def stores():
        body = expect(admin.get(split.url + "/api/status"), 200)
        return body["mode"], body["mongodb"], body["redis"]

    assert stores() == ("redis", "not_used", "connected")
    split.redis.pause()
    try:
        assert stores() == ("redis", "not_used", "disconnected")
    finally:
        split.redis.resume()
    wait_until(lambda: stores()[2] == "connected", DEADLINE, "Redis again")


def test_the_admin_tells_its_own_status(split):
    """An Ingress leads /api/status to the admin (operations.md §1, §11.1)."""
    url = split.admin_program.url + "/api/status"
    nobody = platform.Session(url)
    for path in ("", "/"):
        answer = nobody.get(url + path)
        assert answer.status_code == 401
        assert answer.json() == {"error_code": "GTW401", "error_message": "Unauthorized"}
    admin = platform.login(split.admin_program.url)
    user = platform.make_user(admin)
    assert user.get(url).json() == {"error_code": "GTW013", "error_message": "Forbidden"}
    body = expect(admin.get(url), 200)
    assert (body["status"], body["mode"]) == ("ok", "redis")
    assert (body["mongodb"], body["redis"]) == ("connected", "connected")
    assert body["active_connections"] >= 1 and body["memory_usage_mb"] > 0
    assert body["memory_usage"].endswith("%") and body["uptime"].endswith("s")
    assert body.keys() == expect(admin.get(split.url + "/api/status"), 200).keys()
    assert admin.post(url).status_code == 405


def test_both_programs_tell_the_generation(split):
    wanted = readyz(split.admin_program)["generation"]
    assert wanted > 0
    for gateway in split.gateways:
        assert readyz(gateway)["generation"] == wanted
        assert gateway.metrics()["doorman_policy_snapshot_version"] == wanted
    assert split.admin_program.metrics()["doorman_policy_snapshot_version"] == wanted
    assert split.admin_program.metrics()['doorman_build_info{version="0.1.0",role="admin"}'] == 1


def test_a_sidecar_without_an_admin_address_has_no_platform(split, tmp_path):
    alone = Doorman(tmp_path, {"MEM_OR_EXTERNAL": "REDIS", "REDIS_URL": split.redis.url,
                               "THREADS": "1"}, name="doorman-gateway").start()
    try:
        for method, path in [("POST", "/platform/authorization"), ("GET", "/platform/api"),
                             ("DELETE", "/api/caches"), ("GET", "/api/v1/agents"),
                             ("GET", "/.well-known/jwks.json"), ("GET", "/elsewhere")]:
            answer = platform.Session(alone.url).request(method, path)
            assert (answer.status_code, answer.json()["error_code"]) == (404, "GTW404"), path
    finally:
        alone.stop()


def test_a_sidecar_passes_on_admin_paths_and_nothing_else(split):
    assert platform.Session(split.url).get("/elsewhere").json()["error_code"] == "GTW404"
    answer = platform.Session(split.url).get("/platform/authorization/status",
                                             headers={"X-Request-ID": "mine-1"})
    assert answer.status_code == 401
    for name in ("X-Request-ID", "Date", "X-Content-Type-Options"):
        assert len(answer.raw.headers.getlist(name)) == 1, name
    assert answer.headers["X-Request-ID"] == "mine-1"


def test_the_admin_serves_no_data_plane(split, upstream):
    _, user, path = published(split, upstream)
    assert call(split, user, path) == 200
    answer = user.get(split.admin_program.url + path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "GTW404")
    nobody = platform.Session(split.admin_program.url)
    assert nobody.get("/grpc-web/x").status_code == 404
    assert nobody.get("/api/health").json() == {"status": "online"}


def test_the_clients_address_reaches_the_admin_through_a_sidecar(start_split):
    split = start_split(settings={"LOGIN_IP_RATE_LIMIT": "2"})
    admin = platform.login(split.admin_program.url)
    expect(admin.put("/platform/security/settings",
                     json={"trust_x_forwarded_for": True, "xff_trusted_proxies": ["127.0.0.1"]}))
    wrong = {"email": ADMIN_EMAIL, "password": "Wrong-Passw0rd-1!"}

    def attempt(address):
        return platform.Session(split.url).post(
            "/platform/authorization", json=wrong,
            headers={"X-Forwarded-For": address}).status_code

    first = [attempt("198.51.100.7") for _ in range(3)]
    assert first[0] == first[1] != 429 and first[2] == 429
    assert attempt("198.51.100.8") == first[0]  # another client of the same sidecar


@pytest.fixture
def second_admin(tmp_path):
    """Makes another admin of the same stores."""
    started = []

    def start(split):
        started.append(split.another_admin(tmp_path / "second"))
        return started[-1].start()

    yield start
    for one in started:
        one.stop()


def test_trusted_proxies_of_the_file_reach_every_sidecar(start_split, upstream, tmp_path):
    """An edit after the first start: the ingress's address is known only then."""
    file = ConfigFile(tmp_path / "config", "log: {level: INFO}\n")
    split = start_split(settings={"DOORMAN_CONFIG_FILE": file.path, "CONFIG_WATCH": "false"})
    admin = platform.login(split.admin_program.url)
    claim = {"X-Forwarded-Proto": "https", "Host": "gate.example.com"}

    def scheme():
        answer = platform.Session(split.url).get(split.url + "/api/rest", headers=claim,
                                                 allow_redirects=False)
        return answer.headers["Location"].split("://")[0]

    assert scheme() == "http"
    file.write("trusted_proxies: [127.0.0.1]\n")
    expect(admin.post("/platform/config/reload"))
    wait_until(lambda: scheme() == "https", DEADLINE, "the sidecar believes its front")
    file.write("log: {level: INFO}\n")
    split.admin_program.stop()
    split.admin_program.start()
    wait_until(lambda: scheme() == "http", DEADLINE, "so it does after a restart")


def test_address_lists_reach_every_admin(start_split, second_admin):
    split = start_split()
    other = second_admin(split)
    admin = platform.login(split.admin_program.url)
    assert platform.Session(other.url).get("/platform/user/me").status_code == 401

    def from_there(program):
        return platform.Session(program.url).get(
            "/platform/user/me", headers={"X-Forwarded-For": "198.51.100.7"}).status_code

    lists = {"trust_x_forwarded_for": True, "xff_trusted_proxies": ["127.0.0.1"]}
    for blocked, answer in (["198.51.100.7"], 403), ([], 401):
        expect(admin.put("/platform/security/settings", json={**lists, "ip_blacklist": blocked}))
        assert from_there(split.admin_program) == answer
        wait_until(lambda a=answer: from_there(other) == a, DEADLINE, "the list in the other admin")


@pytest.mark.parametrize("store", ["redis", "mongo"])
def test_readiness_names_the_store_that_is_away(start_split, upstream, store, tmp_path):
    split = start_split()
    _, user, path = published(split, upstream)
    gateway = split.gateways[0]
    assert call(gateway, user, path) == 200  # from now on this sidecar knows the user
    assert readiness(gateway) == \
        (200, {"status": "ready", "mongodb": "not_used", "redis": "connected"})
    assert readiness(split.admin_program) == \
        (200, {"status": "ready", "mongodb": "connected", "redis": "connected"})
    server = getattr(split, store)
    field = {"redis": "redis", "mongo": "mongodb"}[store]
    server.halt() if store == "mongo" else server.stop()
    try:
        def told():
            code, body = readiness(split.admin_program)
            return code == 503 and body[field] == "disconnected"

        wait_until(told, DEADLINE, "readiness of the admin")
        assert platform.Session(split.admin_program.metrics_url).get("/healthz").status_code == 200
        if store == "redis":
            wait_until(lambda: readiness(gateway) == (
                200, {"status": "degraded", "mongodb": "not_used", "redis": "disconnected"}),
                DEADLINE, "degraded readiness of the sidecar")
            assert gateway.metrics()["doorman_redis_up"] == 0
        else:
            assert readiness(gateway)[1]["status"] == "ready"
        assert call(gateway, user, path) == 200
    finally:
        server.go_on() if store == "mongo" else server.start()
    wait_until(lambda: readiness(split.admin_program)[0] == 200, DEADLINE, "the admin again")
    wait_until(lambda: readiness(gateway)[1]["status"] == "ready", DEADLINE, "the sidecar again")


def test_a_redis_that_says_nothing_counts_as_away(start_split, upstream):
    split = start_split()
    _, user, path = published(split, upstream)
    gateway = split.gateways[0]
    assert call(gateway, user, path) == 200
    split.redis.pause()
    try:
        wait_until(lambda: readiness(gateway) == (
            200, {"status": "degraded", "mongodb": "not_used", "redis": "disconnected"}),
            DEADLINE, "degraded readiness of the sidecar")
        wait_until(lambda: readiness(split.admin_program)[1]["redis"] == "disconnected", DEADLINE,
                   "readiness of the admin")
        assert call(gateway, user, path) == 200
    finally:
        split.redis.resume()
    for program in split.programs:
        wait_until(lambda p=program: readiness(p)[1]["status"] == "ready", DEADLINE, "Redis again")


def test_two_admins_at_once_seed_once_and_know_each_other(start_split, tmp_path):
    split = Split(tmp_path / "pair")
    second = split.another_admin(tmp_path / "second")
    split.redis.start()
    try:
        split.admin_program.spawn()
        second.spawn()
        for one in (split.admin_program, second):
            wait_until(one.is_ready, DEADLINE, "readiness")
        users = expect(platform.login(second.url).get("/platform/user/all"))["users"]
        assert [u["username"] for u in users] == ["admin"]
        roles = expect(platform.login(split.admin_program.url).get("/platform/role/all"))["roles"]
        assert len({r["role_name"] for r in roles}) == len(roles)
        # A browser's form: cookie and CSRF token of one admin, sent to the other.
        browser = platform.Session(split.admin_program.url)
        expect(browser.post("/platform/authorization",
                            json={"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}), 200)
        token = browser.cookies["csrf_token"]
        answer = browser.post(second.url + "/platform/authorization/refresh",
                              headers={"X-CSRF-Token": token})
        assert answer.status_code == 200, answer.text
    finally:
        for one in (second, split.admin_program):
            one.stop()
        split.redis.stop()


def test_sidecars_verify_with_public_halves_only(start_split, upstream, tmp_path, rsa_pair):
    private, public = rsa_pair
    signing, verifying = policy_pair()
    key = {"kid": "k1", "algorithm": "RS256", "active": True}
    both = [{**key, "private_key": private, "public_key": public}]
    split = Split(tmp_path / "halves")
    for program, keys in [(split.admin_program, both), *((g, [{**key, "public_key": public}])
                                                 for g in split.gateways)]:
        program.settings.update({"JWT_SECRET_KEY": None, "JWT_KEYS": json.dumps(keys)})
    split.admin_program.settings["POLICY_SIGNING_KEY"] = signing
    for gateway in split.gateways:
        gateway.settings["POLICY_VERIFY_KEY"] = verifying
    split.start()
    try:
        _, user, path = published(split, upstream)
        assert call(split, user, path) == 200
    finally:
        split.stop()
    refused = Doorman(tmp_path / "refused", {**split.gateways[0].settings,
                                             "JWT_KEYS": json.dumps(both)},
                      ("check-config",), name="doorman-gateway").spawn()
    assert refused.wait() == 78 and "JWT_KEYS" in refused.log()


@pytest.fixture(scope="module")
def rsa_pair():
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def test_several_workers_of_a_sidecar_agree(start_split, upstream):
    split = start_split(settings={"THREADS": "3"})
    admin, user, path = published(split, upstream)
    assert {call(split, user, path) for _ in range(12)} == {200}
    platform.revoke(admin, user)
    # A fresh connection each: the kernel spreads them over the workers.
    assert {platform.Session(split.url).get(path, headers=user.headers).status_code
            for _ in range(12)} == {401}


@pytest.mark.parametrize("which", ["gateway", "admin"])
def test_sigterm_lets_running_calls_end(start_split, start_upstream, which):
    split = start_split()
    arrived, release = threading.Event(), threading.Event()

    def answer(_):
        arrived.set()
        assert release.wait(DEADLINE)
        return 200, [("Content-Type", "application/json")], b"{}"

    _, user, path = published(split, start_upstream(answer))
    got = []
    caller = threading.Thread(target=lambda: got.append(call(split, user, path)))
    caller.start()
    assert arrived.wait(DEADLINE)
    program = split.gateways[0] if which == "gateway" else split.admin_program
    program.signal(signal.SIGTERM)
    if which == "gateway":
        wait_until(lambda: "Shutting down gracefully..." in program.log(), DEADLINE, "the drain")
    else:
        assert program.wait() == 0  # a call of the data plane does not keep the admin
    release.set()
    caller.join(DEADLINE)
    assert got == [200]
    assert program.wait() == 0
    assert "Graceful shutdown complete" in program.log()


def test_migrate_brings_the_schema_and_can_be_repeated(split, tmp_path):
    for n in range(2):
        command = Doorman(tmp_path / str(n), {**split.admin_program.settings, "MONGO_DB_NAME":
                                              split.admin_program.settings["MONGO_DB_NAME"] + "m"},
                          ("migrate",), name="doorman-admin").spawn()
        assert command.wait() == 0
        assert "schema is at version" in command.log()


def test_a_sidecar_restarted_while_redis_is_away_serves_its_last_good_policy(start_split, upstream):
    # The copy holds no revocations yet, so only who chose to go on without them is ready.
    split = start_split(settings={"REVOCATION_FAIL_MODE": "open"})
    gateway, copy = split.gateways[0], split.gateways[0].folder / "policy.snapshot"
    admin = platform.login(split.url)
    api = platform.make_api(admin, upstream.url, api_public=True)
    wait_until(copy.exists, DEADLINE, "the copy of the policy")
    before = copy.stat().st_mtime_ns
    platform.make_endpoint(admin, api, "/hello")
    wait_until(lambda: copy.stat().st_mtime_ns > before, DEADLINE, "the copy of the change")
    path = platform.rest_path(api, "/hello")
    assert platform.Session(gateway.url).get(path).status_code == 200
    generation = readyz(gateway)["generation"]
    gateway.stop()
    split.redis.stop()
    try:
        gateway.start()
        assert readiness(gateway) == \
            (200, {"status": "degraded", "mongodb": "not_used", "redis": "disconnected"})
        assert readyz(gateway)["generation"] == generation
        wait_until(lambda: "starting on the last good policy" in gateway.log(), DEADLINE,
                   "the line that tells of it")
        assert platform.Session(gateway.url).get(path).status_code == 200
    finally:
        split.redis.start()
    wait_until(lambda: readiness(gateway)[1]["status"] == "ready", DEADLINE, "Redis again")
