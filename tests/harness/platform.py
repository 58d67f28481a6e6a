"""Setting up a gateway over /platform as its administrator does."""

import itertools
import os

import requests

from harness.process import ADMIN_EMAIL, ADMIN_PASSWORD

TIMEOUT = 30
USER_PASSWORD = "Test-User-Passw0rd!1"

_numbers = itertools.count(1)

# Base URL -> what to wait for after a write (harness.split): nothing where a change is in force
# before its answer leaves.
after_write = {}


def unique(prefix):
    """A name no other test of this run uses, also with several processes testing at once."""
    return f"{prefix}{os.getpid()}x{next(_numbers)}"


class Session(requests.Session):
    """requests with a base URL, a time limit on every call and no proxy of the machine."""

    def __init__(self, url):
        super().__init__()
        self.url = url
        self.trust_env = False

    def request(self, method, url, **options):
        options.setdefault("timeout", TIMEOUT)
        answer = super().request(method, url if "://" in url else self.url + url, **options)
        path = url.removeprefix(self.url)
        if method.upper() not in ("GET", "HEAD", "OPTIONS") and answer.ok and \
                path.startswith(("/platform/", "/api/caches")) and self.url in after_write:
            after_write[self.url]()
        return answer


def expect(answer, *statuses):
    """The JSON body of an answer that has one of the statuses (200 and 201 when none is named)."""
    if answer.status_code not in (statuses or (200, 201)):
        raise AssertionError(f"{answer.request.method} {answer.url} answered "
                             f"{answer.status_code}: {answer.text[:500]}")
    return answer.json() if answer.content else None


def login(url, email=ADMIN_EMAIL, password=ADMIN_PASSWORD):
    """A session with the user's token as Bearer and no cookies, so that one credential decides."""
    session = Session(url)
    credentials = {"email": email, "password": password}
    token = expect(session.post("/platform/authorization", json=credentials), 200)["access_token"]
    session.cookies.clear()
    session.token = token
    session.headers["Authorization"] = f"Bearer {token}"
    return session


def make_user(admin, name=None, **fields):
    """Creates a user without limits and logs it in; session.username and .email are set."""
    name = name or unique("user")
    body = {"username": name, "email": f"{name}@example.com", "password": USER_PASSWORD,
            "role": "user", "groups": ["ALL"], **fields}
    expect(admin.post("/platform/user", json=body), 201)
    session = login(admin.url, body["email"], body["password"])
    session.username, session.email = name, body["email"]
    return session


def make_api(admin, servers, name=None, version="v1", **fields):
    """Creates an API open to group ALL; gives its stored document."""
    servers = [servers] if isinstance(servers, str) else list(servers)
    body = {"api_name": name or unique("api"), "api_version": version, "api_servers": servers,
            "api_type": "REST", "api_allowed_groups": ["ALL"], **fields}
    return expect(admin.post("/platform/api", json=body), 201)["api"]


def make_endpoint(admin, api, uri="/", method="GET", **fields):
    """Creates an endpoint of an API (its document or its name)."""
    name, version = _name_of(api)
    body = {"api_name": name, "api_version": version, "endpoint_method": method,
            "endpoint_uri": uri, "endpoint_description": f"{method} {uri}", **fields}
    return expect(admin.post("/platform/endpoint", json=body), 201)


def subscribe(admin, user, api):
    """Subscribes a user (a session of make_user, or a name) to an API."""
    name, version = _name_of(api)
    body = {"username": _user_of(user), "api_name": name, "api_version": version}
    return expect(admin.post("/platform/subscription/subscribe", json=body), 200)


def unsubscribe(admin, user, api):
    name, version = _name_of(api)
    body = {"username": _user_of(user), "api_name": name, "api_version": version}
    return expect(admin.post("/platform/subscription/unsubscribe", json=body), 200)


def revoke(admin, user):
    """Revokes all tokens of a user."""
    return expect(admin.post(f"/platform/authorization/admin/revoke/{_user_of(user)}"), 200)


def make_callable(admin, upstream, **fields):
    """The smallest thing to call: an API with the endpoint GET /hello and a user, of the fields,
    subscribed to it. Gives the API's document and the user."""
    user = make_user(admin, **fields)
    api = make_api(admin, upstream.url)
    make_endpoint(admin, api, "/hello")
    subscribe(admin, user, api)
    return api, user


def rest_path(api, uri="/"):
    name, version = _name_of(api)
    return f"/api/rest/{name}/{version}{uri}"


def _name_of(api):
    if isinstance(api, str):
        return api.split("/") if "/" in api else (api, "v1")
    return api["api_name"], api["api_version"]


def _user_of(user):
    return user if isinstance(user, str) else user.username
