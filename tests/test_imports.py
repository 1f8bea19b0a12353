"""Planning and reporting need no JAX, and imports have one direction."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIGHT = [
    "errors", "layers", "padding", "summary", "zoo", "hyperparameters", "trial", "space", "search",
    "host", "costs", "partition", "plan", "columns", "windows", "journal", "record", "best", "config", "data",
    "report", "energy", "suite", "points", "curves", "schedule", "hardware", "initial", "timing",
    "roofline", "precision", "kernels", "files", "artifacts", "lock", "stop", "hyper", "options",
    "blueprint", "resume", "planner", "checkpoint", "directory", "outputs", "experiments",
    "comparison", "compare", "logs", "logs.tensorboard", "logs.mlflow", "api", "export",
]  # fmt: skip
HEAVY = ["jax", "jaxlib", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets"]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "bench").rglob("*.py"))
}


def test_a_laptop_can_plan_and_report() -> None:
    """In one process, after each import, so that the first that brings something heavy is named."""
    program = (
        "import importlib, sys\n"
        f"for name in {LIGHT}:\n"
        "    importlib.import_module('bench.' + name)\n"
        f"    heavy = [h for h in {HEAVY} if h in sys.modules]\n"
        "    if heavy: sys.exit(f'bench.{name} imports {heavy}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def imported(name: str, tree: ast.Module) -> set[str]:
    """The modules of bench that `name` imports when it is itself imported."""
    found: set[str] = set()
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            base = node.module or ""
            submodules = {f"{base}.{alias.name}" for alias in node.names} & set(MODULES)
            # `from bench.data import pixels` is of the submodule; all other names are the package's.
            found |= submodules
            if len(submodules) < len(node.names):
                found.add(base)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif isinstance(node, ast.If | ast.Try | ast.With):
            todo += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)]
    # Importing a.b.c runs a and a.b too; a package and its own parts may name each other so.
    parents = {
        ".".join(parts[:end])
        for parts in (target.split(".") for target in found)
        for end in range(2, len(parts))
    }
    own = {".".join(name.split(".")[:end]) for end in range(1, name.count(".") + 2)}
    return {t for t in found | (parents - own) if t in MODULES and t != "bench"}


def test_imports_have_no_cycle() -> None:
    graph = {name: imported(name, ast.parse(path.read_text())) for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > len(LIGHT), "the imports were not found"
    assert "bench.layers" in graph["bench.zoo.plain"]
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which shows it
    assert order.index("bench.errors") < order.index("bench.plan") < order.index("bench.sweep")


def test_every_name_is_of_this_package() -> None:
    """A typing slip, `from bench.recrod import`, inside a function is found without running it."""
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bench":
                assert node.module == "bench" or node.module in MODULES, f"{name}: {node.module}"
