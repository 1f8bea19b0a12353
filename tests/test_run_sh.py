"""run.sh with interpreters that only say what they were asked; nothing is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASH = shutil.which("bash") or "bash"
TOOLS = ("awk", "cat", "cksum", "cp", "dirname", "flock", "mkdir", "rm", "sleep")

PYTHON = """#!/bin/sh
# Stands for an interpreter and, once copied into .venv/bin, for that of an environment.
case "$*" in
    *version_info*) echo "{version} /origin/{name}" ;;
    *ensurepip*) exit {bare} ;;
    "-m venv --clear .venv")
        echo venv {name} >>"$LOG"
        rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip install "*)
        echo "pip $*" >>"$LOG"
        sleep "${{PIP_SECONDS:-0}}"
        exit "${{PIP_CODE:-0}}" ;;
    *)
        {{ echo "cwd $PWD"; for word; do echo "<$word>"; done; }} >>"$LOG"
        case "$2" in mypy) exit "${{MYPY_CODE:-0}}" ;; esac ;;
esac
"""


class Machine:
    """A computer with a copy of run.sh and no programs but those given."""

    def __init__(self, home: Path):
        self.home = home
        self.project = home / "a place" / "convoy"
        self.bin = home / "bin"
        self.log = home / "log"
        self.project.mkdir(parents=True)
        self.bin.mkdir()
        for tool in TOOLS:
            if place := shutil.which(tool):
                (self.bin / tool).symlink_to(place)
        for name in ("requirements.txt", "requirements-dev.txt", "requirements-log.txt"):
            (self.project / name).write_text("jax==1\n")
        text = (ROOT / "run.sh").read_text()
        for place in ("/sys/bus", "/dev/accel", "/dev/vfio"):
            text = text.replace(place, f"{home}{place}")
        (self.project / "run.sh").write_text(text)

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def python(self, name: str, version: str, *, bare: bool = False) -> None:
        self.program(name, PYTHON.format(name=name, version=version, bare=int(bare)))

    def gpus(self, *lines: str, code: int = 0) -> None:
        text = "\n".join(lines)
        self.program("nvidia-smi", f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")

    def chip(self, vendor: str, device: str) -> None:
        place = self.home / "sys/bus/pci/devices/0000:00:04.0"
        place.mkdir(parents=True)
        (place / "vendor").write_text(f"{vendor}\n")
        (place / "device").write_text(f"{device}\n")

    def start(self, *flags: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            [BASH, str(self.project / "run.sh"), *flags],
            cwd=self.home,
            env={"PATH": str(self.bin), "LOG": str(self.log), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *flags: str, **environment: str) -> tuple[int, str, list[str]]:
        """The exit code, what went to stderr, and what the interpreters were asked."""
        self.log.write_text("")
        with self.start(*flags, **environment) as process:
            out, err = process.communicate(timeout=30)
        assert out == ""
        return process.returncode, err, self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.python("python3.12", "3.12")
    return made


def installs(log: list[str]) -> list[str]:
    return [line for line in log if line.startswith(("venv ", "pip "))]


def words(log: list[str]) -> list[str]:
    return [line[1:-1] for line in log if line.startswith("<")]


def test_installs_once_and_trains_the_default(machine: Machine) -> None:
    code, err, log = machine.run()
    assert code == 0
    assert "installing for cpu with python3.12" in err
    assert log == [
        "venv python3.12",
        "pip -m pip install --quiet --disable-pip-version-check -r requirements.txt",
        f"cwd {machine.project}",
        "<-m>",
        "<bench.main>",
        "<--config=configs/sweep.py>",
    ]
    assert machine.run() == (0, "", log[2:])


@pytest.mark.parametrize(
    "flags",
    [
        ("--config=configs/x.py:a b", "--workdir=runs/$y z", "--axis=lr=log_uniform(1e-4, 1e-1)"),
        ("--workdir=", "--config", "configs/x.py"),
        ("--help",),
    ],
)
def test_flags_go_through(machine: Machine, flags: tuple[str, ...]) -> None:
    assert words(machine.run(*flags)[2]) == ["-m", "bench.main", *flags]


def test_the_default_config_goes_before_its_overrides(machine: Machine) -> None:
    asked = words(machine.run("--config.trial.epochs=5", "--nocache")[2])
    expected = ["--config=configs/sweep.py", "--config.trial.epochs=5", "--nocache"]
    assert asked == ["-m", "bench.main", *expected]


def test_new_requirements_are_installed(machine: Machine) -> None:
    machine.run()
    (machine.project / "requirements.txt").write_text("jax==2\n")
    assert len(installs(machine.run()[2])) == 2
    assert installs(machine.run()[2]) == []


def test_an_installation_that_failed_is_done_again(machine: Machine) -> None:
    code, err, log = machine.run(PIP_CODE="1")
    assert (code, words(log)) == (1, [])
    assert "the installation failed" in err
    assert len(installs(machine.run()[2])) == 2


def test_an_interpreter_that_went_away_is_replaced(machine: Machine) -> None:
    machine.run()
    (machine.project / ".venv/bin/python").unlink()
    assert len(installs(machine.run()[2])) == 2


@pytest.mark.skipif(not shutil.which("flock"), reason="without flock nothing holds the second back")
def test_two_at_once_install_once(machine: Machine) -> None:
    both = [machine.start(PIP_SECONDS="0.3") for _ in range(2)]
    errors = [process.communicate(timeout=30)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(installs(machine.log.read_text().splitlines())) == 2
    assert sum("installing for cpu" in err for err in errors) == 1


def test_the_newest_python_in_range(machine: Machine) -> None:
    machine.python("python3.14", "3.14", bare=True)
    machine.python("python3.13", "3.10")
    machine.python("python3", "3.15")
    machine.python("python3.11", "3.11")
    assert installs(machine.run()[2])[0] == "venv python3.12"
    assert installs(machine.run(PYTHON="python3.11")[2])[0] == "venv python3.11"
    assert installs(machine.run()[2]) == [], "what is installed will do"


def test_python_with_spaces_relative_to_the_caller(machine: Machine) -> None:
    machine.python("python3.11", "3.11")
    (machine.home / "my python").mkdir()
    (machine.bin / "python3.11").rename(machine.home / "my python/python")
    assert installs(machine.run(PYTHON="my python/python")[2])[0] == "venv python3.11"
    assert installs(machine.run(PYTHON="my python/python")[2]) == []


@pytest.mark.parametrize(
    ("version", "environment", "message"),
    [
        ("3.10", {}, "no Python 3.11 to 3.14 found: install one, or say where with PYTHON="),
        ("3.15", {}, "no Python 3.11 to 3.14 found: install one, or say where with PYTHON="),
        ("3.10", {"PYTHON": "python3.12"}, "PYTHON=python3.12 is Python 3.10, no Python 3.11 to"),
        ("3.12", {"PYTHON": "nowhere"}, "PYTHON=nowhere is no Python 3.11 to 3.14"),
        ("3.12", {"CONVOY_DEVICE": "gpu"}, "CONVOY_DEVICE=gpu is not known: use cpu, cuda12, "),
    ],
)
def test_refusals(
    machine: Machine, version: str, environment: dict[str, str], message: str
) -> None:
    machine.python("python3.12", version)
    code, err, log = machine.run(**environment)
    assert (code, log) == (2, [])
    assert err.startswith(f"run.sh: {message}")
    assert err.count("\n") == 1


def test_debian_without_venv(machine: Machine) -> None:
    machine.python("python3.12", "3.12", bare=True)
    code, err, _ = machine.run()
    assert code == 2
    assert err.count("\n") == 1
    assert "apt install python3-venv" in err


@pytest.mark.parametrize(
    ("gpus", "extra"),
    [
        (["580.65.06, 9.0"], "jax[cuda13]"),
        (["610.47, 12.0", "610.47, 7.5"], "jax[cuda13]"),
        (["580.65.06, 9.0", "580.65.06, 7.0"], "jax[cuda12]"),
        (["575.57.08, 9.0"], "jax[cuda12]"),
        (["525.60.13, 8.0"], "jax[cuda12]"),
        (["470.82.01, 8.0"], None),
        (["580.65.06, 3.5"], None),
        (["No devices were found"], None),
    ],
)
def test_the_driver_decides(machine: Machine, gpus: list[str], extra: str | None) -> None:
    machine.gpus(*gpus)
    code, err, log = machine.run()
    assert code == 0
    assert installs(log)[1].endswith(f" {extra or '-r requirements.txt'}")
    assert ("no GPU for JAX" in err) == (extra is None)


def test_a_driver_that_does_not_run(machine: Machine) -> None:
    machine.gpus("NVIDIA-SMI has failed", code=9)
    code, err, log = machine.run()
    assert code == 0
    assert installs(log)[1].endswith("-r requirements.txt")
    assert "no GPU" not in err


@pytest.mark.parametrize(
    ("node", "vendor", "device", "kind"),
    [
        ("dev/accel0", "0x1ae0", "0x0027", "tpu"),
        ("dev/accel0", "0x1ae0", "0x005e", "tpu"),
        ("dev/vfio/0", "0x1ae0", "0x006f", "tpu"),
        ("dev/vfio/0", "0x1ae0", "0x0042", "cpu"),  # Google's network card
        ("dev/vfio/0", "0x10de", "0x0063", "cpu"),
        ("dev/vfio/vfio", "0x1ae0", "0x0063", "cpu"),
    ],
)
def test_a_tpu_is_a_chip_and_a_node(
    machine: Machine, node: str, vendor: str, device: str, kind: str
) -> None:
    machine.chip(vendor, device)
    (machine.home / node).parent.mkdir(parents=True)
    (machine.home / node).touch()
    assert f"installing for {kind} " in machine.run()[1]


def test_the_device_can_be_said_and_another_means_another_environment(machine: Machine) -> None:
    machine.gpus("580.65.06, 9.0")
    assert installs(machine.run(CONVOY_DEVICE="cpu")[2])[1].endswith("-r requirements.txt")
    assert installs(machine.run(CONVOY_DEVICE="cpu")[2]) == []
    asked = installs(machine.run(CONVOY_DEVICE="tpu")[2])
    assert asked[0] == "venv python3.12"
    assert asked[1].endswith(" jax[tpu]")


def test_the_checks_all_run_and_the_first_failure_is_the_exit_code(machine: Machine) -> None:
    code, err, log = machine.run("test", "-k", "a or b", MYPY_CODE="3")
    assert code == 3
    assert err.endswith("run.sh: failed: mypy (3)\n")
    assert [word for word in words(log) if word in ("ruff", "mypy")] == ["ruff", "ruff", "mypy"]
    assert words(log)[-7:-3] == ["pytest", "-n", "auto", "--dist"]
    assert words(log)[-2:] == ["-k", "a or b"]
    assert installs(log)[2].endswith(
        "-r requirements.txt -r requirements-dev.txt -r requirements-log.txt"
    )
    code, _, log = machine.run("test")
    assert (code, installs(log)) == (0, [])
    assert installs(machine.run()[2]) == []


def test_what_ci_calls() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert lines[-1] == "exec ./run.sh test"
    assert os.access(ROOT / "run.sh", os.X_OK)
