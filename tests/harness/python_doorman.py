"""What a Python Doorman left behind (tests/fixtures/python_doorman), and who starts on it."""

import importlib.util
import json
import pathlib
import shutil
import time

import bson.json_util
import jwt

from harness import platform
from harness.process import ADMIN_PASSWORD, ROOT, Doorman
from harness.split import Split

FOLDER = ROOT / "tests" / "fixtures" / "python_doorman"

# Not unique here are the ones that the Python Doorman made so.
INDEXES = {
    "users": [(["username"], True), (["email"], True)],
    "roles": [(["role_name"], True)],
    "groups": [(["group_name"], True)],
    "subscriptions": [(["username"], True)],
    "apis": [(["api_id"], True), (["api_name", "api_version"], False)],
    "endpoints": [(["endpoint_method", "api_name", "api_version", "endpoint_uri"], True)],
    "endpoint_validations": [(["endpoint_id"], True)],
    "routings": [(["client_key"], True)],
    "credit_defs": [(["api_credit_group"], True)],
    "user_credits": [(["username"], True)],
    "vault_entries": [(["username", "key_name"], True), (["username"], False)],
    "tiers": [(["tier_id"], True), (["name"], False)],
}


def generator():
    spec = importlib.util.spec_from_file_location("python_doorman_generate",
                                                  FOLDER / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made = generator()

SETTINGS = {"JWT_SECRET_KEY": made.JWT_SECRET, "TOKEN_ENCRYPTION_KEY": made.TOKEN_ENCRYPTION_KEY}


def documents():
    return bson.json_util.loads((FOLDER / "mongodb.json").read_text())


def fill_mongodb(database):
    for collection, keys in INDEXES.items():
        for fields, unique in keys:
            database[collection].create_index([(f, 1) for f in fields], unique=unique)
    for collection, rows in documents().items():
        database[collection].insert_many(rows)


def fill_redis(server):
    for command in json.loads((FOLDER / "redis.json").read_text()):
        server.command(*command)


def token(username, jti, **claims):
    """As the Python Doorman signed them: no iat, no nbf, no token_use."""
    payload = {"sub": username, "role": "developer", "exp": int(time.time()) + 600, "jti": jti,
               "accesses": {"ui_access": True}, **claims}
    return jwt.encode(payload, made.JWT_SECRET, "HS256", headers={"kid": "legacy-key"})


def on_stores(folder, **settings):
    """Two programs, not started yet, on stores that a Python Doorman filled."""
    split = Split(folder, {**SETTINGS, **settings})
    with split.mongo.database(split.database) as database:
        fill_mongodb(database)
    split.redis.start()
    fill_redis(split.redis)
    split.admin_password = made.PASSWORDS["admin"]  # what is stored there decides
    split.admin_email = "admin@python.example"
    return split


def on_dump(folder, name, **settings):
    """One program, not started yet, with a dump where it looks for one."""
    generated = pathlib.Path(folder) / "generated"
    generated.mkdir(parents=True, exist_ok=True)
    shutil.copy(FOLDER / name, generated / "memory_dump.bin")
    one = Doorman(folder, {**SETTINGS, "MEM_ENCRYPTION_KEY": made.MEM_ENCRYPTION_KEY, **settings})
    one.admin_password = ADMIN_PASSWORD  # the environment's, at every start
    one.admin_email = "admin@doorman.dev"
    return one


def point_at(admin, url):
    """The upstream of the fixtures has no address; the administrator gives it one."""
    for name in made.API_IDS:
        platform.expect(admin.put(f"/platform/api/{name}/v1", json={"api_servers": [url]}), 200)
