"""kubectl and helm for the tests of this folder, against whatever KUBECONFIG names.

Images are looked for as DOORMAN_IMAGES/NAME:DOORMAN_TAG (default localhost and test); `scripts/test
cluster` builds and loads them where the cluster is its own.
"""

import base64
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import uuid

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "doorman"
REGISTRY = os.environ.get("DOORMAN_IMAGES", "localhost")
TAG = os.environ.get("DOORMAN_TAG", "test")
COMMAND_LIMIT = 240
EXEC_TRIES = 5
EMAIL = "admin@doorman.dev"
ORDERS = "orders"
USER_PASSWORD = "Test-User-Passw0rd!1"


def run(*command, stdin=None, good=True, limit=COMMAND_LIMIT):
    """The finished process; not ending with 0 is a fault unless good is False."""
    made = subprocess.run([str(c) for c in command], input=stdin, capture_output=True, text=True,
                          timeout=limit, check=False)
    if good and made.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}\nended with {made.returncode}\n"
                             f"{made.stdout[-3000:]}\n{made.stderr[-3000:]}")
    return made


def helm(*arguments, **options):
    return run("helm", *arguments, **options)


def wait_until(condition, seconds, what, pause=0.2):
    """The condition's first true value. Looking again is all that can be done from outside."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(pause)


def image(name):
    return {"repository": f"{REGISTRY}/{name}", "tag": TAG, "pullPolicy": "IfNotPresent"}


def values_for_tests():
    """Images and stores of the tests; both kinds of programs small."""
    return {
        "admin": {"image": image("doorman-admin")},
        "gateway": {"image": image("doorman-gateway")},
        "redis": {"enabled": True, "image": image("doorman-test-tools")},
        "mongodb": {"enabled": True, "image": image("doorman-test-ferretdb"), "command": [],
                    "args": ["0.0.0.0:27017", "/data/db"]},
        "config": {"login_ip": {"rate_limit": 1000, "rate_window": 300}},
    }


def merged(base, change):
    out = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if both else value
    return out


class Space:
    """A namespace in which the restricted standard is enforced."""

    def __init__(self, name):
        self.name = name
        self.k("delete", "namespace", name, "--ignore-not-found", "--wait", namespaced=False)
        self.k("create", "namespace", name, namespaced=False)
        self.k("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted",
               namespaced=False)

    def k(self, *arguments, namespaced=True, **options):
        where = ["-n", self.name] if namespaced else []
        return run("kubectl", *where, *arguments, **options).stdout

    def get(self, *arguments):
        return json.loads(self.k("get", *arguments, "-o", "json"))

    def apply(self, objects):
        text = objects if isinstance(objects, str) else yaml.safe_dump_all(objects)
        self.k("apply", "-f", "-", stdin=text)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.tell()
        self.k("delete", "namespace", self.name, "--wait=false", namespaced=False)

    def tell(self):
        """What went on here, for whoever reads why a test failed."""
        print(self.k("get", "pods", "-o", "wide", good=False))
        print(self.k("get", "events", "--sort-by=.lastTimestamp", good=False)[-6000:])

    # --- the client's pod ---

    def start_client(self):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"},
               "spec": {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                        "securityContext": restricted_pod(),
                        "containers": [{"name": "client", "image": f"{REGISTRY}/doorman-test-tools:"
                                        f"{TAG}", "imagePullPolicy": "IfNotPresent",
                                        "securityContext": restricted_container()}]}}
        self.apply([pod])
        self.k("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")

    def calls(self, calls):
        """Each is made once. An exec that ends with 0 can lose what was printed in it: then the
        client is asked again what it found."""
        name = uuid.uuid4().hex
        for _ in range(EXEC_TRIES):
            found = self.k("exec", "-i", "client", "--", "python3", "/client.py", "calls", name,
                           stdin=json.dumps(calls) + "\n")
            if found.endswith("\n"):
                return json.loads(found)
        raise AssertionError(f"{EXEC_TRIES} times exec gave nothing whole: {found!r}")

    def call(self, method, url, body=None, token=None, headers=None):
        fields = dict(headers or {})
        if token:
            fields["Authorization"] = f"Bearer {token}"
        answer = self.calls([{"method": method, "url": url, "headers": fields, "body": body}])[0]
        try:
            answer["json"] = json.loads(answer["body"])
        except ValueError:
            answer["json"] = None
        return answer

    def load(self, url, token, rate=200, connections=20):
        """A running load with kept connections; .stop() gives its counts."""
        headers = {"Authorization": f"Bearer {token}"}
        return RunningLoad(self.name, {"url": url, "headers": headers, "rate": rate,
                                       "connections": connections})

    def follow(self, pod, container):
        return Follower(self.name, pod, container)

    # --- pods ---

    def pods(self, component, going=False):
        """Of a component; those that are being deleted only when asked for."""
        found = self.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
        return [p for p in found if going or "deletionTimestamp" not in p["metadata"]]

    def scale(self, deployment, count):
        self.k("scale", f"deployment/{deployment}", f"--replicas={count}")
        self.k("rollout", "status", f"deployment/{deployment}", "--timeout=120s")

    def restarts(self, component):
        return {p["metadata"]["uid"]: sum(c["restartCount"] for c in
                                          p["status"].get("containerStatuses", []))
                for p in self.pods(component)}

    def metrics(self, pod):
        """name{labels} -> value of one pod's scrape."""
        answer = self.call("GET", f"http://{pod['status']['podIP']}:9464/metrics")
        assert answer["status"] == 200, answer
        return parse_metrics(answer["body"])

    def readiness(self, pod):
        return self.call("GET", f"http://{pod['status']['podIP']}:9464/platform/monitor/readiness")


class Follower:
    """What a container says until it ends, each line with the node's time."""

    def __init__(self, space, pod, container):
        self.process = subprocess.Popen(
            ["kubectl", "-n", space, "logs", "-f", "--timestamps", pod, "-c", container],
            stdout=subprocess.PIPE, text=True)

    def lines(self):
        try:
            return self.process.communicate(timeout=60)[0].splitlines()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class RunningLoad:
    """Ends with its block, whatever happens there, and then has counts."""

    def __init__(self, space, task):
        self.counts = None
        self.process = subprocess.Popen(
            ["kubectl", "-n", space, "exec", "-i", "client", "--", "python3", "/client.py", "load"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        assert self.process.stdout.readline() == "under way\n", "the load's pod does not answer"
        return self

    def __exit__(self, *_):
        try:
            out, _ = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.returncode == 0, out
        self.counts = json.loads(out)
        print("\nload:", self.counts)


def parse_metrics(text):
    return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z_]\S*(?:\{.*\})?) (\S+)$", text, re.M)}


def restricted_pod():
    return {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"}}


def restricted_container():
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def workload(name, image_name, port=8000, **container):
    """A Deployment of one restricted pod that listens on a port."""
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"automountServiceAccountToken": False, "securityContext": restricted_pod(),
                         "containers": [{
                             "name": name, "image": f"{REGISTRY}/{image_name}:{TAG}",
                             "imagePullPolicy": "IfNotPresent",
                             "securityContext": restricted_container(),
                             "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
                             **container}]}}}}


def service(name, port=8000):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port}]}}


def upstream_objects():
    """The example's application as an ordinary upstream: on all addresses, behind a Service."""
    return [service(ORDERS), workload(ORDERS, "doorman-example-orders",
                                      env=[{"name": "HOST", "value": "0.0.0.0"}])]


class Release:
    """An installed chart, and the product behind it as its administrator sees it."""

    def __init__(self, space, name="d", values=None, chart=CHART):
        self.space, self.name, self.chart = space, name, chart
        self.values = merged(values_for_tests(), values or {})
        self.full = f"{name}-doorman"
        self.admin_url = f"http://{self.full}-admin:3001"
        self.gateway_url = f"http://{self.full}-gateway:5001"

    def helm(self, verb, *arguments, change=None):
        self.values = merged(self.values, change or {})
        return helm(verb, self.name, self.chart, "-n", self.space.name, "-f", "-", "--wait",
                    "--timeout", "3m", *arguments, stdin=yaml.safe_dump(self.values))

    def install(self):
        self.helm("install")
        return self

    def secret(self, name, key):
        return base64.b64decode(self.space.get("secret", name)["data"][key]).decode()

    def log_in(self, email=EMAIL, password=None):
        password = password or self.secret(self.full, "admin-password")
        answer = self.space.call("POST", f"{self.admin_url}/platform/authorization",
                                 {"email": email, "password": password})
        assert answer["status"] == 200, answer
        return answer["json"]["access_token"]

    def platform(self, token, method, path, body=None):
        answer = self.space.call(method, self.admin_url + path, body, token)
        assert answer["status"] in (200, 201), answer
        return answer["json"]

    def publish(self, token, name, servers, uri="/orders"):
        """An API with one endpoint and a subscribed user without limits; gives the user's token."""
        self.platform(token, "POST", "/platform/api",
                      {"api_name": name, "api_version": "v1", "api_servers": servers,
                       "api_type": "REST", "api_allowed_groups": ["ALL"]})
        self.platform(token, "POST", "/platform/endpoint",
                      {"api_name": name, "api_version": "v1", "endpoint_method": "GET",
                       "endpoint_uri": uri, "endpoint_description": "test"})
        user = f"{name}user"
        self.platform(token, "POST", "/platform/user",
                      {"username": user, "email": f"{user}@example.com", "role": "user",
                       "password": USER_PASSWORD, "groups": ["ALL"]})
        self.platform(token, "POST", "/platform/subscription/subscribe",
                      {"username": user, "api_name": name, "api_version": "v1"})
        return self.log_in(f"{user}@example.com", USER_PASSWORD)

    def edit_config(self, change):
        """kubectl edit of the ConfigMap: change is a function of the file's text."""
        name = f"{self.full}-config"
        text = self.space.get("configmap", name)["data"]["doorman.yaml"]
        self.space.k("patch", "configmap", name, "--patch",
                     json.dumps({"data": {"doorman.yaml": change(text)}}))
        return text


def process_of(pod):
    """/proc/PID of the pod's program where its node is this machine, else None."""
    name = pod["metadata"]["name"]
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            program = (entry / "comm").read_text()
        except OSError:
            continue
        if f"HOSTNAME={name}".encode() in environment and program.startswith("doorman"):
            return entry
    return None


def kill_process_of(space, pod):
    """SIGKILL to the pod's process where its node is this machine; else the nearest to it."""
    entry = process_of(pod)
    if entry is not None:
        os.kill(int(entry.name), signal.SIGKILL)
    else:
        space.k("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")


def peer_ports(entry):
    """Ports that the network namespace of a process is connected to, as ss would show them."""
    lines = (entry / "net" / "tcp").read_text().splitlines()[1:]
    return {int(line.split()[2].split(":")[1], 16) for line in lines}
