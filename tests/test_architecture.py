"""The code keeps its structure: imports point one way, and each thing has one place."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from enum import Enum
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "costbatch"
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 500, 60

# What each part may import of costbatch besides itself. Nothing imports the command line or the demo.
ALLOWED = {
    "errors": (),
    "timeout": (),
    "domain": ("errors",),
    "logs": ("domain.credentials",),  # it masks secrets by type
    "config": ("domain", "errors", "timeout"),
    "application": ("domain", "errors", "logs"),
    "adapters": (
        *("domain", "errors", "logs", "timeout"),
        "config",  # a sink is built from the settings
        # The ports that they implement, and the types of these.
        *(
            "application.ports",
            "application.*.ports",
            "application.detection_ports",
            "application.sources",
            "application.outbox",
        ),
        *("application.inspection", "application.ledger_store", "application.retention"),
    ),
    "simulator": (),
    "bootstrap": ("adapters", "application", "config", "domain", "errors", "logs", "__init__"),
    # What commands pass to the use cases and get back; the use cases themselves come from bootstrap.
    "cli": (
        *("bootstrap", "config", "domain", "errors", "logs", "timeout", "__init__"),
        *("application.doctor.findings", "application.inspection", "application.retention"),
    ),
    "demo": ("bootstrap", "config", "application.registration", "domain", "errors", "simulator"),
    "__main__": ("cli",),
    "__init__": (),
}
# Single files that need one thing more than their part, and why.
EXCEPTIONS = {
    ("cli/demo.py", "demo.demonstration"): "the command that runs the demo",
    ("cli/demo.py", "demo.environment"): "the command that runs the demo",
    ("cli/accounts.py", "application.registration"): "the type of what a command passes on",
    ("demo/register.py", "cli.exit_status"): "a program of its own that ends as the commands do",
    ("cli/accounts.py", "application.accounts"): "AccountDetails, the type of what it prints",
    ("cli/anomalies.py", "application.anomalies"): "the types of what it passes on and prints",
    ("cli/views/anomaly.py", "application.anomalies"): "the types of what it prints",
    ("cli/views/plot.py", "application.anomalies"): "the type of what it draws",
    ("cli/views/opinions.py", "application.second_opinion"): "the type of what it prints",
    ("cli/planned.py", "application.anomalies"): "the types of what it passes on and prints",
}
# Which files look at the environment, and which make floats outside the simulator, and why.
READS_ENVIRONMENT = {
    "adapters/aws/environment.py": "what botocore takes from it by itself, before a run relies on it",
    "adapters/aws/sessions.py": "botocore takes an empty variable for a value",
    "cli/context.py": "passes the environment to Settings.from_environment; a test passes another",
    "demo/register.py": "a program of its own, as cli/context.py",
    "demo/environment.py": "what the demo takes out of it",
    "demo/demonstration.py": "what the demo's own processes inherit",
}
MAKES_FLOATS = {
    "domain/adaptive.py": "statistics of daily cost; what is billed stays Decimal",
    "domain/adaptive_answers.py": "the limits that these statistics are compared with",
    "domain/forecast.py": "as above; what is returned is Decimal",
    "domain/adaptive_memory.py": "what these statistics are made of",
    "adapters/pushgateway.py": "Prometheus knows nothing but floats",
    "adapters/postgres/run_items.py": "seconds",
}
# Which files import inside of functions, and why. At most five; commands and sinks are imported by name.
IMPORTS_LATE = {
    "adapters/postgres/migrations.py": "Alembic takes longer to load than a run takes to check two revisions",
    "bootstrap.py": "botocore is slow to load, and commands that do not call AWS need none of it",
    "cli/context.py": "the help of a command must not load the adapters",
    "cli/demo.py": "only once its packages are known to be installed",
    "cli/exit_status.py": "--help must not load the log library",
}
# What the job engine may import, and the words that are not its business.
JOBS_IMPORT = (
    "application.jobs",
    "application.ports",
    "application.selection",
    "domain.accounts",
    "domain.events",
    "domain.periods",
    "domain.routing",
    "domain.runs",
    "errors",
    "logs",
)
NOT_OF_JOBS = re.compile(r"(?<![a-z])(costs?|windows?|anomaly|anomalies)(?![a-z])", re.IGNORECASE)
# Public names that stay: operators know the cap on requests as COSTBATCH_MAX_API_COST_USD.
NAMES_OF_THE_CAP = ("api_cost_cap_reached", "API_COST_CAP")
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[tuple[str, str], str] = {}


@cache
def sources() -> dict[str, ast.Module]:
    """Return every module of costbatch, parsed, by its path inside the package."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in files}


def part_of(name: str) -> str:
    """Return the part of the package that a path or a module inside it belongs to."""
    return name.removesuffix(".py").replace("/", ".").split(".")[0]


@cache
def nodes_of(tree: ast.Module) -> Sequence[ast.AST]:
    """Return every node of a module."""
    return list(ast.walk(tree))


@cache
def imports_of(tree: ast.Module) -> Sequence[str]:
    """Return the full names that a module imports, with what it takes out of them."""
    names: list[str] = []
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return names


def own_imports(tree: ast.Module) -> Iterator[str]:
    """Return what a module imports of costbatch, without the name in front."""
    for name in imports_of(tree):
        if name.split(".")[0] == "costbatch":
            inside = name.removeprefix("costbatch.")
            yield "__init__" if inside == "__version__" else inside


def is_within(name: str, parts: Iterable[str]) -> bool:
    """Whether a name is one of the parts or inside one; a star in a part is one name."""
    names = name.split(".")
    wanted = [part.split(".") for part in parts]
    return any(
        len(part) <= len(names) and all(one in {"*", each} for one, each in zip(part, names, strict=False))
        for part in wanted
    )


def files_of(*parts: str) -> dict[str, ast.Module]:
    """Return the modules of some parts of the package."""
    return {path: tree for path, tree in sources().items() if part_of(path) in parts}


@cache
def used_names(tree: ast.Module) -> Sequence[str]:
    """Return every dotted name that a module uses."""
    return [ast.unparse(node) for node in nodes_of(tree) if isinstance(node, ast.Attribute)]


def test_every_part_of_the_package_has_a_rule() -> None:
    """A new part begins with a decision about what it may import."""
    assert {part_of(path) for path in sources()} == set(ALLOWED)


@pytest.mark.parametrize("path", sorted(sources()))
def test_imports_point_one_way(path: str) -> None:
    """From the command line through bootstrap to use cases and domain; from adapters to ports and domain."""
    allowed = [part_of(path), *ALLOWED[part_of(path)]]
    allowed += [name for file, name in EXCEPTIONS if file == path]
    assert [name for name in own_imports(sources()[path]) if not is_within(name, allowed)] == []


def test_each_exception_is_needed() -> None:
    """An exception that is no longer used is removed."""
    for path, name in EXCEPTIONS:
        assert any(is_within(found, [name]) for found in own_imports(sources()[path])), (path, name)


def test_the_command_line_imports_only_types_of_use_cases() -> None:
    """What a command needs of the application are names of records, never a function or a use case."""
    taken = {
        name
        for tree in files_of("cli").values()
        for name in own_imports(tree)
        if part_of(name) == "application"
    }
    assert taken == {
        "application.accounts.AccountDetails",
        *(
            f"application.anomalies.{name}"
            for name in ("AnsweredAnomaly", "PlannedChange", "Remark", "ShownAnomaly")
        ),
        "application.registration.Registration",
        "application.second_opinion.OpinionReport",
        *(f"application.doctor.findings.{name}" for name in ("CheckResult", "Examination", "Mark")),
        "application.doctor.findings.PaidRequest",
        "application.inspection.DatabaseSizes",
        *(f"application.retention.{name}" for name in ("OldRows", "Pruning")),
    }


def test_only_bootstrap_knows_the_adapters() -> None:
    """Which adapter stands behind a port is decided in one file."""
    users = {
        path
        for path, tree in sources().items()
        for name in own_imports(tree)
        if part_of(name) == "adapters" and part_of(path) != "adapters"
    }
    assert users == {"bootstrap.py"}


def test_adapters_of_one_kind_do_not_know_those_of_another() -> None:
    """AWS, the database, sinks, vault and gateway could each be replaced alone."""
    for path, tree in files_of("adapters").items():
        kind = ".".join(path.removesuffix(".py").split("/")[:2])
        foreign = [
            name for name in own_imports(tree) if part_of(name) == "adapters" and not is_within(name, [kind])
        ]
        assert foreign == [], path


def test_only_the_demo_knows_the_simulator() -> None:
    """A production image runs without it: tests and benchmarks lie outside the package."""
    users = {
        part_of(path)
        for path, tree in sources().items()
        for name in own_imports(tree)
        if part_of(name) == "simulator"
    }
    assert users == {"demo", "simulator"}


def test_migrations_know_the_tables_and_the_settings_only() -> None:
    """Alembic's entry is a program of its own; revisions import nothing of the package."""
    env = set(own_imports(ast.parse((ROOT / "alembic/env.py").read_text())))
    assert {part_of(name) for name in env} <= {"adapters", "config"}
    assert all(is_within(name, ["adapters.postgres", "config"]) for name in env)
    for revision in (ROOT / "alembic/versions").glob("*.py"):
        assert list(own_imports(ast.parse(revision.read_text()))) == [], revision.name


@pytest.mark.parametrize("path", sorted(files_of("domain", "errors")))
def test_the_domain_needs_the_standard_library_only(path: str) -> None:
    """Nothing to install, nothing to open: no file, no socket, no clock, no environment."""
    roots = {name.split(".")[0] for name in imports_of(sources()[path])}
    assert roots - {"costbatch"} <= set(sys.stdlib_module_names)
    assert not roots & {
        "io",
        "logging",
        "os",
        "pathlib",
        "random",
        "socket",
        "subprocess",
        "threading",
        "time",
    }


def test_use_cases_need_the_standard_library_only() -> None:
    """Frameworks stay at the edges; ``override`` is in typing from Python 3.12 on."""
    for path, tree in files_of("application").items():
        names = set(imports_of(tree)) - {"typing_extensions.override"}
        roots = {name.split(".")[0] for name in names}
        assert roots - {"costbatch"} <= set(sys.stdlib_module_names), path
        assert not roots & {"os", "pathlib", "socket", "subprocess"}, path


@pytest.mark.parametrize("path", sorted(path for path in sources() if path.startswith("application/jobs/")))
def test_the_job_engine_knows_no_job(path: str) -> None:
    """It imports nothing of the cost job and has no word of it, so that a second job does not change it."""
    foreign = [name for name in own_imports(sources()[path]) if not is_within(name, JOBS_IMPORT)]
    text = (PACKAGE / path).read_text()
    for name in NAMES_OF_THE_CAP:
        text = text.replace(name, "")
    assert (foreign, NOT_OF_JOBS.findall(text)) == ([], [])


def test_only_these_files_read_the_environment() -> None:
    """Settings are read in one place; what is left hands the environment over."""
    readers = {
        path
        for path, tree in sources().items()
        if any(name in {"os.environ", "os.getenv", "os.environb"} for name in used_names(tree))
        or any(name in {"os.environ", "os.getenv"} for name in imports_of(tree))
    }
    assert readers == set(READS_ENVIRONMENT)


def test_now_and_today_are_parameters() -> None:
    """Domain and use cases never read a clock; waiting goes by the monotonic one."""
    clocks = (
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "time.time",
        "time.localtime",
    )
    for path, tree in files_of("domain", "application").items():
        assert [name for name in used_names(tree) if name.endswith(clocks)] == [], path
        from_time = {name for name in imports_of(tree) if name.split(".")[0] == "time"}
        assert from_time <= ({"time.monotonic", "time.sleep"} if path.startswith("application") else set()), (
            path
        )


def test_imports_are_at_the_top_but_for_five_places() -> None:
    """Each late import has a reason that a user notices; the lazy command group imports by name."""
    late = {
        path
        for path, tree in sources().items()
        for function in nodes_of(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    }
    assert late == set(IMPORTS_LATE)
    assert len(late) <= 5


def test_money_never_becomes_a_float() -> None:
    """``float(`` is for receivers that know nothing else, and for what is not money."""
    makers = {
        path
        for path, tree in files_of("domain", "application", "adapters").items()
        for node in nodes_of(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
    }
    assert makers == set(MAKES_FLOATS)


def test_nothing_reaches_through_two_others() -> None:
    """``a.b.c.d`` knows how three others are made; what a value's own type offers does not count."""
    offered = {name for kind in (date, dict, str, Enum, set) for name in dir(kind)} | {"value"}
    reaching = set()
    for path, tree in files_of("domain", "application", "bootstrap", "cli").items():
        modules = {name.split(".")[-1] for name in imports_of(tree)} | {
            name.split(".")[0] for name in imports_of(tree)
        }
        for node in nodes_of(tree):
            names: list[str] = []
            while isinstance(node, ast.Attribute):
                names.append(node.attr)
                node = node.value  # noqa: PLW2901 - from the last name to the first
            if not isinstance(node, ast.Name) or node.id in modules:
                continue
            while names and names[0] in offered:
                del names[0]
            if len(names) + (node.id != "self") > 3:
                reaching.add((path, ".".join([node.id, *reversed(names)])))
    assert reaching == set()


def lengths_of_functions() -> dict[tuple[str, str], int]:
    """Return how many lines each function has, decorators aside."""
    return {
        (path, node.name): (node.end_lineno or 0) - node.lineno + 1
        for path, tree in sources().items()
        for node in nodes_of(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_files_have_one_purpose() -> None:
    """None is longer than 500 lines, but for those with a reason."""
    lines = {path: len((PACKAGE / path).read_text().splitlines()) for path in sources()}
    assert {path for path, count in lines.items() if count > MOST_LINES_OF_A_FILE} == set(LONG_FILES)


def test_functions_fit_on_a_screen() -> None:
    """None is longer than 60 lines, but for those with a reason."""
    long = {name for name, count in lengths_of_functions().items() if count > MOST_LINES_OF_A_FUNCTION}
    assert long == set(LONG_FUNCTIONS)


# Associative arrays and references, reading into arrays, upper and lower case, both streams in one word.
NEWER_BASH = re.compile(r"(declare|local) -[An]|\b(mapfile|readarray|coproc)\b|\$\{\w+(\^|,)|\|&|&>>")


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / ".ci").iterdir()))
def test_a_script_runs_in_the_bash_of_macos(name: str) -> None:
    """It is 3.2, which takes an empty array for an unset variable: an error under ``set -u``."""
    script = (ROOT / ".ci" / name).read_text()
    assert not NEWER_BASH.search(script)
    for array in re.findall(r"\b(\w+)=\(\)", script):
        unguarded = script.replace(f'${{{array}[@]+"${{{array}[@]}}"}}', "")
        assert f"${{{array}[@]}}" not in unguarded or f"${{#{array}[@]}}" in script, array
