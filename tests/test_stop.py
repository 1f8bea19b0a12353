"""Signals are taken note of once, then obeyed; time runs out by the clock that is given."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from bench.stop import EXIT_CODES, Stop


def test_exit_codes_are_the_shells() -> None:
    assert {name: 128 + signal.Signals[name] for name in EXIT_CODES} == EXIT_CODES


@pytest.mark.parametrize("name", EXIT_CODES)
def test_a_signal_is_a_reason(name: str) -> None:
    before = signal.getsignal(signal.Signals[name])
    with Stop() as stop:
        assert (stop.reason, stop.asked) == ("", False)
        os.kill(os.getpid(), signal.Signals[name])
        assert (stop.reason, stop.asked) == (name, True)
    assert signal.getsignal(signal.Signals[name]) == before


def test_who_asks_again_does_not_wait() -> None:
    """But a SIGTERM that comes twice at once, by way of what runs the process perhaps, is one."""
    now = [0.0]
    with Stop(clock=lambda: now[0]) as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.reason == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_sigterm_ends_the_process() -> None:
    code = (
        "import os, signal\n"
        "from bench.stop import Stop\n"
        "now = [0.0]\n"
        "with Stop(clock=lambda: now[0]):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    now[0] = 2.0\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "", "")


def test_time_runs_out() -> None:
    now = [5.0]
    stop = Stop(10.0, lambda: now[0])
    now[0] = 15.0
    assert not stop.reason
    now[0] = 15.1
    assert (stop.reason, stop.asked) == ("time limit", False)


def test_elsewhere_than_in_the_main_thread_nobody_listens() -> None:
    before, found = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with Stop() as stop:
            found.append((stop.reason, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [("", before)]
