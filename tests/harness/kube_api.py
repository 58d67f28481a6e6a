"""As much of a Kubernetes API server as `helm template --dry-run=server` asks for a lookup: what is
stored in .objects, by kind and name, whatever the namespace."""

import http.server
import json
import threading

VERSION = {"major": "1", "minor": "32", "gitVersion": "v1.32.0"}
RESOURCES = {"v1": [("secrets", "Secret"), ("configmaps", "ConfigMap")],
             "apps/v1": [("deployments", "Deployment")]}


class KubeApi(http.server.ThreadingHTTPServer):
    def __init__(self):
        self.objects = {}
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever).start()

    def store(self, made):
        """Objects as `helm template` rendered them."""
        for o in made:
            self.objects[o["kind"], o["metadata"]["name"]] = o

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def group_list(group, version):
    return {"name": group, "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
            "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version}}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0].strip("/").split("/")
        answer = self.discovery("/".join(path))
        if answer is None and len(path) > 2:
            kinds = dict(r for rows in RESOURCES.values() for r in rows)
            answer = self.server.objects.get((kinds.get(path[-2]), path[-1]))
        status = 200 if answer is not None else 404
        text = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure",
                                     "reason": "NotFound", "code": 404}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def discovery(self, path):
        if path == "version":
            return VERSION
        if path == "api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "apis":
            return {"kind": "APIGroupList", "groups": [group_list("apps", "v1")]}
        version = path.removeprefix("apis/").removeprefix("api/")
        if version not in RESOURCES:
            return None
        return {"kind": "APIResourceList", "groupVersion": version, "resources": [
            {"name": n, "kind": k, "namespaced": True, "verbs": ["get", "list"]}
            for n, k in RESOURCES[version]]}

    def log_message(self, *_):
        pass
