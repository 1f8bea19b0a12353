"""Traces of dispatches: they parse, name the executable, and move no result."""

import gzip
import json

import jax
import pytest
from rich.console import Console

from bench.options import Options
from bench.run import Run
from tests.fused import compiled, make, planned
from tests.test_sweep import settings


def test_a_trace_names_the_executable_and_moves_no_bit(tmp_path):
    found = {}
    for name, profile in (("plain", 0), ("traced", 1)):
        options = Options(tmp_path / name, None, 1, cache_dir=None, profile=profile)
        space = {"learning_rate": (1e-3, 1e-2)}
        found[name] = Run(settings(space=space), options, Console(quiet=True)).train()
    assert found["traced"].curves == found["plain"].curves
    assert not (tmp_path / "plain" / "profile").exists()
    assert found["traced"].programs
    for name, program in found["traced"].programs.items():
        (trace,) = (tmp_path / "traced" / "profile" / name).rglob("*.trace.json.gz")
        assert f"train_{name}" in json.dumps(json.loads(gzip.decompress(trace.read_bytes())))
        assert list(program.train.column("warmup")) == [1, 1]


@pytest.fixture
def compiled_by_this_source():
    """No executable that an earlier version left in JAX's cache, whose keys do not know of names."""
    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
    yield
    jax.config.update("jax_compilation_cache_include_metadata_in_key", False)


@pytest.mark.usefixtures("compiled_by_this_source")
def test_what_an_operation_belongs_to_is_in_the_executable(digits):
    """As profilers of accelerators show it."""
    trial = make({})
    lanes = compiled(planned([trial], digits), trial, digits).ready
    train, evaluate = lanes._train.as_text(), lanes._evaluate.as_text()
    for scope in ("batch/", "jvp(forward)/", "transpose(jvp(forward))/", "update/"):
        assert scope in train, scope
    assert "evaluate/" in evaluate
