"""/platform/subscription (platform-access.md §8.5)."""

import pytest

from harness import platform
from harness.platform import expect


@pytest.fixture
def api(admin, upstream):
    return platform.make_api(admin, upstream.url)


def body(user, api, **fields):
    return {"username": user.username, "api_name": api["api_name"], "api_version": "v1", **fields}


def test_a_user_subscribes_and_leaves(user, api):
    nv = f"{api['api_name']}/v1"
    assert expect(user.post("/platform/subscription/subscribe", json=body(user, api))) == {
        "message": "Successfully subscribed to the API"
    }
    listed = expect(user.get("/platform/subscription/subscriptions"))
    assert listed == {"apis": [nv], "subscriptions": {"apis": [nv]}}
    again = user.post("/platform/subscription/subscribe", json=body(user, api))
    assert (again.status_code, again.json()["error_code"]) == (400, "SUB004")
    assert expect(user.post("/platform/subscription/unsubscribe", json=body(user, api))) == {
        "message": "Successfully unsubscribed from the API"
    }
    again = user.post("/platform/subscription/unsubscribe", json=body(user, api))
    assert (again.status_code, again.json()["error_code"]) == (400, "SUB006")
    assert expect(user.get("/platform/subscription/subscriptions"))["apis"] == []


@pytest.mark.parametrize("action, code", [("subscribe", "GEN001"), ("unsubscribe", "GEN002")])
def test_unknown_users_and_apis(admin, user, api, action, code):
    answer = admin.post(
        f"/platform/subscription/{action}", json=body(user, api, username="nosuchuser")
    )
    assert (answer.status_code, answer.json()) == (
        404,
        {"error_code": code, "error_message": "User not found"},
    )
    answer = admin.post(
        f"/platform/subscription/{action}", json=body(user, api, api_name="nosuchapi")
    )
    assert (answer.status_code, answer.json()) == (
        404,
        {"error_code": code, "error_message": "API not found"},
    )


def test_the_group_decides_who_may_subscribe_but_not_who_may_leave(admin, user, upstream):
    closed = platform.make_api(admin, upstream.url, api_allowed_groups=["closed"])
    answer = user.post("/platform/subscription/subscribe", json=body(user, closed))
    assert (answer.status_code, answer.json()) == (
        401,
        {"error_code": "GEN001", "error_message": "You do not have the correct group for this"},
    )
    expect(admin.put(f"/platform/user/{user.username}", json={"groups": ["closed"]}))
    platform.subscribe(admin, user, closed)
    expect(admin.put(f"/platform/user/{user.username}", json={"groups": ["ALL"]}))
    assert (
        user.post("/platform/subscription/unsubscribe", json=body(user, closed)).status_code == 200
    )


def test_lists_of_others_need_the_permission(admin, user, api):
    platform.subscribe(admin, user, api)
    assert expect(admin.get(f"/platform/subscription/subscriptions/{user.username}"))["apis"] == [
        f"{api['api_name']}/v1"
    ]
    assert expect(admin.get("/platform/subscription/subscriptions/nosuchuser"))["apis"] == []
    assert user.get("/platform/subscription/subscriptions/admin").json()["error_code"] == "SUB011"


def test_available_apis(admin, user, api, upstream):
    closed = platform.make_api(admin, upstream.url, api_allowed_groups=["closed"])
    mine = [
        a["api_name"]
        for a in expect(user.get(f"/platform/subscription/available-apis/{user.username}"))["apis"]
    ]
    assert api["api_name"] in mine and closed["api_name"] not in mine and mine == sorted(mine)
    every = [
        a["api_name"]
        for a in expect(admin.get("/platform/subscription/available-apis/admin"))["apis"]
    ]
    assert closed["api_name"] in every
    assert user.get("/platform/subscription/available-apis/admin").json()["error_code"] == "SUB009"


@pytest.mark.parametrize(
    "fields", [{"username": "ab"}, {"api_name": None}, {"api_version": "x" * 9}]
)
def test_bad_bodies(user, api, fields):
    answer = user.post("/platform/subscription/subscribe", json=body(user, api, **fields))
    assert (answer.status_code, answer.json()["error_code"]) == (422, "VAL001")
