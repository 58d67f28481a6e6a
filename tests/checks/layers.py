#!/usr/bin/env python3
"""Every #include stays in its layer or goes left; third-party headers stay in their wrappers.

    tests/checks/layers.py [ROOT]

base < codec < crypto < model < io < store < gateway | admin. The linker holds libraries to the
same order, but a header-only use (an inline function, an enum, a macro) links anyway; not here.
"""

import fnmatch
import os
import re
import sys

import tree

ORDER = ["base", "codec", "crypto", "model", "io", "store"]
# What each layer may include besides itself. gateway and admin never see each other. The
# programs stand on the far right, a room each: what all share sees neither side.
LEFT = {layer: ORDER[: i + 1] for i, layer in enumerate(ORDER)}
# Backends of the stores: to the right of store, linked by the programs that use them.
BACKENDS = {"common/store/redis/": "store_redis", "common/store/mongo/": "store_mongo"}
LEFT.update({backend: ORDER + [backend] for backend in BACKENDS.values()})
LEFT["gateway"] = ORDER + ["store_redis", "gateway"]
LEFT["admin"] = ORDER + ["store_redis", "store_mongo", "admin"]
LEFT["programs/process"] = ORDER + ["programs/process"]
LEFT["programs/smoke"] = ORDER + ["programs/process", "programs/smoke"]
LEFT["programs/gateway"] = LEFT["gateway"] + ["programs/process", "programs/gateway"]
LEFT["programs/admin"] = LEFT["admin"] + ["programs/process", "programs/smoke", "programs/admin"]
LEFT["programs/doorman"] = [*ORDER, "gateway", "admin", "programs/process", "programs/gateway",
                            "programs/admin", "programs/smoke", "programs/doorman"]

# Third-party headers and the only product files that may include them. A library is one wrapper's
# business; a room is named where the library is that room's whole subject.
WRAPPERS = {
    "uthash.h": ["common/base/map.c"],
    "utlist.h": ["common/base/list.h"],
    "cjson/*": ["common/codec/json.c"],
    "yaml.h": ["common/codec/yaml.c", "common/codec/yaml_write.c"],
    "pcre2.h": ["common/codec/regex.c"],
    "openssl/*": ["common/crypto/*.c", "common/io/tls.c"],
    "zlib.h": ["common/codec/deflate.c", "common/codec/gzip.c"],
    "sodium.h": ["common/crypto/password.c"],
    "crypt.h": ["common/crypto/password.c"],
    "llhttp.h": ["common/io/http1_parser.c", "common/io/http_response.c"],
    "ares.h": ["common/io/resolver.c"],
    "hiredis/*": ["common/store/redis/redis_reader.c"],
    "mongoc/*": ["common/store/mongo/*", "tests/served/store_mongo/*"],
    "microhttpd.h": ["common/io/admin_server*.c"],
    "cmocka.h": ["tests/unit/*", "tests/served/*"],
    "sanitizer/*": ["common/base/*.c"],
}

# The C library and the kernel: everybody's.
SYSTEM = re.compile(
    r"^((stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings"
    r"|time|ctype|errno|float|inttypes|limits|locale|math|setjmp|signal|wchar"
    r"|dirent|dlfcn|fcntl|fnmatch|getopt|glob|grp|ifaddrs|libgen|link|malloc|netdb|poll|pthread"
    r"|pwd|sched|semaphore|spawn|sysexits|syslog|termios|ucontext|unistd|utime|execinfo|endian"
    r"|byteswap)\.h"
    r"|(sys|net|netinet|arpa|linux|asm|bits)/[a-z0-9_]+\.h|assert\.h)$"
)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
FUZZ_LAYER = re.compile(r"/\* layer: ([a-z_]+) \*/")


def layer_of(path, text):
    """The layer a file belongs to, or None for a path that is in no layer."""
    parts = path.split("/")
    for folder, backend in BACKENDS.items():
        if path.startswith(folder):
            return backend
    if parts[0] == "common" and len(parts) > 2 and parts[1] in ORDER:
        return parts[1]
    if parts[0] in ("gateway", "admin"):
        return parts[0]
    if parts[0] == "programs" and len(parts) > 2:
        room = "/".join(parts[:2])
        return room if room in LEFT else None
    if parts[:2] in (["tests", "unit"], ["tests", "served"]) and len(parts) > 3:
        return parts[2] if parts[2] in LEFT else None
    if parts[:2] == ["tests", "fuzz"]:
        found = FUZZ_LAYER.match(text)
        return found.group(1) if found and found.group(1) in LEFT else "base"
    return None


def resolve(root, path, name):
    """The file an #include "name" in path means, below root, searched as the compiler does."""
    for base in (os.path.dirname(path), "", "common"):
        candidate = os.path.normpath(os.path.join(base, name))
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def check_own(root, path, layer, name, line, report):
    if name == f"embedded/{layer}_scripts.h":
        return  # made by cmake/embed.cmake from the layer's own scripts
    if name.startswith(".") or "/../" in name:
        report.add(path, line, f'"{name}" climbs: write it from common/ or the root')
        return
    target = resolve(root, path, name)
    if target is None:
        report.add(path, line, f'"{name}" is not in the tree (third-party ones go in <>)')
        return
    if target.startswith("tests/"):
        if not path.startswith("tests/"):
            report.add(path, line, f"the product includes a test's file {target}")
        return
    other = layer_of(target, "")
    if other is None:
        report.add(path, line, f"{target} belongs to no layer")
    elif other not in LEFT[layer]:
        report.add(path, line, f"layer {layer} includes {target}: {other} is not on its left")


def check_foreign(path, name, line, report):
    if SYSTEM.match(name):
        if name == "assert.h" and not path.startswith("tests/"):
            report.add(path, line, "<assert.h> outside tests: use base/assert.h")
        return
    for pattern, wrappers in WRAPPERS.items():
        if fnmatch.fnmatch(name, pattern):
            if not any(fnmatch.fnmatch(path, w) for w in wrappers):
                report.add(path, line, f"<{name}> belongs to {', '.join(wrappers)} alone")
            return
    report.add(path, line, f"<{name}> is unknown: name its wrapper in tests/checks/layers.py")


def check(root, report):
    n_files = 0
    for path in tree.c_files(root):
        text = tree.read(root, path)
        layer = layer_of(path, text)
        if layer is None:
            report.add(path, 1, "is in no layer")
            continue
        n_files += 1
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            if match.group(1) == '"':
                check_own(root, path, layer, match.group(2), line, report)
            else:
                check_foreign(path, match.group(2), line, report)
    return n_files


if __name__ == "__main__":
    sys.exit(tree.run("layers", check))
