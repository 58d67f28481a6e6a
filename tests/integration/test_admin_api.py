"""/platform/api, /platform/endpoint and /platform/routing (platform-apis.md §1, §3, §5)."""

import pytest

from harness import platform
from harness.platform import expect


@pytest.fixture
def api(admin, upstream):
    return platform.make_api(admin, upstream.url)


def path(api):
    return f"/platform/api/{api['api_name']}/{api['api_version']}"


def endpoint_path(api, method, uri):
    return f"/platform/endpoint/{method}/{api['api_name']}/v1/{uri}"


def test_create_stores_every_field(admin, api):
    assert api["api_path"] == f"/{api['api_name']}/v1" and len(api["api_id"]) == 36
    assert (
        api["api_allowed_retry_count"] == 0
        and api["active"] is True
        and api["api_description"] is None
    )
    assert "_id" not in api
    assert expect(admin.get(path(api))) == api


def test_an_existing_api_is_left_alone(admin, api):
    answer = admin.post(
        "/platform/api",
        json={"api_name": api["api_name"], "api_version": "v1", "api_description": "other"},
    )
    assert (answer.status_code, answer.json()) == (200, {"message": "API already exists"})
    assert expect(admin.get(path(api)))["api_description"] is None


def test_ids_are_the_servers(admin, upstream):
    made = platform.make_api(admin, upstream.url, api_id="mine", api_path="/x/y")
    assert made["api_id"] != "mine" and made["api_path"] == f"/{made['api_name']}/v1"


def test_api_refusals(admin, api, user):
    name = platform.unique("api")
    answer = admin.post(
        "/platform/api",
        json={
            "api_name": name,
            "api_version": "v1",
            "api_public": True,
            "api_credits_enabled": True,
        },
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, "API013")
    answer = admin.post(
        "/platform/api",
        json={
            "api_name": name,
            "api_version": "v1",
            "api_ip_whitelist": ["10.0.0.0/8", "nonsense"],
        },
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, "SEC012")
    assert "nonsense" in answer.json()["error_message"]
    assert admin.get(f"/platform/api/{name}/v1").json()["error_code"] == "API003"

    def put(where, body):
        answer = admin.put(where, json=body)
        return answer.status_code, answer.json()["error_code"]

    assert put(path(api), {"api_name": "other"}) == (400, "API005")
    assert put(path(api), {"api_path": "/other/v1"}) == (400, "API005")
    assert put("/platform/api/none/v1", {"active": False}) == (400, "API003")
    assert put(path(api), {}) == (400, "API006")
    assert put(path(api), {"api_description": None}) == (400, "API006")
    assert put(path(api), {"api_public": True, "api_credits_enabled": True}) == (400, "API013")
    assert put(path(api), {"api_ip_blacklist": ["1.2.3.4/99"]}) == (400, "SEC012")
    assert put(path(api), {"api_allowed_retry_count": -1}) == (422, "VAL001")
    assert admin.delete("/platform/api/none/v1").json()["error_code"] == "API003"


def test_update_and_clear(admin, api):
    assert expect(
        admin.put(
            path(api),
            json={"api_description": "d", "api_allowed_roles": ["ops"], "api_id": "stolen"},
        )
    ) == {"message": "API updated successfully"}
    stored = expect(admin.get(path(api)))
    assert (stored["api_description"], stored["api_allowed_roles"]) == ("d", ["ops"])
    assert stored["api_id"] == api["api_id"]
    expect(admin.put(path(api), json={"api_description": None, "api_allowed_roles": []}))
    stored = expect(admin.get(path(api)))
    assert (stored["api_description"], stored["api_allowed_roles"]) == (None, [])


def test_lists_are_sorted_and_paged(admin, api):
    page = expect(admin.get("/platform/api/all?page_size=100"))
    names = [a["api_name"] for a in page["apis"]]
    assert names == sorted(names) and api["api_name"] in names and page["total"] >= len(names)
    assert expect(admin.get("/platform/api?page_size=1"))["page_size"] == 1


def test_the_ws_security_password_is_masked(admin, upstream):
    made = platform.make_api(
        admin, upstream.url, api_ws_security={"username": "u", "password": "secret"}
    )
    assert made["api_ws_security"]["password"] == "********"
    assert expect(admin.get(path(made)))["api_ws_security"]["password"] == "********"


def test_delete_cascades(admin, user, api):
    platform.make_endpoint(admin, api, "/x")
    platform.subscribe(admin, user, api)
    assert expect(admin.delete(path(api))) == {"message": "API deleted successfully"}
    assert admin.get(path(api)).json()["error_code"] == "API003"
    assert expect(user.get("/platform/subscription/subscriptions"))["apis"] == []
    listed = admin.get(f"/platform/endpoint/{api['api_name']}/v1")
    assert (listed.status_code, listed.json()["error_code"]) == (400, "END005")
    again = platform.make_api(admin, "http://127.0.0.1:1", name=api["api_name"])
    platform.make_endpoint(admin, again, "/x")


# --- endpoints ---


def test_endpoint_life(admin, api):
    platform.make_endpoint(admin, api, "users/{id}", method="get", client_uri="/people/{id}")
    stored = expect(admin.get(endpoint_path(api, "GET", "users%2F%7Bid%7D")))
    assert stored["endpoint_method"] == "GET" and stored["endpoint_uri"] == "/users/{id}"
    assert stored["api_id"] == api["api_id"] and len(stored["endpoint_id"]) == 36
    assert expect(admin.get(endpoint_path(api, "get", "users/{id}"))) == stored
    assert expect(admin.get(f"/platform/endpoint/{api['api_name']}/v1"))["endpoints"] == [stored]
    assert expect(
        admin.put(
            endpoint_path(api, "GET", "users/{id}"),
            json={"client_uri": None, "endpoint_description": "d"},
        )
    ) == {"message": "Endpoint updated successfully"}
    stored = expect(admin.get(endpoint_path(api, "GET", "users/{id}")))
    assert (stored["client_uri"], stored["endpoint_description"]) == (None, "d")
    assert expect(admin.delete(endpoint_path(api, "GET", "users/{id}"))) == {
        "message": "Endpoint deleted successfully"
    }
    answer = admin.get(endpoint_path(api, "GET", "users/{id}"))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "END004")


def test_endpoint_refusals(admin, api):
    platform.make_endpoint(admin, api, "/a")
    platform.make_endpoint(admin, api, "/b", client_uri="/seen")

    def post(**fields):
        body = {
            "api_name": api["api_name"],
            "api_version": "v1",
            "endpoint_method": "GET",
            "endpoint_uri": "/c",
            "endpoint_description": "x",
            **fields,
        }
        answer = admin.post("/platform/endpoint", json=body)
        return answer.status_code, answer.json()["error_code"]

    assert post(endpoint_uri="/a") == (400, "END001")
    assert post(client_uri="/seen") == (400, "END001")
    assert post(client_uri="/a") == (400, "END001")
    assert post(api_name="none") == (400, "END002")
    assert post(endpoint_method="FETCH") == (422, "VAL001")
    assert post(endpoint_description="") == (422, "VAL001")
    assert post(endpoint_uri="/" + "x" * 255) == (422, "VAL001")

    def put(uri, **fields):
        answer = admin.put(endpoint_path(api, "GET", uri), json=fields)
        return answer.status_code, answer.json()["error_code"]

    assert put("none", endpoint_description="x") == (400, "END008")
    assert put("a", endpoint_uri="/z") == (400, "END006")
    assert put("a", client_uri="/seen") == (400, "END006")
    assert put("a") == (400, "END007")
    assert admin.delete(endpoint_path(api, "GET", "none")).json()["error_code"] == "END004"


def test_wildcards_are_accepted(admin, api):
    platform.make_endpoint(admin, api, "/*", method="*")
    assert expect(admin.get(endpoint_path(api, "*", "*")))["endpoint_uri"] == "/*"


# --- routings ---


def routing(**fields):
    return {"routing_name": "r", "routing_servers": ["http://127.0.0.1:1"], **fields}


def test_routing_life(admin):
    key = platform.unique("key")
    assert expect(admin.post("/platform/routing", json=routing(client_key=key)), 201) == {
        "message": f"Routing created successfully with key: {key}"
    }
    stored = expect(admin.get(f"/platform/routing/{key}"))
    assert stored == {
        "routing_name": "r",
        "routing_servers": ["http://127.0.0.1:1"],
        "routing_description": None,
        "client_key": key,
        "server_index": 0,
    }
    assert expect(admin.put(f"/platform/routing/{key}", json={"routing_name": "s"})) == {
        "message": "Routing updated successfully"
    }
    keys = [
        r["client_key"]
        for r in expect(admin.get("/platform/routing/all?page_size=100"))["routings"]
    ]
    assert key in keys and keys == sorted(keys)
    assert expect(admin.delete(f"/platform/routing/{key}")) == {
        "message": "Routing deleted successfully"
    }
    assert admin.get(f"/platform/routing/{key}").json()["error_code"] == "RTG004"


def test_a_routing_without_a_key_gets_one(admin):
    message = expect(admin.post("/platform/routing", json=routing()), 201)["message"]
    assert admin.get("/platform/routing/" + message.rsplit(" ", 1)[1]).status_code == 200


def test_routing_refusals(admin):
    key = platform.unique("key")
    expect(admin.post("/platform/routing", json=routing(client_key=key)), 201)

    def code(method, where, body=None):
        answer = admin.request(method, "/platform/routing" + where, json=body)
        return answer.status_code, answer.json()["error_code"]

    assert code("POST", "", routing(client_key=key)) == (400, "RTG001")
    assert code("POST", "", routing(routing_servers=[])) == (422, "VAL001")
    assert code("PUT", "/" + key, {"client_key": "other"}) == (400, "RTG005")
    assert code("PUT", "/" + key, {}) == (400, "RTG007")
    assert code("PUT", "/" + key, {"server_index": 3}) == (400, "RTG007")
    for method in ("GET", "DELETE"):
        assert code(method, "/nosuchkey") == (400, "RTG004")
    assert code("PUT", "/nosuchkey", {"routing_name": "x"}) == (400, "RTG004")
