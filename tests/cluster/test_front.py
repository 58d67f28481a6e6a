"""Behind an nginx that ends TLS, as an ingress controller does; at the root and below /gate."""

import base64
import http.cookies
import json
import secrets
import subprocess

import pytest
from harness.cluster import EMAIL, service, workload, wait_until

PORT = 8443
NGINX = """
daemon off; pid /tmp/nginx.pid; error_log stderr; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server {{
    listen {port} ssl;
    ssl_certificate /front/tls.crt; ssl_certificate_key /front/tls.key;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    location /gate/ {{ proxy_pass {admin}/; }}
    location / {{ proxy_pass {admin}; }}
  }}
}}
"""


def certificate(folder, name):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-keyout", "tls.key", "-out", "tls.crt", "-days", "2", "-subj",
               f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return {f: base64.b64encode((folder / f).read_bytes()).decode() for f in ("tls.crt", "tls.key")}


@pytest.fixture(scope="module")
def front(release, tmp_path_factory):
    """The https URL of the TLS front."""
    space = release.space
    data = certificate(tmp_path_factory.mktemp("tls"), "front")
    text = NGINX.format(port=PORT, admin=release.admin_url)
    data["nginx.conf"] = base64.b64encode(text.encode()).decode()
    pod = workload("front", "doorman-test-tools", PORT,
                   command=["nginx", "-c", "/front/nginx.conf"],
                   volumeMounts=[{"name": "front", "mountPath": "/front"},
                                 {"name": "scratch", "mountPath": "/var/lib/nginx"}])
    pod["spec"]["template"]["spec"]["volumes"] = [
        {"name": "front", "secret": {"secretName": "front"}}, {"name": "scratch", "emptyDir": {}}]
    space.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "front"},
                  "data": data}, service("front", PORT), pod])
    space.k("rollout", "status", "deployment/front", "--timeout=90s")
    url = f"https://front:{PORT}"
    wait_until(lambda: space.call("GET", url)["status"], 30, "the Service leads to it")
    return url


class Browser:
    """Cookies and the CSRF header as a page's script would send them."""

    def __init__(self, space, base):
        self.space, self.base = space, base
        self.jar = http.cookies.SimpleCookie()

    def call(self, method, path, body=None, csrf=True, **headers):
        if self.jar:
            headers["Cookie"] = "; ".join(f"{n}={m.value}" for n, m in self.jar.items())
            if csrf and "csrf_token" in self.jar:
                headers["X-CSRF-Token"] = self.jar["csrf_token"].value
        answer = self.space.call(method, self.base + path, body, headers=headers)
        for name, value in answer["headers"]:
            if name.lower() == "set-cookie":
                self.jar.load(value)
        return answer


@pytest.fixture(params=["", "/gate"], ids=["root", "prefix"])
def browser(request, release, front):
    made = Browser(release.space, front + request.param)
    password = release.secret(release.full, "admin-password")
    answer = made.call("POST", "/platform/authorization", {"email": EMAIL, "password": password})
    assert answer["status"] == 200, answer
    return made


def test_cookies_are_secure_and_work_there(browser):
    token = browser.jar["access_token_cookie"]
    assert token["secure"] and token["httponly"] and token["path"] == "/"
    assert token["samesite"].lower() == "strict"
    assert not token["domain"], "the front's host is not under COOKIE_DOMAIN"
    assert browser.jar["csrf_token"]["secure"] and not browser.jar["csrf_token"]["httponly"]
    me = browser.call("GET", "/platform/user/me")
    assert me["status"] == 200 and me["json"]["email"] == EMAIL


def test_a_change_needs_the_csrf_token(browser):
    body = {"group_name": "front", "group_description": "made behind the front"}
    refused = browser.call("POST", "/platform/group", body, csrf=False)
    assert refused["status"] in (401, 403) and refused["json"]["error_code"] == "CSRF001"
    assert browser.call("POST", "/platform/group", body)["status"] == 201
    assert browser.call("DELETE", "/platform/group/front")["status"] == 200


def test_no_answer_points_to_the_inside(browser, release):
    """Neither redirects nor bodies name the Service, its port or plain http."""
    for path in ("/platform/user/me/", "/platform/openapi.json", "/platform/none", "/platform"):
        answer = browser.call("GET", path)
        assert not 300 <= answer["status"] < 400, (path, answer)
        text = answer["body"] + str(answer["headers"])
        assert release.full not in text and ":3001" not in text, (path, text)
    hsts = {n.lower(): v for n, v in answer["headers"]}["strict-transport-security"]
    assert "max-age" in hsts


def test_the_clients_address_is_believed_of_the_front_only(browser, release):
    """What the admin's log calls effective: of the front's request, and of a forged direct one."""
    space = release.space
    front_pod = space.get("pods", "-l", "app=front")["items"][0]["status"]["podIP"]
    client = space.get("pod", "client")["status"]["podIP"]
    direct = Browser(space, release.admin_url)
    direct.jar = browser.jar

    def set_trust(trust, proxies):
        made = browser.call("PUT", "/platform/security/settings",
                            {"trust_x_forwarded_for": trust, "xff_trusted_proxies": proxies})
        assert made["status"] == 200, made

    def seen(through):
        """The effective address of a failed log-in that claims to come from elsewhere."""
        mail = f"{secrets.token_hex(6)}@example.com"
        through.call("POST", "/platform/authorization", {"email": mail, "password": "x" * 12},
                     **{"X-Forwarded-For": "203.0.113.7"})
        lines = [json.loads(line) for pod in space.pods("admin") for line in space.k(
            "logs", pod["metadata"]["name"], "--tail=200").splitlines() if mail in line]
        return lines[0]["effective_ip"] if lines else None

    wait_until(lambda: seen(browser) == front_pod, 20, "the front is not trusted", pause=1)
    assert seen(direct) == client
    set_trust(True, [front_pod])
    try:
        wait_until(lambda: seen(browser) == client, 20, "the front is trusted", pause=1)
        assert seen(direct) == client, "what the client claims itself counts for nothing"
    finally:
        set_trust(False, [])
