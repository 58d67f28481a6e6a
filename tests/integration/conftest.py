"""What integration tests start from: a running doorman, its administrator, upstreams, raw bytes.

A doorman is shared by the tests of a module (names from harness.platform.unique keep them apart);
a test that needs settings of its own, or ends the program, takes start_doorman. Every doorman must
end with exit code 0 on SIGTERM and without a sanitizer's report, or the tests that used it fail.
"""

import pytest

from harness import platform, unproven
from harness.process import Doorman, shape
from harness.raw import LyingUpstream, RawConnection
from harness.upstream import Upstream


def pytest_terminal_summary(terminalreporter):
    """scripts/test prints these lines too."""
    if not unproven.have_mongod():
        for test, what in unproven.listed().items():
            terminalreporter.write_line(f"unproven without mongod: {what} ({test})")


def pytest_collection_modifyitems(config, items):
    """Without mongod nothing that needs it is chosen (harness/unproven.py). The split shape runs
    what asks for a running product, but for what memory mode alone has."""

    def wanted(item):
        if item.get_closest_marker("mongod") and not unproven.have_mongod():
            return False
        return shape() == "memory" or (
            {"doorman", "start_doorman"} & set(item.fixturenames)
            and not item.get_closest_marker("memory"))

    dropped = [item for item in items if not wanted(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if wanted(item)]


def make(folder, settings=None):
    """What the tests run against (DOORMAN_TEST_SHAPE): doorman in memory, or two programs."""
    if shape() == "memory":
        return Doorman(folder, settings)
    from harness.split import Split  # needs Redis and MongoDB, which the memory shape does not

    return Split(folder, settings)


@pytest.fixture(scope="module")
def doorman(tmp_path_factory):
    """The running program, or the two of the split shape, shared by the module."""
    running = make(tmp_path_factory.mktemp("doorman")).start()
    yield running
    running.stop()


@pytest.fixture
def start_doorman(tmp_path):
    """start_doorman(SETTING=value, …) starts one for this test alone.

    Those still running at the end are stopped and judged; those the test ended itself (wait, kill,
    terminate) are judged by their log only.
    """
    started = []

    def start(folder=None, ready=True, arguments=("run",), **settings):
        where = folder or tmp_path / f"doorman{len(started)}"
        if arguments == ("run",):
            running = make(where, settings)
        else:
            running = Doorman(where, settings, arguments)
        started.append(running)
        return running.start() if ready else running.spawn()

    yield start
    for running in started:
        if running.running():
            running.stop()
        else:
            running.check_log()


@pytest.fixture
def admin(doorman):
    """The administrator, logged in."""
    return platform.login(doorman.url)


@pytest.fixture
def user(admin):
    """A fresh user of group ALL without limits, logged in."""
    return platform.make_user(admin)


@pytest.fixture
def upstream():
    """A well-behaved HTTP server that records what it received."""
    server = Upstream()
    yield server
    server.stop()


@pytest.fixture
def start_upstream():
    """start_upstream(answer) for tests that need several or a special one."""
    started = []

    def start(answer=None):
        started.append(Upstream(answer))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def lying_upstream():
    """lying_upstream(script): a server that sends what the script writes. See LyingUpstream."""
    started = []

    def start(script, path=None):
        started.append(LyingUpstream(script, path))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def raw(doorman):
    """raw() connects to doorman; raw(other) to another one, or to an (address, port) pair."""
    opened = []

    def connect(to=None, **options):
        target = to if isinstance(to, tuple) else ("127.0.0.1", (to or doorman).port)
        opened.append(RawConnection(target, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def published(admin, user, upstream):
    """An API with the endpoint GET /hello, and a subscribed user: the smallest thing to call."""
    api = platform.make_api(admin, upstream.url)
    platform.make_endpoint(admin, api, "/hello")
    platform.subscribe(admin, user, api)
    return Published(api, user, upstream)


class Published:
    def __init__(self, api, user, upstream):
        self.api, self.user, self.upstream = api, user, upstream
        self.path = platform.rest_path(api, "/hello")

    def call(self, **options):
        return self.user.get(self.path, **options)
