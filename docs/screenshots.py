"""Makes the README's pictures: trains what they show, and photographs the pages in headless Chromium.

    python docs/screenshots.py

Needs Chromium on the PATH. Runs lie in runs/, so that a second call only takes the photographs.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "pictures"
RUNS = Path("runs")  # as pages tell it
# run directory → flags: the default sweep, and the same on one core
SWEEPS = {"sweep": (), "sweep_one_core": ("--devices=1",)}
_PATIENCE_MS = 10_000  # of the browser's own time, in which charts are drawn


def train() -> None:
    """The sweeps; those that are finished only write their reports."""
    for name, flags in SWEEPS.items():
        workdir = f"--workdir={RUNS}/{name}"
        python("-m", "bench.main", "--config=configs/sweep.py", workdir, *flags)


def python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def photograph(page: Path, name: str, width: int, height: int, dark: bool = False) -> None:
    """The top of a page, as OUT/name.png, in pixels."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("screenshots: no Chromium on the PATH; on Debian, apt install chromium")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}",
            f"--window-size={width},{height}", f"--virtual-time-budget={_PATIENCE_MS}",
            f"--screenshot={OUT / name}.png",
        ]  # fmt: skip
        command += ["--blink-settings=preferredColorScheme=0"] if dark else []
        subprocess.run([*command, page.resolve().as_uri()], check=True, capture_output=True)


def main() -> None:
    """Trains, compares, photographs."""
    OUT.mkdir(parents=True, exist_ok=True)
    train()
    compared = RUNS / "compare.html"
    both = [str(RUNS / name) for name in SWEEPS]
    python("-m", "bench.compare", *both, f"--out={compared}")
    report = ROOT / RUNS / "sweep" / "report.html"
    photograph(report, "report", 1280, 1500)
    photograph(report, "report-dark", 1280, 1500, dark=True)
    photograph(ROOT / compared, "compare", 1280, 800)


if __name__ == "__main__":
    main()
