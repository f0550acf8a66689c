# SPDX-License-Identifier: Apache-2.0
"""How fast the API answers with the server that comes with it: the version document and hashmap's
services, for one client (Q4); 1,000 mappings created one after the other and by 8 writers (C1), and
listed (C2); from the start of the process to its first answer, and its memory (B1).

Two worker processes, no authentication, loopback. Every answer is checked. The raw limit beside the
figures of Q4 is what the same server makes of an application that does nothing.
"""

import argparse
import compileall
import concurrent.futures
import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import common
import sqlalchemy as sa

from cloudkitty import network
from cloudkitty.db.engine import Database
from cloudkitty.rating.hashmap.models import mappings
from cloudkitty.storage.sqlalchemy import bulk
from cloudkitty.tests.functional.live import ROOT, LiveApi, write_configuration

HASHMAP = "/v1/rating/module_config/hashmap"

ROOT_TARGET, SERVICES_TARGET = 2000, 750
CREATE_TARGET = 500
LIST_SECONDS = 0.5
START_SECONDS, MEBIBYTES = 1.0, 80


class Client:
    """One connection that is kept open."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)

    def __call__(self, method: str, path: str, body: object = None) -> bytes:
        """Send *body* as JSON, or as it is when it is JSON already."""
        headers = {"Content-Type": "application/json"}
        content = body if body is None or isinstance(body, bytes) else json.dumps(body)
        self._connection.request(method, path, content, headers)
        answer = self._connection.getresponse()
        read = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {read!r}")
        return read


class BareClient:
    """One connection and one request, sent again and again: next to nothing of the time is its
    own."""

    def __init__(self, url: str, path: str) -> None:
        place = urllib.parse.urlsplit(url)
        self._socket = socket.create_connection((place.hostname, place.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()

    def __call__(self) -> None:
        self._socket.sendall(self._request)
        answer = self._socket.recv(65536)
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(65536)
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode())
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while len(body) < int(length[1]) if length else not body.endswith(b"0\r\n\r\n"):
            body += self._socket.recv(65536)


def rate(call: Callable[[], object], seconds: float) -> float:
    """Return how many calls a second are answered, after some to warm up."""
    for _ in range(50):
        call()
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in range(20):
            call()
        count += 20
    return count / (time.perf_counter() - begin)


@contextmanager
def idle_server() -> Iterator[str]:
    """Serve an application that does nothing, and yield its URL."""
    listener = network.listen("127.0.0.1", 0, "the server that does nothing")
    port = listener.getsockname()[1]
    program = (
        "import socket; from cloudkitty.cli import api;"
        f"listener = socket.socket(fileno={listener.fileno()});"
        "answer = lambda environ, start: (start('200 OK', [('Content-Length', '2')]), [b'ok'])[1];"
        "api.Server(answer, listener, workers=2, threads=4).run()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        pass_fds=[listener.fileno()],
        stdout=subprocess.PIPE,
    )
    listener.close()
    assert process.stdout is not None
    process.stdout.readline()
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def requests_per_second(url: str, seconds: float) -> None:
    with idle_server() as idle:
        raw = rate(BareClient(idle, "/"), seconds)
    client = Client(url)
    if json.loads(client("GET", "/"))["versions"][0]["id"] != "v1":
        raise RuntimeError("the version document is wrong")
    if json.loads(client("GET", f"{HASHMAP}/services")) != {"services": []}:
        raise RuntimeError("there are services")
    root = rate(BareClient(url, "/"), seconds)
    common.report("Q4 root", root, "requests/s", ROOT_TARGET, raw=raw)
    services = rate(BareClient(url, f"{HASHMAP}/services"), seconds)
    common.report("Q4 services", services, "requests/s", SERVICES_TARGET, raw=raw)


def rules(url: str, count: int) -> int:
    """Create mappings, and return how many there are then."""
    client = Client(url)
    service = json.loads(client("POST", f"{HASHMAP}/services", {"name": "instance"}))
    parent = {"name": "flavor", "service_id": service["service_id"]}
    field = json.loads(client("POST", f"{HASHMAP}/fields", parent))["field_id"]

    def create(client: Client, value: str) -> None:
        body = {"field_id": field, "value": value, "cost": "0.125", "type": "flat"}
        client("POST", f"{HASHMAP}/mappings", body)

    times = []
    for number in range(count):
        begin = time.perf_counter()
        create(client, f"flavor-{number}")
        times.append(time.perf_counter() - begin)
    first, last = sum(times[:100]), sum(times[-100:])
    common.report(
        "C1 one writer",
        count / sum(times),
        "mappings/s",
        CREATE_TARGET,
        last_hundred_to_first=last / first,
    )

    def many(writer: int) -> None:
        own = Client(url)
        for number in range(count // 8):
            create(own, f"writer-{writer}-{number}")

    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(many, range(8)))
    elapsed = time.perf_counter() - begin
    common.report("C1 eight writers", count // 8 * 8 / elapsed, "mappings/s", CREATE_TARGET)

    return count + count // 8 * 8


def listed(url: str, database: Database, there: int, total: int) -> None:
    """List *total* mappings, of which *there* are there; the others are copies of one of them."""
    client = Client(url)
    copies = range(total - there)
    with database.writer() as connection:
        row = connection.execute(sa.select(mappings).limit(1)).one()._asdict()
        del row["id"]
        for piece in bulk.chunks(copies):
            rows = [
                row
                | {"value": f"copy-{n}", "slot": new.bytes}
                | dict.fromkeys(("mapping_id", "name", "live_name"), str(new))
                for n, new in ((n, uuid.uuid4()) for n in piece)
            ]
            connection.execute(sa.insert(mappings), rows)
    found = json.loads(client("GET", f"{HASHMAP}/mappings"))["mappings"]
    if len({one["mapping_id"] for one in found}) != total:
        raise RuntimeError(f"{len(found)} mappings are listed, not {total}")
    took = common.median_seconds(lambda: lambda: client("GET", f"{HASHMAP}/mappings"), 5)
    common.report("C2 list of mappings", took, "s", LIST_SECONDS * total / 10_000, work=total)


def start(config: pathlib.Path, repeat: int) -> None:
    """Time from spawning the command to its first answer, and the memory of its processes."""
    # As an installed package is, whatever the environment says of this tree.
    compileall.compile_dir(ROOT / "cloudkitty", quiet=1)
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        server = LiveApi(config)
        Client(server.url)("GET", "/")
        times.append(time.perf_counter() - begin)
        memory = common.proportional_mib(server.process.pid)
        server.stop()
    common.report("B1 start", sorted(times)[len(times) // 2], "s", START_SECONDS)
    common.report("B1 memory of a process", max(memory), "MiB", MEBIBYTES, total=sum(memory))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a MariaDB or PostgreSQL server; else SQLite")
    parser.add_argument("--seconds", type=float, default=3, help="for each figure of Q4")
    parser.add_argument("--mappings", type=int, default=1000)
    options = parser.parse_args()
    with (
        common.fresh_database(options.database) as (_, database),
        tempfile.TemporaryDirectory() as name,
    ):
        config = write_configuration(pathlib.Path(name), database.url)
        start(config, 3)
        server = LiveApi(config)
        try:
            requests_per_second(server.url, options.seconds)
            there = rules(server.url, options.mappings)
            for total in (there, max(there, 10_000)):
                listed(server.url, database, there, total)
                there = total
        finally:
            server.stop()


if __name__ == "__main__":
    main()
