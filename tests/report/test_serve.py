"""The page that follows a run: over real sockets, with a clock that the test moves."""

import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from made_up_sweep import FINISH, RUN, begin, epoch, program

from bench.record import Journal, RecordError
from bench.report import serve
from bench.report.serve import Pages, Server, orphaned
from bench.trial import Trial


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@contextmanager
def served(pages):
    over = threading.Event()
    with Server(pages, 0) as server:
        server.timeout = 0.01
        thread = threading.Thread(target=server.serve, args=(over.is_set,))
        thread.start()
        try:
            yield server
        finally:
            over.set()
            thread.join()


def get(server, path="", **headers):
    request = urllib.request.Request(server.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def journal(tmp_path):
    trial = Trial.create({"epochs": 2}, {})
    with Journal(tmp_path / "journal.jsonl") as written:
        written.append(RUN, program("p"), begin(trial, "p"), epoch(trial, 1, 0.625))
    return tmp_path, trial


def test_the_page_follows_the_journal(journal):
    workdir, trial = journal
    clock = Clock()
    with served(Pages(workdir, clock=clock)) as server:
        status, page = get(server)
        assert status == 200
        assert "62.5 %" in page
        version = get(server, "version")[1]
        assert f'const shown = "{version}"' in page
        with Journal(workdir / "journal.jsonl") as written:
            written.append(epoch(trial, 2, 0.875), FINISH)
        assert get(server, "version")[1] == version  # not again so soon
        clock.now += 10
        assert get(server, "version")[1] != version
        assert "87.5 %" in get(server)[1]


def test_the_page_may_ask_its_own_server_and_nobody_else(journal):
    with served(Pages(journal[0])) as server:
        page = get(server)[1]
    assert "default-src 'none'; connect-src 'self';" in page
    assert page.index("asking") < page.rindex("</body>")


def test_who_calls_by_another_name_is_refused(journal):
    with served(Pages(journal[0])) as server:
        assert get(server, Host="example.com")[0] == 403
        assert get(server, Host=f"localhost:{server.server_port}")[0] == 200
        assert get(server, "../../etc/passwd")[0] == 404


def test_a_run_that_has_not_begun_is_waited_for(tmp_path):
    with served(Pages(tmp_path / "none")) as server:
        status, text = get(server)
    assert status == 503
    assert text == f"{tmp_path / 'none'} holds no journal: is it a run directory?"


def test_a_forged_journal_is_one_line(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as written:
        written.append({**RUN, "data": 7})
    with served(Pages(tmp_path)) as server:
        status, text = get(server)
    assert status == 503
    assert "\n" not in text


def test_a_port_that_is_taken_is_one_line(journal):
    pages = Pages(journal[0])
    with Server(pages, 0) as first, pytest.raises(RecordError, match="give another, or 0 for any"):
        Server(pages, first.server_port)


def test_it_ends_a_while_after_the_sweep(monkeypatch):
    clock = Clock()
    over = orphaned(clock)
    clock.now += 1000
    assert not over()
    monkeypatch.setattr(serve.os, "getppid", lambda: 1)
    assert not over()
    clock.now += 14
    assert not over()
    clock.now += 2
    assert over()


def test_beside_a_sweep(journal):
    """The real command: it answers, and would end after this process."""
    url, process = serve.beside(journal[0], None)
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert b"62.5 %" in answer.read()
    finally:
        process.kill()
        process.wait()
