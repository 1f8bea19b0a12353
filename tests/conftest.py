"""JAX as the tests want it: eight devices, whatever the machine has, and float64 where a test asks."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_x64", True)
jax.devices()  # from here on nothing changes their number


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory):
    """The folder of compiled programs that all tests and processes share: many compile the same ones."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return str(folder)


@pytest.fixture(autouse=True)
def as_before(compiled):
    """A command that ran in this process may have left JAX in float32, and with another cache."""
    jax.config.update("jax_compilation_cache_dir", compiled)
    yield
    jax.config.update("jax_enable_x64", True)


@pytest.fixture(scope="session", autouse=True)
def brief_peaks():
    """Every sweep ends with measuring the machine, which tests of sweeps need not wait for."""
    from bench import peaks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peaks, "CPU", peaks.Sizes((16,), 1 << 12))
        patch.setattr(peaks, "DISPATCH_S", 1e-4)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_pictures():
    """Every sweep ends with drawing its report, which takes a process of its own and a second."""
    from bench.report import views
    from bench.report.charts.static import Drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "draw", lambda specs: Drawn(why="not drawn in this test"))
        yield


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's handwritten digits, cut to 130 training examples, as small as the proofs allow."""
    from bench.data import DataOptions, load

    return load("digits", DataOptions(limit=190))


@pytest.fixture(autouse=True, scope="session")
def native():
    """Whether the compiled kernels are there, and loaded."""
    from bench.kernels import build
    from bench.ops import native

    return native.load(build.start()) is None
