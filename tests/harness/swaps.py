"""ConfigMaps that are swapped while clients call: what must stay right, and what may not grow."""

import os
import threading
import time

from harness import platform
from harness.config import generation, reloads
from harness.process import wait_until

PATIENCE = 30.0
BROKEN_EVERY = 10


def text(number):
    """Two settings that change together: an answer that shows both must show them alike."""
    return (f"security_header:\n  x_frame_options: V{number}\n  referrer_policy: V{number}\n"
            f"max:\n  body_size_bytes_rest: {1000000 + number}\n"
            f"circuit_breaker: {{threshold: {5 + number % 7}}}\n")


class Load:
    """Clients on kept connections, calling without a pause until they are told to end."""

    def __init__(self, call, clients=4):
        self.ended = threading.Event()
        self.faults, self.answers = [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(call(),))
                        for _ in range(clients)]

    def client(self, call):
        newest, count = -1, 0
        while not self.ended.is_set():
            fault, number = None, newest
            try:
                answer = call()
                first = answer.headers.get("X-Frame-Options", "")
                second = answer.headers.get("Referrer-Policy", "")
                number = int(first.removeprefix("V") or -1)
                if answer.status_code != 200:
                    fault = f"{answer.status_code} {answer.text[:200]}"
                elif first != second:
                    fault = f"half of {first}, half of {second}"
                elif number < newest:
                    fault = f"{first} after V{newest}"
            except Exception as error:  # a failed request, however it failed
                fault = repr(error)
            newest = max(newest, number)
            count += 1
            if fault is not None:
                with self.lock:
                    self.faults.append(fault)
        with self.lock:
            self.answers += count

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def publish(url, upstream):
    """Gives call(): a new client with a connection of its own, ready to call."""
    admin = platform.login(url)
    api, user = platform.make_callable(admin, upstream)
    path = platform.rest_path(api, "/hello")

    def client():
        session = platform.Session(url)
        session.headers.update(user.headers)
        return lambda: session.get(path)

    return client


def files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def swap(program, volume, swaps, call, on_swap=lambda number: None):
    """`swaps` good edits one after the other, each waited for, every tenth behind a broken one.

    Gives the faults that clients saw and the number of their answers. A client holds one address,
    and several workers notice a swap one after the other, but a worker never goes back.
    """
    began, failed = generation(program), reloads(program, "failure")
    broken = 0
    with Load(call) as load:
        for number in range(1, swaps + 1):
            if number % BROKEN_EVERY == 0:
                broken += 1
                volume.swap("max: {page_size: none}\n")
                wait_until(lambda: reloads(program, "failure") == failed + broken, PATIENCE,
                           f"refusal {broken}")
            volume.swap(text(number))
            wait_until(lambda: generation(program) == began + number, PATIENCE, f"swap {number}")
            on_swap(number)
    assert reloads(program, "failure") == failed + broken
    return load.faults, load.answers


def settled(read, patience=PATIENCE):
    """A figure once it no longer falls: what ended connections still hold goes first."""
    end, value = time.monotonic() + patience, read()
    while time.monotonic() < end:
        before = value
        time.sleep(0.5)
        value = read()
        if value >= before:
            break
    return value
