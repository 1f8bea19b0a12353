"""The report of a run as it goes on: a page on this machine that keeps itself up to date.

    python -m bench.report RUN --serve

Reads the journal and writes nothing, so that it may run beside the sweep. Nobody else can reach it: it
listens to this machine alone, and answers only who calls it by that name (or any page in a browser could ask
for it under a name of its own).
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from bench.data import Dataset
from bench.errors import ConvoyError, brief
from bench.record import RecordError, Results
from bench.report.charts.static import draw
from bench.report.material import gather
from bench.report.reports import reports
from bench.report.views import told
from bench.timing import Clock

HOST, PORT = "127.0.0.1", 8400
_PAUSE_S = 3.0  # between two pages made anew
_LAST_LOOK_S = 15.0
_POLL_MS = 4000
_SCRIPT = """<script>
const shown = "{version}"
const asking = setInterval(async () => {{
  try {{ if (await (await fetch("version")).text() !== shown) location.reload() }}
  catch {{ clearInterval(asking) }}  // the run has ended, and this page stays
}}, {poll_ms})
</script>
</body>"""


class Pages:
    """The report's page, made when it is asked for.

    Args:
        workdir: the run directory.
        data_dir: where data sets lie.
        clock: seconds, monotonic.
    """

    def __init__(
        self, workdir: Path, data_dir: Path | str | None = None, clock: Clock = time.monotonic
    ):
        self.workdir, self.data_dir, self._clock = workdir, data_dir, clock
        self._page, self._made, self._version = b"", -_PAUSE_S, ""
        self._dataset: Dataset | None = None

    @property
    def version(self) -> str:
        """Changes with the journal, every few seconds at most."""
        self._make()
        return self._version

    def page(self) -> bytes:
        """HTML.

        Raises:
            RecordError: there is no run directory, or it is damaged.
        """
        self._make()
        return self._page

    def _make(self) -> None:
        if self._clock() - self._made < _PAUSE_S:
            return
        journal = self.workdir / "journal.jsonl"
        try:
            version = str(journal.stat().st_size)
        except OSError as error:
            raise RecordError(f"{self.workdir} holds no journal: is it a run directory?") from error
        self._made = self._clock()
        if version == self._version:
            return
        results = Results.read(self.workdir)
        with told(self.workdir):
            material = gather(self.workdir, results, self._dataset, self.data_dir)
            html = reports(material, draw({}))["report.html"].decode()
        self._dataset = material.dataset
        html = html.replace("default-src 'none';", "default-src 'none'; connect-src 'self';", 1)
        before, _, after = html.rpartition("</body>")
        script = _SCRIPT.format(version=version, poll_ms=_POLL_MS)
        self._page, self._version = f"{before}{script}{after}".encode(), version


class Server(HTTPServer):
    """Serves a run's page.

    Args:
        pages: of the run.
        port: 0 for any that is free.

    Raises:
        RecordError: the port is taken.
    """

    timeout = 1.0

    def __init__(self, pages: Pages, port: int = PORT):
        self.pages = pages
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise RecordError(
                f"port {port} cannot be had ({brief(error)}): give another, or 0 for any"
            ) from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/"

    @property
    def names(self) -> tuple[str, str]:
        """By which it may be called."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"

    def serve(self, over: Callable[[], bool] = lambda: False) -> None:
        """Answers until it is over."""
        while not over():
            self.handle_request()


def orphaned(clock: Clock = time.monotonic) -> Callable[[], bool]:
    """Whether the process that started this one has ended, and whoever looks has had time to see how."""
    parent, since = os.getppid(), math.inf

    def over() -> bool:
        nonlocal since
        if os.getppid() != parent:
            since = min(since, clock())
        return clock() - since > _LAST_LOOK_S

    return over


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        """The page, its version, or what is wrong with the run."""
        pages = self.server.pages
        if self.headers.get("Host") not in self.server.names:
            self._answer(403, b"ask by the address that was printed", "text/plain")
            return
        try:
            match self.path:
                case "/":
                    self._answer(200, pages.page(), "text/html")
                case "/version":
                    self._answer(200, pages.version.encode(), "text/plain")
                case _:
                    self._answer(404, b"nothing here", "text/plain")
        except ConvoyError as error:
            self._answer(503, str(error).encode(errors="replace"), "text/plain")

    def _answer(self, code: int, content: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        if code == 503:  # a run that has not begun yet
            self.send_header("Refresh", "3")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Nothing: the terminal is the sweep's."""


def beside(workdir: Path, data_dir: Path | str | None) -> tuple[str, subprocess.Popen]:
    """Serves the page of a run that is about to begin, from a process of its own: its address, and that.

    It does not hear the terminal's Ctrl-C, takes less of the processor than the sweep, and ends a while after
    this process has.

    Raises:
        RecordError: it does not start; why, it has said itself.
    """
    command = [sys.executable, "-m", "bench.report", str(workdir), "--serve=0", "--orphaned"]
    command += [f"--data_dir={data_dir}"] if data_dir else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with process.stdout as said:  # type: ignore[union-attr]
        url = said.readline().strip()
    if not url:
        process.wait()
        raise RecordError("the page of --live does not start: leave it out")
    return url, process
