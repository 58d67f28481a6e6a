"""Changes of policy over /platform that leave it as it was, for as many rounds as one likes."""

import itertools

from harness import platform


class Changes:
    """One write on /platform after the other; twenty of them leave the policy as it was."""

    ROUND = 20

    def __init__(self, admin, api, username, server):
        """api: the document of one with an endpoint GET /data; username: of somebody who calls."""
        self.admin, self.username, self.server, self.done = admin, username, server, 0
        self.name = api["api_name"]
        self.steps = itertools.cycle([
            self.update_api, self.create_api, self.create_endpoint, self.update_endpoint,
            self.subscribe, self.update_user, self.create_role, self.update_api,
            self.update_role, self.create_user, self.subscribe_other, self.update_api,
            self.update_own_endpoint, self.unsubscribe_other, self.delete_user, self.delete_role,
            self.unsubscribe, self.delete_endpoint, self.delete_api, self.update_user])

    def one(self):
        method, path, body = next(self.steps)()
        self.done += 1
        platform.expect(self.admin.request(method, path, json=body), 200, 201)

    def update_api(self):
        return "PUT", f"/platform/api/{self.name}/v1", {"api_description": f"change {self.done}"}

    def create_api(self):
        return "POST", "/platform/api", {
            "api_name": "other", "api_version": "v1", "api_servers": [self.server],
            "api_type": "REST", "api_allowed_groups": ["ALL"]}

    def create_endpoint(self):
        return "POST", "/platform/endpoint", {
            "api_name": "other", "api_version": "v1", "endpoint_method": "GET",
            "endpoint_uri": "/a/{b}", "endpoint_description": "x"}

    def update_endpoint(self):
        return "PUT", "/platform/endpoint/GET/other/v1/a/%7Bb%7D", {
            "endpoint_description": f"change {self.done}"}

    def update_own_endpoint(self):
        return "PUT", f"/platform/endpoint/GET/{self.name}/v1/data", {
            "endpoint_description": f"change {self.done}"}

    def subscribe(self):
        return "POST", "/platform/subscription/subscribe", {
            "username": self.username, "api_name": "other", "api_version": "v1"}

    def unsubscribe(self):
        return "POST", "/platform/subscription/unsubscribe", {
            "username": self.username, "api_name": "other", "api_version": "v1"}

    def update_user(self):
        return "PUT", f"/platform/user/{self.username}", {
            "bandwidth_limit_bytes": 1 << 50 | self.done}

    def create_user(self):
        return "POST", "/platform/user", {
            "username": "guest", "email": "guest@example.com", "role": "user", "groups": ["ALL"],
            "password": platform.USER_PASSWORD}

    def subscribe_other(self):
        return "POST", "/platform/subscription/subscribe", {
            "username": "guest", "api_name": "other", "api_version": "v1"}

    def unsubscribe_other(self):
        return "POST", "/platform/subscription/unsubscribe", {
            "username": "guest", "api_name": "other", "api_version": "v1"}

    def delete_user(self):
        return "DELETE", "/platform/user/guest", None

    def create_role(self):
        return "POST", "/platform/role", {"role_name": "passing", "role_description": "x"}

    def update_role(self):
        return "PUT", "/platform/role/passing", {"role_description": f"change {self.done}"}

    def delete_role(self):
        return "DELETE", "/platform/role/passing", None

    def delete_endpoint(self):
        return "DELETE", "/platform/endpoint/GET/other/v1/a/%7Bb%7D", None

    def delete_api(self):
        return "DELETE", "/platform/api/other/v1", None
