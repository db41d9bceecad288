"""An object store: conditions, large files, objects that stay, and what this machine lacks."""

import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from conf.errors import ConfigError, StorageError, TargetDownError
from conf.runs.managing import run_deliver
from conf.settings.publishing.deliver import S3Target
from conf.workspace.pointers import publish
from serving.delivery.s3_store import Store
from tests.serving.delivery import servers
from tests.serving.delivery.readers import Site, at_port
from tests.serving.delivery.servers import require_no_password
from tests.serving.delivery.shops import config_of, deliver, lists_of, write_lists


class _Store(BaseHTTPRequestHandler):
    """Answers with a code and a body."""

    def answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("ETag", '"a"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def content(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(handler: type[_Store]) -> Iterator[int]:
    """Run a store; yield its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@contextmanager
def store_without_conditions() -> Iterator[int]:
    """Run a store that writes every object, whatever the conditions."""
    objects: dict[str, bytes] = {}

    class Handler(_Store):
        def do_PUT(self) -> None:
            objects[self.path] = self.content()
            self.answer(200)

        def do_GET(self) -> None:
            self.answer(200 if self.path in objects else 404, objects.get(self.path, b""))

        def do_HEAD(self) -> None:
            self.answer(200 if self.path in objects else 404)

        def do_DELETE(self) -> None:
            objects.pop(self.path, None)
            self.answer(204)

    with served(Handler) as port:
        yield port
    assert not objects  # the probe is removed


@pytest.mark.parametrize("kind", ["s3"])
def test_a_store_that_ignores_conditions_is_refused(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    with store_without_conditions() as port:
        config = config_of(tmp_path, there=at_port(site, port))
        with pytest.raises(ConfigError, match="ignores the conditions If-Match and If-None-Match"):
            run_deliver(config)


@contextmanager
def store_that_keeps(code: str) -> Iterator[int]:
    """Run a store that answers each request to delete with success, and with an object it keeps."""
    answer = (
        f"<DeleteResult><Error><Key>a</Key><Code>{code}</Code><Message>It stays</Message></Error>"
        "</DeleteResult>"
    ).encode()

    class Handler(_Store):
        def do_POST(self) -> None:
            self.content()
            self.answer(200, answer)

    with served(Handler) as port:
        yield port


@pytest.mark.parametrize("kind", ["s3"])
@pytest.mark.parametrize(
    ("code", "error"),
    [("AccessDenied", ConfigError), ("InternalError", TargetDownError), ("NoSuchKey", None)],
)
def test_objects_that_a_store_keeps_are_told(site: Site, code: str, error: Any) -> None:
    with store_that_keeps(code) as port:
        target = S3Target.model_validate(at_port(site, port))
        with closing(Store("deliver.there", target)) as store:
            if error is None:
                store.delete(["a"])
                return
            with pytest.raises(error, match="1 of the objects, such as a: It stays") as caught:
                store.delete(["a"])
    require_no_password(caught.value)


def test_an_address_of_a_store_that_is_none_is_a_wrong_configuration(tmp_path: Path) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    there = {"kind": "s3", "bucket": "shop", "endpoint_url": "http://a b"}
    with pytest.raises(ConfigError, match=r"deliver.there: .*correct its settings"):
        run_deliver(config_of(tmp_path, there=there))


@pytest.mark.parametrize("kind", ["s3"])
def test_a_failure_of_this_machine_stops_no_other_target(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a canary, files for the store are made in the folder of temporary files."""
    write_lists(tmp_path, lists_of(9, "a"))
    canary = write_lists(tmp_path, lists_of(9, "b"), is_published=False)
    publish(tmp_path, "lists", canary, "2026-05-31", share=0.5)
    files = {"kind": "csv", "path": f"{tmp_path}-files"}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    other = {**site.settings, "prefix": "other"}
    config = config_of(tmp_path, one=site.settings, two=files, three=other)
    with pytest.raises(
        StorageError, match=r"not delivered to one, three\. deliver\.one: "
    ) as caught:
        run_deliver(config)
    told = (caught.value.made or {})["delivered"]
    assert {name: one["status"] for name, one in told.items()} == {
        "one": "failed", "two": "delivered", "three": "failed",
    }  # fmt: skip
    assert site.versions() == set()  # what was written so far is removed


@pytest.mark.parametrize("kind", ["s3"])
def test_large_files_are_uploaded_in_parts(tmp_path: Path, site: Site) -> None:
    noise = random.Random(1)
    lists = {f"u{user}": [noise.randbytes(400).hex()] for user in range(8_000)}
    version = write_lists(tmp_path, lists, parts=1)
    part = tmp_path / "lists" / version / "part-00000.parquet"
    assert part.stat().st_size > 5 << 20
    deliver(tmp_path, site, part_mib=5)
    client = servers.s3_client(site.settings["endpoint_url"])
    begin = site.settings["prefix"]
    (name,) = (
        one["Key"]
        for one in client.list_objects_v2(Bucket="shop-lists", Prefix=begin)["Contents"]
        if one["Key"].endswith(".parquet")
    )
    assert client.head_object(Bucket="shop-lists", Key=name)["ETag"].count("-") == 1
    # A killed upload is aborted by the next delivery.
    left = f"{begin}/000001_0123abcd/part-00000.parquet"
    mark = left.replace("part-00000.parquet", ".headrace")
    client.put_object(Bucket="shop-lists", Key=mark, Body=b"")
    client.create_multipart_upload(Bucket="shop-lists", Key=left)
    assert deliver(tmp_path, site, part_mib=5)["status"] == "current"
    found = client.list_multipart_uploads(Bucket="shop-lists", Prefix=begin).get("Uploads", [])
    assert found == []
