"""What every test may use: a fresh database of each kind. And what holds for each: it leaves nothing switched on."""

import base64
import hashlib
import os
import sqlite3
import uuid
from urllib.parse import urlsplit

import pytest

import ragmeter
import ragmeter.tokens

POSTGRES = os.environ.get("RAGMETER_TEST_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/postgres"
REDIS = os.environ.get("RAGMETER_TEST_REDIS_URL") or "redis://127.0.0.1:6379/0"
MYSQL = os.environ.get("RAGMETER_TEST_MYSQL_URL") or "mysql://root@127.0.0.1:3306/mysql"


def connect(url):
    """A plain connection, by a driver that has nothing to do with ragmeter."""
    parts = urlsplit(url)
    if parts.scheme == "postgresql":
        import psycopg

        return psycopg.connect(url, autocommit=True)
    import pymysql

    return pymysql.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username or "root", password=parts.password or "",
        database=parts.path.lstrip("/"), autocommit=True,
    )  # fmt: skip


def make_database(server):
    """A new database on a server; its URL and what removes it."""
    name = f"ragmeter_test_{uuid.uuid4().hex[:12]}"
    with connect(server) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name}")

    def remove():
        force = " WITH (FORCE)" if server.startswith("postgresql") else ""
        with connect(server) as connection:
            connection.cursor().execute(f"DROP DATABASE {name}{force}")

    return urlsplit(server)._replace(path=f"/{name}").geturl(), remove


@pytest.fixture(scope="session")
def new_database(tmp_path_factory):
    """Makes databases that last for more than one test: `sqlite`, `postgresql` or `mysql` to a URL."""
    removals = []

    def make(kind):
        if kind == "sqlite":
            return f"sqlite:{tmp_path_factory.mktemp('database')}/ledger.db"
        url, remove = make_database(POSTGRES if kind == "postgresql" else MYSQL)
        removals.append(remove)
        return url

    yield make
    for remove in removals:
        remove()


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database(request, tmp_path):
    """The URL of a fresh database."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/ledger.db"
        return
    url, remove = make_database(POSTGRES if request.param == "postgresql" else MYSQL)
    yield url
    remove()


@pytest.fixture(params=["sqlite", "postgresql", "mysql", "redis"])
def sums(request, tmp_path):
    """The URL of a fresh place for the sums of a quota."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/ledger.db"
        return
    if request.param == "redis":
        name = f"ragmeter-test-{uuid.uuid4().hex}"
        yield f"{REDIS}?namespace={name}"
        from redis import Redis

        with Redis.from_url(REDIS) as client:
            for key in client.scan_iter(f"{{{name}}}:*", count=1000):
                client.delete(key)
        return
    url, remove = make_database(POSTGRES if request.param == "postgresql" else MYSQL)
    yield url
    remove()


@pytest.fixture
def tamper():
    """Runs a statement on a database behind ragmeter's back."""

    def run(url, statement):
        if url.startswith("sqlite:"):
            with sqlite3.connect(url.removeprefix("sqlite:")) as connection:
                connection.execute(statement)
            connection.close()
        else:
            with connect(url) as connection:
                connection.cursor().execute(statement)

    return run


@pytest.fixture(autouse=True)
def nothing_stays_observed():
    yield
    ragmeter.uninstrument()
    assert ragmeter.current_scope() is None


@pytest.fixture(scope="session")
def tiktoken_files(tmp_path_factory):
    """A folder with the vocabularies of ragmeter as tiktoken's files, of which it checks the sha256."""
    folder = tmp_path_factory.mktemp("tiktoken")
    for name in ("cl100k_base", "o200k_base", "p50k_base", "r50k_base"):
        encoding = ragmeter.tokens.get_encoding(name)
        lines = []
        for token in range(encoding.max_token_value + 1):
            if not encoding.is_special_token(token):
                try:
                    text = encoding.decode_single_token_bytes(token)
                except KeyError:
                    continue
                lines.append(base64.b64encode(text) + b" " + str(token).encode() + b"\n")
        url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
        (folder / hashlib.sha1(url.encode()).hexdigest()).write_bytes(b"".join(lines))
    return folder
