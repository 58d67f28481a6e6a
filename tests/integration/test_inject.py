"""doorman-admin inject, as it is run in front of kubectl: what comes out is what the chart makes.

manifests/doorman.yaml and tests/fixtures/sidecar hold the parts as the chart renders them for some
values (a test of tests/cluster keeps them current), so no helm is needed here.
"""

import copy
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

from harness.process import LIBRARY_OPTIONS, program

pytestmark = pytest.mark.memory

ROOT = pathlib.Path(__file__).resolve().parents[2]
BYTES_MAX = 1 << 20


def inject(text, *arguments, code=0):
    """Standard output and error; no settings are around that could decide anything."""
    made = subprocess.run([program("doorman-admin"), "inject", *map(str, arguments)],
                          input=text.encode(), env=LIBRARY_OPTIONS, capture_output=True,
                          timeout=60, check=False)
    assert made.returncode == code, made.stderr.decode()
    assert code == 0 or made.stdout == b"", "half an answer"
    # The driver of MongoDB warns of what it lacks in some containers, whatever the command.
    said = [line for line in made.stderr.decode().splitlines(True) if " mongoc: " not in line]
    return made.stdout.decode(), "".join(said)


def parts_of_the_chart():
    made = yaml.safe_load_all((ROOT / "manifests" / "doorman.yaml").read_text())
    maps = [o for o in made if o["kind"] == "ConfigMap"
            and o["metadata"]["name"] == "doorman-sidecar"]
    return maps[0]["data"]["sidecar.yaml"]


def workload(kind="Deployment", version="apps/v1", **spec):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "orders"},
            "spec": {"selector": {"matchLabels": {"app": "orders"}}, "template": {
                "metadata": {"labels": {"app": "orders"}},
                "spec": {"containers": [{"name": "orders", "image": "orders:1",
                                         "ports": [{"containerPort": 8000}]}], **spec}}}}


def patched_by_hand(job):
    """The same by the rules of operations.md §11.1, with the parts of the chart."""
    parts = yaml.safe_load(parts_of_the_chart())
    wanted = copy.deepcopy(workload())
    template = wanted["spec"]["template"]
    template["metadata"]["labels"].update(parts["labels"])
    template["metadata"]["annotations"] = parts["annotations"]
    template["spec"]["initContainers"] = parts["container"]
    template["spec"]["volumes"] = parts["volumes"]
    if not job:
        template["spec"]["containers"][0]["lifecycle"] = parts["appLifecycle"]
    return wanted


def test_parts_of_the_chart_are_put_in_as_they_are(tmp_path):
    file = tmp_path / "sidecar.yaml"
    file.write_text(parts_of_the_chart())
    made, said = inject(yaml.safe_dump(workload()), "--sidecar", file)
    assert yaml.safe_load(made) == patched_by_hand(job=False)
    assert said == "Deployment/orders: the sidecar is in\n"


@pytest.mark.parametrize("kind, version", [("Deployment", "apps/v1"), ("Job", "batch/v1")])
def test_parts_made_of_options_are_those_of_the_chart(kind, version):
    """All but the checksum: restart-only settings are the chart's to know."""
    made, _ = inject(yaml.safe_dump(workload(kind, version)),
                     "--admin-url", "http://doorman-admin.doorman:3001")
    wanted = patched_by_hand(job=kind == "Job")
    wanted.update(kind=kind, apiVersion=version)
    del wanted["spec"]["template"]["metadata"]["annotations"]
    assert yaml.safe_load(made) == wanted


RENDERED = sorted((ROOT / "tests" / "fixtures" / "sidecar").glob("*.yaml"))


@pytest.mark.parametrize("rendered", RENDERED, ids=lambda path: path.stem)
def test_options_say_what_values_of_the_chart_say(rendered):
    """The options that go with a set of values are in its comments."""
    values = (rendered.parent / "values" / rendered.name).read_text()
    options = shlex.split(" ".join(re.findall("^# inject: (.*)", values, re.M)))
    url = [] if "--admin-url" in options else ["--admin-url", "http://d-doorman-admin.demo:3001"]
    made, _ = inject(yaml.safe_dump(workload()), "--release", "d", *url, *options)
    template = yaml.safe_load(made)["spec"]["template"]
    parts = yaml.safe_load(rendered.read_text())
    native = parts["container"][0].get("restartPolicy") == "Always"
    pod = template["spec"]
    assert pod["initContainers" if native else "containers"][0 if native else 1] == \
        parts["container"][0]
    assert ("initContainers" in pod) == native and len(pod["containers"]) == 2 - native
    assert pod["volumes"] == parts["volumes"]
    assert pod["containers"][0]["lifecycle"] == parts["appLifecycle"]
    assert template["metadata"]["labels"] == {"app": "orders", **parts["labels"]}


def test_sets_of_values_are_there():
    assert len(RENDERED) == len(list((RENDERED[0].parent / "values").iterdir())) > 5


STREAM = """\
# what the application is made of
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{port: 80, targetPort: 8000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, annotations: {on: "off", "1.0": "1.0"}}
spec:
  template:
    metadata: {labels: {app: orders, version: "1.0"}}
    spec:
      containers:
        - name: orders
          image: orders:1
          env: [{name: A, value: "yes"}, {name: B, value: 'null'}, {name: C, value: "0x1"}]
          command: ["sh", "-c", "set -e\\nexec orders\\n"]
---
kind: ConfigMap   # every byte stays
data: {a: "b"}
"""


def test_values_survive_and_other_documents_pass_as_they_are():
    made, _ = inject(STREAM, "--service")
    service, deployment, _ = yaml.safe_load_all(made)
    assert service["spec"]["ports"] == [{"port": 80, "targetPort": 5001}]
    before = list(yaml.safe_load_all(STREAM))[1]
    assert deployment["metadata"] == before["metadata"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container.pop("lifecycle") == {"preStop": {"sleep": {"seconds": 5}}}
    assert container == before["spec"]["template"]["spec"]["containers"][0]
    assert list(deployment["spec"]["template"]["metadata"]["labels"].items())[:2] == \
        [("app", "orders"), ("version", "1.0")]
    assert made.endswith("---\nkind: ConfigMap   # every byte stays\ndata: {a: \"b\"}\n")


@pytest.mark.parametrize("arguments", [(), ("--service",), ("--no-native-sidecar",),
                                       ("--kube-version", "1.28"), ("--env", "A=b: \"c\"\n")])
def test_a_second_run_changes_nothing(arguments):
    made, _ = inject(STREAM, *arguments)
    assert inject(made, *arguments)[0] == made


def test_a_service_that_goes_past_the_sidecar_is_told():
    made, said = inject(STREAM)
    assert "targetPort: 8000" in made and "Service/orders: goes past the sidecar still" in said


@pytest.mark.parametrize("arguments, sentence", [
    (("--port", "x"), "--port takes a number in its range, not \"x\""),
    (("--bla",), 'unknown argument "--bla"'),
    (("--image",), "--image needs a value"),
    (("--sidecar",), "--sidecar needs a value"),
])
def test_a_wrong_option_is_a_usage_error(arguments, sentence):
    _, said = inject(STREAM, *arguments, code=64)
    assert said.startswith(f"doorman-admin inject: {sentence}\n") and "inject --help" in said


def bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("text, sentence", [
    ("x" * (BYTES_MAX + 1), "1:1: over 1048576 bytes"),
    ("---\n" * 1001, "1001:1: more than 1000 documents"),
    ("a: " + "[" * 40 + "]" * 40 + "\n", "nested too deep"),
    (bomb(), "makes the document too large"),
    ("- x\n" * 20001, "too many nodes"),
    ("a: \x1b]0;x\x07\n", "control characters are not allowed"),
    ('--- {"a\\e[2J": 1, "a\\e[2J": 2}\n', 'key "a?[2J" was given before'),
    ("kind: Pod\nkind: Pod\n", '2:1: key "kind" was given before'),
    ("a: !!python/object x\n", "is not known"),
    (yaml.safe_dump(workload("Job", "batch/v1", containers=[])), "it has no containers"),
])
def test_hostile_input_is_refused_with_a_sentence(text, sentence):
    _, said = inject(text, code=65)
    assert sentence in said and said.startswith("doorman-admin inject: ")
    assert said.strip().isprintable(), "a terminal would obey this"


def test_a_file_that_is_not_there_is_told(tmp_path):
    _, said = inject(STREAM, "--sidecar", tmp_path / "none", code=66)
    assert "could not be read" in said


def test_output_that_cannot_be_written_is_no_success():
    with open("/dev/full", "wb") as full:
        made = subprocess.run([program("doorman-admin"), "inject"], input=STREAM.encode(),
                              env=LIBRARY_OPTIONS, stdout=full, stderr=subprocess.PIPE,
                              timeout=60, check=False)
    assert made.returncode == 74 and b"could not be written" in made.stderr


def test_help_names_every_option():
    said, _ = inject("", "--help")
    table = (ROOT / "admin" / "inject" / "options.c").read_text()
    names = [line.split('"')[1] for line in table.splitlines() if line.startswith('    {"--')]
    assert len(names) > 20 and not [n for n in names if f"  {n} " not in said
                                    and f"  {n}\n" not in said]


def test_other_options_come_after_the_command():
    made = subprocess.run([program("doorman-admin"), "--json", "inject"], env=LIBRARY_OPTIONS,
                          capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 64 and "inject comes first" in made.stderr
