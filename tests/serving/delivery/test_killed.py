"""A delivery is killed at random moments: readers see whole versions, and the next one finishes."""

import multiprocessing
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from conf.runs.managing import run_deliver
from tests.serving.delivery.readers import Lists, Site
from tests.serving.delivery.shops import config_of, lists_of, write_lists

USERS = 3000
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["serving.delivery.deliver", "psycopg", "redis", "boto3", __name__])


def deliver_now(workspace: Path, settings: dict[str, Any], begins: Any) -> None:
    """Deliver, in a process of its own."""
    config = config_of(workspace, there=settings)
    begins.set()
    run_deliver(config)


class Poll(threading.Thread):
    """A reader that reads again and again, and notes what it sees."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self.seen: list[Lists] = []
        self._site, self._is_over = site, threading.Event()

    def run(self) -> None:
        while not self._is_over.is_set():
            self.seen.append(self._site.read("lists"))
            time.sleep(0.002)

    def end(self) -> None:
        self._is_over.set()
        self.join()


@pytest.mark.parametrize("kind", ["jsonl", "postgresql", "redis", "s3"])
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_delivery_is_never_half_seen(tmp_path: Path, site: Site, kills: int) -> None:
    chance = random.Random(kills)
    write_lists(tmp_path, lists_of(USERS, "v0"))
    config = config_of(tmp_path, there=site.settings)
    started = time.monotonic()
    run_deliver(config)
    usual_seconds = time.monotonic() - started
    cut_off = 0
    for number in range(1, kills + 1):
        write_lists(tmp_path, lists_of(USERS, f"v{number}"))
        old, new = lists_of(USERS, f"v{number - 1}"), lists_of(USERS, f"v{number}")
        poll, begins = Poll(site), CONTEXT.Event()
        process = CONTEXT.Process(target=deliver_now, args=(tmp_path, site.settings, begins))
        poll.start()
        process.start()
        assert begins.wait(60)
        time.sleep(chance.uniform(0, 1.2) * usual_seconds)
        process.kill()
        process.join()
        cut_off += process.exitcode != 0
        between = site.read("lists")
        assert between in (old, new)
        run_deliver(config)
        poll.end()
        assert poll.seen
        assert all(one in (old, new) for one in poll.seen)
        assert site.read("lists") == new
        assert len(site.versions()) <= 3  # the current one and two that are kept
    assert cut_off  # else nothing was tested
