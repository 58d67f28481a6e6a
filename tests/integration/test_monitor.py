"""GET /platform/monitor/metrics (platform-access.md §8.9, operations.md §8.2): what it counts."""

import datetime
import json

import pytest

from harness import platform
from harness.platform import expect
from harness.process import ADMIN_EMAIL, wait_until

DEADLINE = 20.0
PATH = "/platform/monitor/metrics"
KEY = "monitor-test-key-0123456789abcdef"


def report(admin, query=""):
    return expect(admin.get(PATH + query), 200)


def counted(admin, n):
    """The report once n calls are in it; more than n is a failure."""
    wait_until(lambda: report(admin)["total_requests"] >= n, DEADLINE, f"{n} calls in the report")
    found = report(admin)
    assert found["total_requests"] == n
    return found


@pytest.fixture
def watched(start_doorman, upstream):
    """A product of its own whose figures leave often; .admin, .user, .name, .path."""

    def start(**settings):
        running = start_doorman(METRICS_FLUSH_MS="100", **settings)
        running.admin = platform.login(running.url)
        api, running.user = platform.make_callable(running.admin, upstream)
        running.name, running.path = api["api_name"], platform.rest_path(api, "/hello")
        return running

    return start


def test_every_call_is_counted_once_under_its_names(watched):
    product = watched()
    for _ in range(5):
        expect(product.user.get(product.path), 200)
    assert product.user.get(product.path + "/none").status_code == 404
    assert platform.Session(product.url).get(product.path).status_code == 401
    found = counted(product.admin, 7)
    assert found["total_errors"] == 2
    assert found["error_rate"] == pytest.approx(2 / 7, abs=0.001)
    assert found["by_status_code"] == found["status_counts"] == {"200": 5, "401": 1, "404": 1}
    assert found["top_users"] == [[product.user.username, 5]]  # 404 comes before who it is
    assert found["unique_users"] == 1
    assert found["top_apis"] == [[f"rest:{product.name}", 7]]
    of_api = found["by_api"][f"{product.name}/v1"]
    assert (of_api["requests"], of_api["errors"]) == (7, 2)
    assert found["apis"][f"{product.name}/v1"]["requests"] == 7
    codes = {e["error_code"]: (e["count"], e["message"]) for e in found["top_errors"]}
    assert sum(count for count, _ in codes.values()) == 2
    assert all(message for _, message in codes.values())
    assert 0 < found["p50_response_time_ms"] <= found["p95_response_time_ms"] \
        <= found["p99_response_time_ms"]
    assert found["avg_response_ms"] == found["avg_response_time_ms"] > 0
    assert found["total_bytes_out"] > 0
    assert sum(point["count"] for point in found["series"]) == 7
    assert set(found["series"][0]) == {
        "timestamp", "count", "test_count", "error_count", "avg_ms", "p95_ms", "bytes_in",
        "bytes_out", "error_rate", "upstream_timeouts", "retries"}


def test_only_proxied_calls_are_counted(watched):
    product = watched()
    expect(product.user.get("/platform/user/me"), 200)
    product.user.get("/api/health")
    product.user.get("/healthz")
    expect(product.user.get(product.path), 200)
    found = counted(product.admin, 1)
    assert found["status_counts"] == {"200": 1}


@pytest.mark.parametrize("query,period,hours", [
    ("", "24h", 24), ("?range=1h", "1h", 1), ("?range=24h", "24h", 24), ("?range=7d", "7d", 168),
    ("?range=30d", "30d", 720), ("?range=2h", "24h", 24), ("?range=", "24h", 24),
    ("?range=" + "x" * 4000, "24h", 24), ("?group=month&sort=up", "24h", 24)])
def test_range_is_one_of_four_words(doorman, query, period, hours):
    found = report(platform.login(doorman.url), query)
    assert found["period"] == period
    start, end = (datetime.datetime.fromisoformat(found[name].replace("Z", "+00:00"))
                  for name in ("start_time", "end_time"))
    assert end - start == datetime.timedelta(hours=hours)


def test_days_have_the_members_of_days(watched):
    product = watched()
    expect(product.user.get(product.path), 200)
    counted(product.admin, 1)
    series = report(product.admin, "?group=day&sort=desc")["series"]
    assert sum(point["count"] for point in series) == 1
    assert set(series[0]) == {"timestamp", "count", "error_count", "avg_ms", "bytes_in",
                              "bytes_out", "error_rate"}
    assert series[0]["timestamp"] % 86400 == 0


@pytest.mark.parametrize("allowed,tests", [("true", 2), ("false", 0)])
def test_test_markers_only_raise_a_figure_of_their_own(watched, allowed, tests):
    product = watched(ALLOW_TEST_MARKERS=allowed)
    expect(product.user.get(product.path), 200)
    expect(product.user.get(product.path, headers={"X-IS-TEST": "1"}), 200)
    expect(product.user.get(product.path, headers={"X-Doorman-Test": "true"}), 200)
    found = counted(product.admin, 3)
    assert found["total_test_requests"] == tests
    assert found["top_users"] == [[product.user.username, 3]]


def test_figures_are_for_those_who_manage_the_gateway(doorman):
    admin = platform.login(doorman.url)
    answer = platform.make_user(admin).get(PATH)
    assert (answer.status_code, answer.json()) == (403, {
        "error_code": "MON001",
        "error_message": "You do not have permission to view monitor metrics"})
    answer = platform.Session(doorman.url).get(PATH)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})
    role = platform.unique("role")
    expect(admin.post("/platform/role", json={"role_name": role, "manage_gateway": True}), 201)
    report(platform.make_user(admin, role=role))


def test_nothing_is_collected_when_it_is_off(watched):
    product = watched(METRICS_ENABLED="false")
    expect(product.user.get(product.path), 200)
    product.stop()
    assert "doorman_stream_records_total" not in product.log()


@pytest.mark.memory
def test_figures_and_events_of_the_last_moment_are_in_the_dump(start_doorman, upstream, tmp_path):
    settings = {"MEM_ENCRYPTION_KEY": KEY, "METRICS_FLUSH_MS": "60000",
                "LOGS_DIR": str(tmp_path / "logs")}
    folder = tmp_path / "kept"
    product = start_doorman(folder=folder, **settings)
    admin = platform.login(product.url)
    api, user = platform.make_callable(admin, upstream)
    for _ in range(3):
        expect(user.get(platform.rest_path(api, "/hello")), 200)
    product.stop()
    again = start_doorman(folder=folder, **settings)
    assert report(platform.login(again.url))["total_requests"] == 3
    wait_until(lambda: "audit.chain.intact" in again.log(), DEADLINE, "the walk over the chain")
    trail = [json.loads(line) for line in (tmp_path / "logs" / "doorman-trail.log").open()]
    assert [e["target"] for e in trail if e["action"] == "auth.login"][:2] == [ADMIN_EMAIL,
                                                                               user.email]
    again.stop()
