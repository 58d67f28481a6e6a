"""/platform/role and /platform/group (platform-access.md §8.3, §8.4)."""

import pytest

from harness import platform
from harness.platform import expect


@pytest.fixture
def manager(admin):
    role = platform.unique("rolemanager")
    expect(
        admin.post(
            "/platform/role", json={"role_name": role, "manage_roles": True, "manage_groups": True}
        ),
        201,
    )
    return platform.make_user(admin, role=role)


def test_role_life(admin):
    name = platform.unique("role")
    assert expect(
        admin.post("/platform/role", json={"role_name": name, "manage_apis": "yes"}), 201
    ) == {"message": "Role created successfully"}
    stored = expect(admin.get(f"/platform/role/{name}"))
    assert (
        stored["manage_apis"] is True
        and stored["manage_users"] is False
        and stored["role_description"] is None
    )
    updated = expect(
        admin.put(f"/platform/role/{name}", json={"manage_users": True, "role_description": "d"})
    )
    assert updated["manage_users"] is True and updated["role_description"] == "d"
    assert expect(admin.delete(f"/platform/role/{name}")) == {
        "message": "Role deleted successfully"
    }
    assert admin.get(f"/platform/role/{name}").json()["error_code"] == "ROLE004"


def test_the_seeded_roles(admin):
    roles = {
        r["role_name"]: r for r in expect(admin.get("/platform/role/all?page_size=100"))["roles"]
    }
    assert sum(v is True for v in roles["admin"].values()) == 16
    assert sum(v is True for v in roles["user"].values()) == 0


def test_role_refusals(admin, manager):
    name = platform.unique("role")
    expect(admin.post("/platform/role", json={"role_name": name}), 201)

    def post(session, body):
        return session.post("/platform/role", json=body).json()["error_code"]

    def put(session, role, body):
        return session.put(f"/platform/role/{role}", json=body).json()["error_code"]

    assert post(admin, {"role_name": name}) == "ROLE001"
    assert post(admin, {"role_name": "x" * 51}) == "VAL001"
    assert post(admin, {"role_name": "r", "manage_apis": None}) == "VAL001"
    assert post(manager, {"role_name": " Admin "}) == "ROLE013"
    assert post(manager, {"role_name": "wide", "manage_users": True}) == "ROLE009"
    assert put(manager, "admin", {"manage_apis": True}) == "ROLE014"
    assert put(admin, "admin", {"manage_apis": False}) == "ROLE014"
    assert put(admin, name, {"role_name": "other"}) == "ROLE005"
    assert put(admin, "nosuchrole", {"manage_apis": True}) == "ROLE004"
    assert put(admin, name, {}) == "ROLE007"
    assert put(manager, name, {"manage_users": True}) == "ROLE010"
    assert manager.delete("/platform/role/admin").json()["error_code"] == "ROLE016"
    assert admin.delete("/platform/role/admin").json()["error_code"] == "ROLE016"
    assert admin.delete("/platform/role/nosuchrole").json()["error_code"] == "ROLE004"


def test_unchanged_values_are_fine(admin):
    name = platform.unique("role")
    expect(admin.post("/platform/role", json={"role_name": name}), 201)
    assert admin.put(f"/platform/role/{name}", json={"manage_apis": False}).status_code == 200


def test_admin_roles_are_hidden_from_others(manager):
    assert manager.get("/platform/role/admin").json() == {"error_message": "Role not found"}
    names = [
        r["role_name"] for r in expect(manager.get("/platform/role/all?page_size=100"))["roles"]
    ]
    assert "admin" not in names and "user" in names


def test_a_demotion_works_at_once(admin, manager):
    assert (
        manager.post("/platform/group", json={"group_name": platform.unique("g")}).status_code
        == 201
    )
    role = expect(manager.get("/platform/user/me"))["role"]
    expect(admin.put(f"/platform/role/{role}", json={"manage_groups": False}))
    assert (
        manager.post("/platform/group", json={"group_name": "never"}).json()["error_code"]
        == "GRP008"
    )


def test_group_life(admin):
    name = platform.unique("group")
    assert expect(admin.post("/platform/group", json={"group_name": name}), 201) == {
        "message": "Group created successfully"
    }
    assert expect(admin.get(f"/platform/group/{name}")) == {
        "group_name": name,
        "group_description": None,
        "api_access": [],
    }
    assert expect(admin.put(f"/platform/group/{name}", json={"api_access": ["a/v1"]})) == {
        "message": "Group updated successfully"
    }
    assert expect(admin.get(f"/platform/group/{name}"))["api_access"] == ["a/v1"]
    assert expect(admin.delete(f"/platform/group/{name}")) == {
        "message": "Group deleted successfully"
    }
    answer = admin.get(f"/platform/group/{name}")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "GRP003")


def test_group_refusals(admin):
    name = platform.unique("group")
    expect(admin.post("/platform/group", json={"group_name": name}), 201)

    def put(group, body):
        return admin.put(f"/platform/group/{group}", json=body).json()["error_code"]

    assert admin.post("/platform/group", json={"group_name": name}).json()["error_code"] == "GRP001"
    assert put(name, {"group_name": "other"}) == "GRP004"
    assert put("nosuchgroup", {"api_access": []}) == "GRP003"
    assert put(name, {}) == "GRP006"
    assert admin.delete("/platform/group/nosuchgroup").json()["error_code"] == "GRP003"
    for seeded in ("ALL", "admin"):
        answer = admin.delete(f"/platform/group/{seeded}")
        assert (answer.status_code, answer.json()["error_code"]) == (400, "GRP007")


def test_group_lists_are_paged(admin):
    page = expect(admin.get("/platform/group/all?page=1&page_size=1"))
    assert len(page["groups"]) == 1 and page["has_next"] is True and page["total"] >= 2
    assert expect(admin.get("/platform/group"))["page_size"] == 10
