from collections.abc import Callable
from io import StringIO

import pytest
from made_up_sweep import FINISH, RUN, Event, begin, end, epoch, failed, program, train
from rich.console import Console
from rich.text import Text

from bench.record import Results
from bench.report import Progress, final
from bench.trial import Trial

Read = Callable[[list[Event]], Results]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> Console:
    return Console(file=StringIO(), force_terminal=False, width=80)


@pytest.fixture
def terminal() -> Console:
    return Console(file=StringIO(), force_terminal=True, width=100, _environ={"TERM": "xterm"})


def lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def small() -> Results:
    """Two trials of two epochs; the first has trained one."""
    trials = [Trial.create({"features": features, "epochs": 2}, {}) for features in (8, 16)]
    results = Results()
    told = [RUN, program("p"), *(begin(trial, "p") for trial in trials)]
    for event in [*told, train("p", 9.0, warmup=True), train("p", 0.25), epoch(trials[0], 1, 0.75)]:
        results.add(event)
    return results


def test_a_log_has_a_plain_line_every_few_seconds(log: Console, clock: Clock) -> None:
    results = small()
    with Progress(log, planned=2, clock=clock) as progress:
        for seconds in range(11):
            clock.now = 100.0 + seconds
            progress.refresh(results, 2, seconds // 2, 10)
    best = "25.0 ms/step; best: validation accuracy 75.0 % with features=8"
    assert lines(log) == [
        f"  0%  0 of 2 trials done, 2 lanes busy; 0 s elapsed, time left unknown, {best}",
        f" 20%  0 of 2 trials done, 2 lanes busy; 5 s elapsed, about 20 s left, {best}",
        f" 50%  0 of 2 trials done, 2 lanes busy; 10 s elapsed, about 10 s left, {best}",
    ]


def test_the_last_state_is_always_told(log: Console, clock: Clock) -> None:
    results = small()
    with Progress(log, planned=2, clock=clock) as progress:
        progress.refresh(results, 2, 1, 4)
        for record in list(results.trials.values()):
            results.add(epoch(record.trial, 2, 0.875))
            results.add(end(record.trial))
        clock.now += 1
        progress.refresh(results, 0, 4, 4)
    assert len(lines(log)) == 2
    assert lines(log)[-1].startswith(
        "100%  2 of 2 trials done, 0 lanes busy; 1 s elapsed, about 0 s left"
    )
    assert "87.5 %" in lines(log)[-1]


def test_the_pace_leaves_out_what_came_before_the_first_look(log: Console, clock: Clock) -> None:
    with Progress(log, planned=2, clock=clock, every_s=0) as progress:
        clock.now += 60  # compiling
        progress.refresh(small(), 2, 10, 20)  # a resumed sweep
        clock.now += 1
        progress.refresh(small(), 2, 11, 20)
    assert "1 min 1 s elapsed, about 9 s left" in lines(log)[-1]


def test_without_epochs_trials_are_counted(log: Console, clock: Clock) -> None:
    results = small()
    results.add(end(next(iter(results.trials.values())).trial))
    with Progress(log, planned=4, clock=clock) as progress:
        progress.refresh(results, 1)
    assert lines(log)[0].startswith(" 25%  1 of 4 trials done")


def test_a_warmup_is_no_speed(log: Console, clock: Clock) -> None:
    results = Results()
    for event in (RUN, program("p"), train("p", 9.0, warmup=True)):
        results.add(event)
    with Progress(log, planned=1, clock=clock) as progress:
        progress.refresh(results, 1, 0, 4)
    assert "unknown ms/step; best: unknown" in lines(log)[0]


def test_a_step_of_accumulated_batches_names_the_smallest(log: Console, clock: Clock) -> None:
    results = Results()
    for event in (RUN, program("p", batch_sizes=[32, 64], microbatch=16), train("p", 0.25)):
        results.add(event)
    with Progress(log, planned=1, clock=clock) as progress:
        progress.refresh(results, 1, 0, 4)
    assert "50.0 ms/step at batch size 32; best" in lines(log)[0]


def test_messages_are_not_wrapped_nor_read_as_markup(log: Console, clock: Clock) -> None:
    text = "[red]" + 40 * "long " + "[/nothing]"
    with Progress(log, planned=1, clock=clock) as progress:
        progress.message(text)
    assert lines(log) == [text]


def test_a_terminal_shows_the_same_facts_in_place(terminal: Console, clock: Clock) -> None:
    with Progress(terminal, planned=2, clock=clock) as progress:
        progress.message("Compiling p.")
        progress.refresh(small(), 2, 1, 4)
    text = terminal.file.getvalue()
    for fact in ("25%", "0 of 2 trials done, 2 lanes busy", "75.0 %", "features=8", "25.0 ms/step"):
        assert fact in text
    assert "Compiling p." in text
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_a_terminal_is_redrawn_at_most_four_times_a_second(terminal: Console, clock: Clock) -> None:
    results = small()
    with Progress(terminal, planned=2, clock=clock) as progress:
        for i in range(1000):
            clock.now = 100.0 + i / 1000
            progress.refresh(results, 2, 1, 4)
    # Four, the last state, and Live's own last.
    assert terminal.file.getvalue().count("lanes busy") <= 6


def test_drawing_scores_no_trial_again(
    log: Console, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Results, "ranked")
    calls = []
    score = Results.score
    results = small()
    first = next(iter(results.trials.values())).trial
    with Progress(log, planned=2, clock=clock, every_s=0) as progress:
        progress.refresh(results, 2, 1, 4)
        monkeypatch.setattr(Results, "score", lambda *a: calls.append(1) or score(*a))
        for _ in range(20):
            progress.refresh(results, 2, 1, 4)
        results.add(epoch(first, 2, 0.875))
        progress.refresh(results, 2, 2, 4)
    assert len(calls) == 1, "the new epoch's own"
    assert "87.5 %" in lines(log)[-1]


def test_programs_and_what_ended_last_have_lines(terminal: Console, clock: Clock) -> None:
    trials = [Trial.create({"features": features, "epochs": 2}, {}) for features in (8, 16, 24)]
    results = Results()
    told = [RUN, program("aa", [t.id for t in trials[:2]]), program("bb"), begin(trials[0], "aa"),
            begin(trials[2], "bb"), train("aa", 0.25), epoch(trials[0], 1, 0.75),
            end(trials[0], "diverged", error="no longer finite")]  # fmt: skip
    for event in told:
        results.add(event)
    with Progress(terminal, planned=3, clock=clock) as progress:
        progress.refresh(results, 2, 1, 6)
    text = " ".join(Text.from_ansi(terminal.file.getvalue()).plain.split())
    assert f"Newest: {trials[0].id} diverged: no longer finite with features=8" in text
    assert "50% aa 1 of 2 trials, 25.0 ms/step" in text
    assert "0% bb 0 of 1 trials, unknown ms/step" in text


def test_verbose_tells_each_trials_end_once(log: Console, clock: Clock) -> None:
    results = small()
    with Progress(log, planned=2, clock=clock, every_s=99, verbose=True) as progress:
        for record in list(results.trials.values()):
            results.add(epoch(record.trial, 2, 0.875))
            results.add(end(record.trial))
            progress.refresh(results, 1, 1, 4)
            progress.refresh(results, 1, 1, 4)
    told = [line for line in lines(log) if "completed:" in line]
    assert told == [
        f"{trial} completed: validation accuracy 87.5 % with features={features}"
        for trial, features in zip(results.trials, (8, 16), strict=True)
    ]


def test_many_programs_are_counted_instead(terminal: Console, clock: Clock) -> None:
    results = Results()
    for event in (RUN, *(program(f"p{n}", ["t"]) for n in range(9))):
        results.add(event)
    with Progress(terminal, planned=9, clock=clock) as progress:
        progress.refresh(results, 0, 0, 9)
    text = terminal.file.getvalue()
    assert "3 more programs, 0 of them done" in text
    assert "p5" in text
    assert "p6" not in text


def test_an_error_in_the_loop_gives_the_terminal_back(terminal: Console, clock: Clock) -> None:
    def loop() -> None:
        with Progress(terminal, planned=2, clock=clock) as progress:
            progress.refresh(small(), 2, 1, 4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert terminal.file.getvalue().endswith("\x1b[?25h")


def test_no_color_is_respected(clock: Clock) -> None:
    environment = {"TERM": "xterm-256color", "NO_COLOR": "1"}
    console = Console(file=StringIO(), force_terminal=True, width=100, _environ=environment)
    with Progress(console, planned=2, clock=clock) as progress:
        progress.refresh(small(), 2, 1, 4)
    assert "\x1b[3" not in console.file.getvalue()


def test_final_prints_every_table(read: Read, events: list[Event], log: Console) -> None:
    final(log, read([*events, FINISH]))
    titles = {"Best 10 of 48 trials", "Timing", "Programs", "Totals", "Conditions"}
    assert titles <= set(lines(log))
    assert "Failed trials" not in lines(log)


def test_final_says_why_trials_failed(log: Console) -> None:
    results = small()
    for event in failed(Trial.create({"features": 999}, {}), "needs 41.2 GB; narrow it"):
        results.add(event)
    final(log, results)
    text = log.file.getvalue()
    assert "Failed trials" in text
    assert "features=999" in text
    assert "needs 41.2 GB; narrow it" in text
