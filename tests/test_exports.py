"""What `import mpreg` gives, and what it does not cost."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys

import mpreg


def in_new_process(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_importing_loads_nothing_heavy() -> None:
    heavy = ["asyncio", "click", "dataclasses", "inspect", "logging", "msgspec", "numpy", "pydantic", "rich", "typing"]
    code = (
        f"import sys; old = set(sys.modules); import mpreg; print(*[m for m in {heavy} if m in set(sys.modules) - old])"
    )
    assert in_new_process(code) == []


def test_naming_things_does_not_load_asyncio() -> None:
    code = (
        "import sys, mpreg; mpreg.Config(threads=3); mpreg.ConfigError; f = mpreg.Functions(prefix='a.');\n"
        "@f.function\n"
        "def g(x): return x\n"
        "print(*[m for m in ('asyncio', 'numpy', 'pydantic', 'msgspec', 'click', 'rich') if m in sys.modules])"
    )
    assert in_new_process(code) == []


def test_the_plugin_loads_nothing_but_pytest() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import mpreg.testing.plugin\n"
        "print(*[m for m in set(sys.modules) - before if not m.startswith('mpreg')])\n"
        "print(*[m for m in sys.modules if m.startswith('mpreg.') and not m.startswith('mpreg.testing')])"
    )
    assert in_new_process(code) == []


def test_all_is_sorted_and_everything_in_it_is_there() -> None:
    assert mpreg.__all__ == sorted(mpreg.__all__)
    for name in mpreg.__all__:
        assert getattr(mpreg, name) is not None, name
    assert set(mpreg.__all__) <= set(dir(mpreg))


def test_names_are_exactly_these() -> None:
    errors = {name for name in mpreg.__all__ if name.endswith("Error")}
    assert len(errors) == 22
    assert set(mpreg.__all__) - errors == {
        "Call", "Caller", "Candidate", "Change", "Client", "Config", "ConnectionStats", "Context", "Explanation",
        "FunctionDescription", "FunctionEntry", "FunctionStats", "Functions", "LogContext", "Map", "Member", "Node",
        "NodeStats", "Outcome", "Remote", "RunEvent", "RunFinished", "RunReport", "Step", "StepFailed", "StepFinished",
        "StepReport", "StepStarted", "Stream", "SyncCaller", "SyncClient", "SyncMap", "SyncRemote", "SyncStream",
        "SyncWatch", "Watch", "__version__", "connect", "detached",
    }  # fmt: skip


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(mpreg, "Server")
    assert not hasattr(mpreg.testing if hasattr(mpreg, "testing") else mpreg, "Nothing")


def test_every_public_name_says_what_it_is() -> None:
    missing = [
        name for name in mpreg.__all__ if name != "__version__" and not (getattr(mpreg, name).__doc__ or "").strip()
    ]
    assert missing == []


def test_every_member_of_a_public_class_says_what_it_does() -> None:
    """To `help()` and to notebooks, also where it is written in Rust."""
    classes = [value for name in mpreg.__all__ if isinstance(value := getattr(mpreg, name), type)]
    fields = {field.name for cls in classes if dataclasses.is_dataclass(cls) for field in dataclasses.fields(cls)}
    missing = [
        f"{cls.__name__}.{name}"
        for cls in classes
        for name in dir(cls)
        if not name.startswith("_") and name not in fields
        # Data says it in the reference.
        if (callable(value := inspect.getattr_static(cls, name)) or isinstance(value, property))
        if not (getattr(cls, name).__doc__ or "").strip()
    ]
    assert missing == []
