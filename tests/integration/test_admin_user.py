"""/platform/user (platform-access.md §8.2)."""

import pytest

from harness import platform
from harness.platform import expect

STRONG = platform.USER_PASSWORD


def body(name=None, **fields):
    name = name or platform.unique("u")
    return {
        "username": name,
        "email": f"{name}@example.com",
        "password": STRONG,
        "role": "user",
        **fields,
    }


@pytest.fixture
def manager(admin):
    role = platform.unique("manager")
    expect(admin.post("/platform/role", json={"role_name": role, "manage_users": True}), 201)
    return platform.make_user(admin, role=role)


def test_create_and_read(admin):
    wanted = body(
        groups=["ALL", "x"],
        custom_attributes={"a": "b"},
        rate_limit_duration="5",
        rate_limit_duration_type="minute",
        bandwidth_limit_bytes=10,
    )
    assert expect(admin.post("/platform/user", json=wanted), 201) == {
        "message": "User created successfully"
    }
    stored = expect(admin.get("/platform/user/" + wanted["username"]))
    assert stored["groups"] == ["ALL", "x"] and stored["rate_limit_duration"] == 5
    assert stored["bandwidth_usage_bytes"] == 0 and stored["bandwidth_resets_at"] > 0
    assert "password" not in stored
    by_email = expect(admin.get("/platform/user/email/" + wanted["email"]))
    assert by_email["username"] == wanted["username"] and "password" not in by_email


@pytest.mark.parametrize(
    "change, status, code",
    [
        ({"username": "admin"}, 400, "USR001"),
        ({"email": "admin@doorman.dev"}, 400, "USR001"),
        ({"password": "allsmallletters1!"}, 400, "USR005"),
        ({"password": "NoDigitsInHere!!!"}, 400, "USR005"),
        ({"password": "Short1!"}, 422, "VAL001"),
        ({"username": "ab"}, 422, "VAL001"),
        ({"groups": None}, 422, "VAL001"),
        ({"email": None}, 422, "VAL001"),
        ({"custom_attributes": {str(i): i for i in range(11)}}, 400, "USR016"),
        ({"rate_limit_duration": -1}, 422, "VAL001"),
        ({"active": "perhaps"}, 422, "VAL001"),
    ],
)
def test_create_refusals(admin, change, status, code):
    answer = admin.post("/platform/user", json=body(**change))
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text


def test_a_manager_cannot_make_admins_or_stronger_roles(admin, manager):
    answer = manager.post("/platform/user", json=body(role="admin"))
    assert (answer.status_code, answer.json()["error_code"]) == (403, "USR015")
    strong = platform.unique("strong")
    expect(admin.post("/platform/role", json={"role_name": strong, "manage_apis": True}), 201)
    assert manager.post("/platform/user", json=body(role=strong)).json()["error_code"] == "USR015"
    assert manager.post("/platform/user", json=body()).status_code == 201


def test_me(user):
    me = expect(user.get("/platform/user/me"))
    assert me["username"] == user.username and "password" not in me


def test_lists_show_what_the_caller_may_see(admin, manager, user):
    everybody = expect(admin.get("/platform/user/all?page_size=100"))
    assert set(everybody) == {"users", "page", "page_size", "has_next", "total"}
    names = [u["username"] for u in everybody["users"]]
    assert "admin" in names and names == sorted(names)
    assert all("password" not in u for u in everybody["users"])
    managed = [u["username"] for u in expect(manager.get("/platform/user?page_size=100"))["users"]]
    assert "admin" not in managed and user.username in managed
    own = expect(user.get("/platform/user/all"))
    assert [u["username"] for u in own["users"]] == [user.username] and own["total"] == 1


def test_has_next_tells_of_one_more(admin, user):
    page = expect(admin.get("/platform/user/all?page_size=1"))
    assert len(page["users"]) == 1 and page["has_next"] is True


def test_reading_others(admin, manager, user):
    assert user.get(f"/platform/user/{user.username}").status_code == 200
    assert user.get(f"/platform/user/{manager.username}").json()["error_code"] == "USR008"
    assert manager.get(f"/platform/user/{user.username}").status_code == 200
    assert manager.get("/platform/user/admin").json() == {"error_message": "User not found"}
    assert admin.get("/platform/user/nosuchuser").json()["error_code"] == "USR002"


def test_an_email_is_not_an_oracle(user, manager, admin):
    for email in ("admin@doorman.dev", "nobody@example.com"):
        answer = user.get("/platform/user/email/" + email)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "USR008")
    assert user.get("/platform/user/email/" + user.email).status_code == 200
    assert manager.get("/platform/user/email/admin@doorman.dev").status_code == 404
    assert admin.get("/platform/user/email/nobody@example.com").json()["error_code"] == "USR002"


def test_update_by_a_manager(admin, manager, user):
    assert expect(
        manager.put(f"/platform/user/{user.username}", json={"rate_limit_duration": 7})
    ) == {"message": "User updated successfully"}
    assert expect(admin.get(f"/platform/user/{user.username}"))["rate_limit_duration"] == 7
    assert manager.put(f"/platform/user/{user.username}", json={}).status_code == 200
    assert (
        manager.put(f"/platform/user/{user.username}", json={"rate_limit_duration": 7}).status_code
        == 200
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "admin"},
        {"groups": ["ALL"]},
        {"active": True},
        {"rate_limit_duration": 1000000},
        {"throttle_queue_limit": 9},
        {"bandwidth_limit_bytes": 0},
        {"ui_access": True},
        {"username": "other"},
    ],
)
def test_nobody_lifts_their_own_limits(user, fields):
    answer = user.put(f"/platform/user/{user.username}", json={"email": "x@example.com", **fields})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "USR023")
    assert answer.json()["error_message"].endswith(": " + list(fields)[0])


def test_own_email_may_change_but_not_to_a_taken_one(user, manager):
    fresh = platform.unique("mail") + "@example.com"
    assert user.put(f"/platform/user/{user.username}", json={"email": fresh}).status_code == 200
    answer = user.put(f"/platform/user/{user.username}", json={"email": manager.email})
    assert (answer.status_code, answer.json()["error_message"]) == (400, "Email already exists")


def test_update_refusals(admin, manager, user):
    def code(session, name, fields):
        return session.put(f"/platform/user/{name}", json=fields).json()["error_code"]

    assert code(admin, "admin", {"email": "x@example.com"}) == "USR020"
    assert admin.put("/platform/user/admin", json={"rate_limit_duration": 9}).status_code == 200
    assert code(user, manager.username, {"email": "y@example.com"}) == "USR006"
    assert code(manager, user.username, {"role": "admin"}) == "USR013"
    assert code(manager, user.username, {"username": "other"}) == "USR004"
    assert code(manager, "nosuchuser", {"email": "z@example.com"}) == "USR002"
    assert code(manager, user.username, {"password": "weakweakweakweak"}) == "USR005"
    assert (
        code(manager, user.username, {"custom_attributes": {str(i): i for i in range(11)}})
        == "USR016"
    )
    second = platform.make_user(admin, role="admin")
    assert code(manager, second.username, {"email": "q@example.com"}) == "USR012"


def test_a_password_set_by_update_is_hashed_and_works(admin, doorman, user):
    expect(admin.put(f"/platform/user/{user.username}", json={"password": "Fresh-Passw0rd-16-xx!"}))
    platform.login(doorman.url, user.email, "Fresh-Passw0rd-16-xx!")


def test_passwords(admin, manager, user, doorman):
    def put(session, name, password):
        return session.put(
            f"/platform/user/{name}/update-password", json={"new_password": password}
        )

    assert put(user, user.username, "New-Passw0rd-16-xx!").status_code == 200
    platform.login(doorman.url, user.email, "New-Passw0rd-16-xx!")
    assert put(user, user.username, "weakweakweakweak").json()["error_code"] == "USR005"
    assert put(user, user.username, "x" * 37).status_code == 422
    assert put(user, manager.username, STRONG).json()["error_code"] == "USR006"
    assert put(admin, "admin", STRONG).json()["error_code"] == "USR022"
    assert put(manager, "nosuchuser", STRONG).json()["error_code"] == "USR002"
    second = platform.make_user(admin, role="admin")
    assert put(manager, second.username, STRONG).json()["error_code"] == "USR012"


def test_delete(admin, manager, user, upstream):
    api = platform.make_api(admin, upstream.url)
    platform.subscribe(admin, user, api)
    assert user.delete(f"/platform/user/{manager.username}").json()["error_code"] == "USR007"
    assert admin.delete("/platform/user/admin").json()["error_code"] == "USR021"
    second = platform.make_user(admin, role="admin")
    assert manager.delete(f"/platform/user/{second.username}").json()["error_code"] == "USR014"
    assert expect(user.delete(f"/platform/user/{user.username}")) == {
        "message": "User deleted successfully"
    }
    assert user.get("/platform/user/me").status_code == 401
    assert admin.delete(f"/platform/user/{user.username}").json()["error_code"] == "USR002"
    again = platform.make_user(admin, name=user.username)
    assert expect(again.get("/platform/subscription/subscriptions"))["apis"] == []
