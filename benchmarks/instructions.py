"""Instructions of representative paths, counted by callgrind, against the budgets in instructions.toml.

`python benchmarks/instructions.py [--write]`: needs valgrind and an installed mpreg.

A count does not depend on how busy or fast the machine is. Each path is walked a number of times and twice as often;
the difference is what one time costs, without start, idle traffic and end.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
BUDGETS = HERE / "instructions.toml"
# How often each path is walked at first.
PATHS = {"call": 200, "graph": 100, "change": 100, "value": 500}
VALUE = """
import sys
from mpreg import _mpreg
value = {"sku": "A1", "qty": 2, "prices": [1.5 * n for n in range(20)], "tags": {"eu", "new"}, "blob": b"x" * 200}
for _ in range(int(sys.argv[1])):
    assert _mpreg.decode(_mpreg.encode(value)) == value
"""
COLLECTED = re.compile(r"Collected : (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make what is counted the new budgets")
    write = parser.parse_args().write
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing (Debian: apt-get install valgrind)")
    program = build()
    counted = {path: per_walk(path, count, program) for path, count in PATHS.items()}
    if write:
        renew(counted)
        return 0
    return judge(counted)


def build() -> str:
    cargo = ["cargo", "build", "--locked", "--release", "--quiet", "-p", "mpreg-sim", "--example", "paths"]
    subprocess.run(cargo, check=True, cwd=ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "release/examples/paths")


def per_walk(path: str, count: int, program: str) -> int:
    command = [sys.executable, "-S", "-c", VALUE] if path == "value" else [program, path]
    return (instructions([*command, str(2 * count)]) - instructions([*command, str(count)])) // count


def instructions(command: list[str]) -> int:
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    # Sets are walked in the same order each time, and modules are found without `site`.
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run([*valgrind, *command], capture_output=True, text=True, env=environment, check=False)
    found = COLLECTED.search(done.stderr)
    if done.returncode or found is None:
        sys.exit(f"{' '.join(command[:2])} failed:\n{done.stderr}")
    return int(found[1])


def judge(counted: dict[str, int]) -> int:
    told = tomllib.loads(BUDGETS.read_text())
    too_many = False
    for path, count in counted.items():
        budget = told["budget"][path]
        tolerance = told["tolerance_value" if path == "value" else "tolerance"]
        ratio = count / budget
        verdict = (
            "TOO MANY" if ratio > 1 + tolerance else "fewer: renew the budget" if ratio < 1 - tolerance else "fine"
        )
        too_many |= ratio > 1 + tolerance
        print(f"{path:8} {count:>10,} instructions, budget {budget:>10,} ({ratio:.2f}): {verdict}")
    if too_many:
        print("hint: valgrind --tool=callgrind shows where; `--write` makes them the budget if they are worth it")
    return int(too_many)


def renew(counted: dict[str, int]) -> None:
    head, _, _ = BUDGETS.read_text().partition("[budget]\n")
    rows = "".join(f"{path} = {count:_}\n" for path, count in counted.items())
    BUDGETS.write_text(f"{head}[budget]\n{rows}")
    print(rows, end="")


if __name__ == "__main__":
    sys.exit(main())
