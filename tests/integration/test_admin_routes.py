"""What the table of routes promises for every row: who is let in, how a refusal looks, bad bodies.

The rows come from /platform/openapi.json, which the program makes from the table itself, so a new
route without an expectation here fails the first test.
"""

import json

import pytest

from harness import platform
from harness.platform import expect

A = (401, {"detail": "Unauthorized"})
NO_CODE = {"detail": "Insufficient permissions: manage_gateway required"}


def coded(code, message="Unauthorized"):
    return 401, {"error_code": code, "error_message": message}


# method, path (as in the OpenAPI document) -> anonymous answer, 403 code without the permission
ROUTES = {
    ("post", "/platform/authorization"): (None, None),
    ("post", "/platform/authorization/register"): (None, None),
    ("post", "/platform/authorization/refresh"): (
        coded("AUTH003", "Unable to validate credentials"),
        None,
    ),
    ("get", "/platform/authorization/status"): (coded("AUTH005"), None),
    ("post", "/platform/authorization/invalidate"): (coded("AUTH005"), None),
    ("get", "/platform/authorization/mode"): (None, None),
    ("post", "/platform/authorization/admin/revoke/{username}"): (A, "AUTH900"),
    ("post", "/platform/authorization/admin/unrevoke/{username}"): (A, "AUTH900"),
    ("post", "/platform/authorization/admin/disable/{username}"): (A, "AUTH900"),
    ("post", "/platform/authorization/admin/enable/{username}"): (A, "AUTH900"),
    ("get", "/platform/authorization/admin/status/{username}"): (A, "AUTH900"),
    ("post", "/platform/user"): (A, "USR006"),
    ("get", "/platform/user/me"): (coded("GTW998"), None),
    ("get", "/platform/user/all"): (coded("GTW998"), None),
    ("get", "/platform/user"): (coded("GTW998"), None),
    ("get", "/platform/user/email/{email}"): (A, "USR008"),
    ("get", "/platform/user/{username}"): (A, "USR008"),
    ("put", "/platform/user/{username}/update-password"): (A, "USR006"),
    ("put", "/platform/user/{username}"): (A, "USR006"),
    ("delete", "/platform/user/{username}"): (A, "USR007"),
    ("post", "/platform/role"): (A, "ROLE009"),
    ("get", "/platform/role/all"): (A, None),
    ("get", "/platform/role"): (A, None),
    ("get", "/platform/role/{role_name}"): (A, None),
    ("put", "/platform/role/{role_name}"): (A, "ROLE010"),
    ("delete", "/platform/role/{role_name}"): (A, "ROLE011"),
    ("post", "/platform/group"): (A, "GRP008"),
    ("get", "/platform/group/all"): (A, None),
    ("get", "/platform/group"): (A, None),
    ("get", "/platform/group/{group_name}"): (A, None),
    ("put", "/platform/group/{group_name}"): (A, "GRP009"),
    ("delete", "/platform/group/{group_name}"): (A, "GRP010"),
    ("post", "/platform/subscription/subscribe"): (coded("GEN001"), "SUB009"),
    ("post", "/platform/subscription/unsubscribe"): (coded("GEN002"), "SUB010"),
    ("get", "/platform/subscription/subscriptions"): (A, None),
    ("get", "/platform/subscription/subscriptions/{user_id}"): (A, "SUB011"),
    ("get", "/platform/subscription/available-apis/{username}"): (A, "SUB009"),
    ("post", "/platform/api"): (A, "API007"),
    ("get", "/platform/api/all"): (coded("API_AUTH"), None),
    ("get", "/platform/api"): (coded("API_AUTH"), None),
    ("get", "/platform/api/{api_name}/{api_version}"): (A, None),
    ("put", "/platform/api/{api_name}/{api_version}"): (A, "API008"),
    ("delete", "/platform/api/{api_name}/{api_version}"): (A, "API007"),
    ("post", "/platform/endpoint"): (A, "END010"),
    ("get", "/platform/endpoint/{api_name}/{api_version}"): (A, None),
    ("get", "/platform/endpoint/{method}/{api_name}/{api_version}/{uri}"): (A, None),
    ("put", "/platform/endpoint/{method}/{api_name}/{api_version}/{uri}"): (A, "END011"),
    ("delete", "/platform/endpoint/{method}/{api_name}/{api_version}/{uri}"): (A, "END012"),
    ("post", "/platform/routing"): (A, "RTG009"),
    ("get", "/platform/routing/all"): (A, "RTG012"),
    ("get", "/platform/routing/{client_key}"): (A, "RTG013"),
    ("put", "/platform/routing/{client_key}"): (A, "RTG010"),
    ("delete", "/platform/routing/{client_key}"): (A, "RTG011"),
    ("get", "/platform/credit/defs"): (A, "CRD002"),
    ("get", "/platform/credit/defs/{api_credit_group}"): (A, "CRD002"),
    ("get", "/platform/credit/all"): (A, "CRD002"),
    ("post", "/platform/credit/rotate-key"): (A, None),
    ("post", "/platform/credit"): (A, "CRD001"),
    ("put", "/platform/credit/{api_credit_group}"): (A, "CRD001"),
    ("delete", "/platform/credit/{api_credit_group}"): (A, "CRD001"),
    ("get", "/platform/credit/{username}"): (A, "CRD003"),
    ("post", "/platform/credit/{username}"): (A, "CRD001"),
    ("get", "/platform/security/settings"): (A, "SEC001"),
    ("put", "/platform/security/settings"): (A, "SEC002"),
    ("post", "/platform/security/restart"): (A, "SEC003"),
    ("get", "/platform/config/current"): (A, NO_CODE),
    ("post", "/platform/config/reload"): (A, NO_CODE),
    ("get", "/platform/config/reloadable-keys"): (A, NO_CODE),
    ("get", "/platform/monitor/metrics"): (A, "MON001"),
    ("get", "/api/status"): (coded("GTW401"), "GTW013"),
    ("post", "/platform/tools/cors/check"): (A, "TLS001"),
    ("delete", "/api/caches"): (
        (
            401,
            {
                "detail": "Unauthorized",
                "error_code": "Unauthorized",
                "error_message": "Unauthorized",
            },
        ),
        "GTW008",
    ),
    ("get", "/platform/openapi.json"): (None, None),
}

# A body that passes validation, so that identity and permission are what decides.
BODIES = {
    ("post", "/platform/user"): {
        "username": "somebody",
        "email": "s@example.com",
        "role": "user",
        "password": "Some-Password-16-Long!",
    },
    ("put", "/platform/user/{username}/update-password"): {
        "new_password": "Some-Password-16-Long!"
    },
    ("post", "/platform/role"): {"role_name": "ops"},
    ("post", "/platform/group"): {"group_name": "ops"},
    ("post", "/platform/subscription/subscribe"): {
        "username": "admin",
        "api_name": "none",
        "api_version": "v1",
    },
    ("post", "/platform/subscription/unsubscribe"): {
        "username": "admin",
        "api_name": "none",
        "api_version": "v1",
    },
    ("post", "/platform/api"): {"api_name": "never", "api_version": "v1"},
    ("post", "/platform/endpoint"): {
        "api_name": "none",
        "api_version": "v1",
        "endpoint_method": "GET",
        "endpoint_uri": "/x",
        "endpoint_description": "x",
    },
    ("post", "/platform/routing"): {"routing_name": "r", "routing_servers": ["http://127.0.0.1:1"]},
    ("post", "/platform/credit"): {
        "api_credit_group": "g",
        "api_key": "k",
        "api_key_header": "x-k",
        "credit_tiers": [
            {
                "tier_name": "t",
                "credits": 1,
                "input_limit": 0,
                "output_limit": 0,
                "reset_frequency": "monthly",
            }
        ],
    },
    ("post", "/platform/credit/{username}"): {"username": "admin", "users_credits": {}},
    ("post", "/platform/tools/cors/check"): {"origin": "http://a.example", "method": "GET"},
}
PARAMETERS = {
    "username": "admin",
    "email": "admin@doorman.dev",
    "role_name": "nobody",
    "group_name": "nobody",
    "user_id": "admin",
    "api_name": "none",
    "api_version": "v1",
    "method": "GET",
    "uri": "x",
    "client_key": "nobody",
    "api_credit_group": "nobody",
}


def concrete(path):
    return path.format(**PARAMETERS)


def body_of(key):
    return BODIES.get(key, {} if key[0] in ("post", "put") else None)


def document(doorman):
    return expect(platform.Session(doorman.url).get("/platform/openapi.json"))


def test_every_route_of_the_table_has_an_expectation(doorman):
    rows = {(method, path) for path, item in document(doorman)["paths"].items() for method in item}
    assert rows == set(ROUTES)


def test_the_openapi_document_names_bodies_and_parameters(doorman):
    paths = document(doorman)["paths"]
    create = paths["/platform/api"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(create["required"]) >= {"api_name", "api_version"}
    assert create["properties"]["api_allowed_roles"]["type"] == "array"
    assert [p["name"] for p in paths["/platform/role/{role_name}"]["get"]["parameters"]] == [
        "role_name"
    ]


@pytest.mark.parametrize("key", sorted(ROUTES), ids=lambda key: f"{key[0]} {key[1]}")
def test_anonymous_callers_get_the_routes_own_401(doorman, key):
    expected, _ = ROUTES[key]
    if expected is None:
        return  # public: its own tests say what it answers
    answer = platform.Session(doorman.url).request(key[0], concrete(key[1]), json=body_of(key))
    assert (answer.status_code, answer.json()) == expected
    assert answer.headers["X-Request-ID"] == answer.headers["request_id"]


@pytest.mark.parametrize(
    "key", sorted(k for k, v in ROUTES.items() if v[1]), ids=lambda key: f"{key[0]} {key[1]}"
)
def test_a_user_without_the_permission_gets_403(doorman, admin, user, key):
    answer = user.request(key[0], concrete(key[1]), json=body_of(key))
    if key == (
        "get",
        "/platform/user/{username}",
    ):  # `admin` is hidden before anything else is said
        assert answer.status_code == 404
        answer = user.get("/platform/user/somebodyelse")
    if key == (
        "put",
        "/platform/user/{username}/update-password",
    ):  # the super admin's is refused to everybody
        assert answer.json()["error_code"] == "USR022"
        answer = user.put("/platform/user/somebodyelse/update-password", json=body_of(key))
    if key == ("delete", "/platform/user/{username}"):
        assert answer.json()["error_code"] == "USR021"
        answer = user.delete("/platform/user/somebodyelse")
    denied = ROUTES[key][1]
    body = answer.json()
    assert answer.status_code == 403
    assert body == denied if isinstance(denied, dict) else body["error_code"] == denied


BAD_JSON = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"{'a':1}",
    b'{"a":01}',
    b'{"a":1e999}',
    b'{"a":"\\u0000"}',
    b'{"api_name":"a","api_name":"b"}',
    b'{"a":"\xff"}',
    b'{"a":"\\ud800"}',
    b'{"a":1} x',
    b"[" * 100 + b"]" * 100,
    b'{"a":NaN}',
    b"\xef\xbb\xbf{}",
]


@pytest.mark.parametrize("body", BAD_JSON, ids=[repr(b[:20]) for b in BAD_JSON])
@pytest.mark.parametrize("path", ["/platform/api", "/platform/user", "/platform/role"])
def test_bad_json_is_422_and_nothing_is_stored(admin, path, body):
    before = admin.get(path).json()["total"]
    answer = admin.post(path, data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (
        422,
        {"error_code": "VAL001", "error_message": "Validation Error"},
    )
    assert admin.get(path).json()["total"] == before


@pytest.mark.parametrize(
    "fields",
    [
        {"api_name": None},
        {"api_name": ""},
        {"api_name": "x" * 65},
        {"api_name": ["a"]},
        {"api_name": "a/b"},
        {"api_version": "x" * 9},
        {"api_allowed_roles": "ops"},
        {"api_allowed_groups": None},
        {"api_servers": {}},
        {"api_allowed_retry_count": -1},
        {"api_allowed_retry_count": "many"},
        {"api_ip_mode": "white"},
        {"api_public": "perhaps"},
        {"api_servers": ["ftp://x"]},
        {"api_servers": [""]},
        {"api_limit_on_store_down": "maybe"},
        {"api_description": "x" * 128},
    ],
)
def test_wrong_types_and_ranges_are_422(admin, fields):
    body = {"api_name": platform.unique("bad"), "api_version": "v1", **fields}
    answer = admin.post("/platform/api", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "VAL001"), answer.text


def test_the_body_is_checked_before_identity(doorman):
    answer = platform.Session(doorman.url).post("/platform/api", data="{")
    assert answer.status_code == 422


def test_a_body_of_another_type_is_422(admin):
    answer = admin.post(
        "/platform/api",
        data=json.dumps({"api_name": "a", "api_version": "v1"}),
        headers={"Content-Type": "text/plain"},
    )
    assert answer.status_code == 422


def test_an_oversized_body_is_413_whoever_asks(doorman):
    answer = platform.Session(doorman.url).post("/platform/api", data=b" " * (1048576 + 1))
    assert (answer.status_code, answer.json()) == (
        413,
        {"error_code": "REQ001", "error_message": "Request entity too large (max: 1048576 bytes)"},
    )


def test_unknown_routes_and_methods(admin):
    answer = admin.get("/platform/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    answer = admin.request("PATCH", "/platform/api")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST"}
    assert admin.request("HEAD", "/platform/api").status_code == 405


def test_a_surplus_trailing_slash_is_served(admin):
    assert admin.get("/platform/role/all/").status_code == 200
    assert admin.get("/platform/user/me/").status_code == 200


@pytest.mark.parametrize(
    "query, status, message",
    [
        ("page=0", 400, "Invalid page or page size"),
        ("page=-3", 400, "Invalid page or page size"),
        ("page_size=0", 400, "Page size exceeds maximum limit"),
        ("page_size=101", 400, "Page size exceeds maximum limit"),
        ("page=x", 422, "Validation Error"),
        ("page=2.0", 422, "Validation Error"),
        ("page_size=", 422, "Validation Error"),
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/platform/api",
        "/platform/user/all",
        "/platform/role/all",
        "/platform/group/all",
        "/platform/routing/all",
    ],
)
def test_paging_is_checked(admin, path, query, status, message):
    answer = admin.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["error_message"]) == (status, message)


def test_a_page_past_the_end_is_an_empty_list(admin):
    page = expect(admin.get("/platform/role/all?page=9223372036854775807&page_size=100"))
    assert page["roles"] == [] and page["has_next"] is False


def test_problem_details_for_those_who_ask(admin):
    answer = admin.get("/platform/role/nosuchrole", headers={"Accept": "application/problem+json"})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "status": 404,
        "title": "Role does not exist",
        "error_code": "ROLE004",
        "instance": answer.headers["X-Request-ID"],
    }


def test_the_strict_envelope_keeps_the_true_status(start_doorman):
    running = start_doorman(STRICT_RESPONSE_ENVELOPE="true")
    session = platform.Session(running.url)
    answer = session.post("/platform/authorization", json={"email": "x", "password": "y"})
    assert (answer.status_code, answer.json()) == (
        400,
        {"status_code": 400, "error_code": "AUTH002", "error_message": "Invalid email or password"},
    )
    from harness.process import ADMIN_EMAIL, ADMIN_PASSWORD

    body = expect(
        session.post(
            "/platform/authorization", json={"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        )
    )
    assert body["status_code"] == 200 and body["access_token"] == body["response"]["access_token"]
    session.cookies.clear()
    session.headers["Authorization"] = "Bearer " + body["access_token"]
    body = expect(session.post("/platform/group", json={"group_name": "g"}), 201)
    assert body == {"status_code": 201, "message": "Group created successfully"}
    assert session.get("/platform/nothing").json() == {"detail": "Not Found"}


def test_etag_answers_304(admin):
    first = admin.get("/platform/role/admin")
    again = admin.get("/platform/role/admin", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_preflight_of_the_platform(admin):
    answer = admin.options("/platform/anything", headers={"Origin": "http://a.example"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "http://a.example"
    assert "OPTIONS" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert answer.headers["Vary"] == "Origin"


def test_a_disallowed_origin_loses_only_the_header(start_doorman):
    running = start_doorman(ALLOWED_ORIGINS="https://good.example")
    admin = platform.login(running.url)
    bad = admin.get("/platform/role/all", headers={"Origin": "https://bad.example"})
    assert bad.status_code == 200 and "Access-Control-Allow-Origin" not in bad.headers
    good = admin.get("/platform/role/all", headers={"Origin": "https://good.example"})
    assert good.headers["Access-Control-Allow-Origin"] == "https://good.example"
    assert "X-Request-ID" in good.headers["Access-Control-Expose-Headers"]
