#!/usr/bin/env python3
"""Runs all suites one after another and counts their tests from the tools' own output.

A suite that fails to start, runs over its budget (tests/budgets.toml), skips a test or reports no test at all counts as
a failure. The others run all the same. The last line is `N passed, N failed`; the exit code is 0 only without failures.
Arguments: names of suites to run, default all. Must never turn a missing result into a success.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / ".run" / "log"
JOURNALS = ROOT / ".run" / "journals"
# One configuration for all that is compiled, so that it is compiled once. The switches do nothing until they are thrown.
BUILD = ["--locked", "--all-features"]
COMPILE_LIMIT = 3600


# Brings the program as well, so that nothing is compiled twice with other features of the same libraries.
COMPILE = ["cargo", "test", *BUILD, "--lib", "--bins", "--test", "it", "--test", "crash", "--test", "chaos", "--no-run"]


def cargo_test(*targets, runner=()):
    """`runner`: what the test binaries themselves are told."""
    return {
        "compile": COMPILE,
        "run": ["cargo", "test", *BUILD, "--no-fail-fast", *targets, *(["--", *runner] if runner else [])],
        "count": count_cargo,
    }


def count_cargo(output, code):
    """(passed, failed, skipped) of all test binaries in the output."""
    found = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", output, re.M)
    return tuple(sum(int(one[i]) for one in found) for i in range(3))


def count_unittest(output, code):
    ran = re.findall(r"^Ran (\d+) tests? in ", output, re.M)
    ended = re.findall(r"^(?:OK|FAILED)(?: \((.*)\))?$", output, re.M)
    words = dict(re.findall(r"([a-z ]+)=(\d+)", ", ".join(ended)))
    count = {word.strip(): int(number) for word, number in words.items()}
    # A failed subtest counts as a failure of its own, so there can be more failures than tests.
    failed = count.get("failures", 0) + count.get("errors", 0) + count.get("unexpected successes", 0)
    skipped = count.get("skipped", 0) + count.get("expected failures", 0)
    return max(0, sum(map(int, ran)) - failed - skipped), failed, skipped


def count_code(output, code):
    """A check without tests of its own counts as one."""
    return (1, 0, 0) if code == 0 else (0, 1, 0)


def suites():
    yield "fmt", {"run": ["cargo", "fmt", "--all", "--check"], "count": count_code}
    # The library's public items are documented: missing_docs is a warning in Cargo.toml, and denied with the others.
    yield "lint", {"run": ["cargo", "clippy", *BUILD, "--all-targets", "--", "-D", "warnings"], "count": count_code}
    yield "unit", cargo_test("--lib", "--bins")
    # Each sandbox writes down its calls in JOURNALS. After `it` and `crash` these are judged, so none of an older run may be
    # left: `it` empties the folder, and `crash` adds to it.
    yield "it", {**cargo_test("--test", "it"), "empty": "*.jsonl"}
    # One after another, since each uses all cores by itself; the tables of what died where are in their output.
    yield "crash", cargo_test("--test", "crash", runner=["--nocapture", "--test-threads=1"])
    # Needs the machine for itself as well: it says how long answers take.
    yield "chaos", cargo_test("--test", "chaos", runner=["--nocapture", "--test-threads=1"])
    python = str(ROOT / ".run" / "tools" / "contract" / "bin" / "python")
    yield "sdks", {
        "compile": COMPILE,
        "run": [python, "tests/contract/sdks.py"],
        "count": count_unittest,
        "empty": "sdk-*.jsonl",
    }
    yield "contract", {"run": [python, "tests/contract/check.py"], "count": count_unittest}


def run(command, log, limit):
    """Runs in a process group of its own, shows and logs its output; (exit code or None when over the limit, output)."""
    output = []
    with open(log, "ab") as file:
        child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        late = False

        def stop(number, frame):
            nonlocal late
            os.killpg(child.pid, signal.SIGKILL if late else signal.SIGTERM)
            late = True
            signal.alarm(10)

        signal.signal(signal.SIGALRM, stop)
        signal.alarm(max(1, int(limit)))
        try:
            for line in child.stdout:
                file.write(line)
                output.append(line)
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
            code = child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGTERM)
            raise
        finally:
            signal.alarm(0)
    return None if late else code, b"".join(output).decode(errors="replace")


def named(output):
    """What failed by its name: points of the crash matrix, tests of cargo, of unittest, of node."""
    points = re.findall(r"^FAILED (?!\().+$", output, re.M)
    blocks = re.findall(r"^failures:\n((?:    \S.*\n)+)", output, re.M)
    tests = [line.strip() for block in blocks for line in block.splitlines()]
    tests += re.findall(r"^(?:FAIL|ERROR): (\S+ \(.*\))", output, re.M)
    tests += re.findall(r"^ *not ok \d+ - (.*)$", output, re.M)
    return list(dict.fromkeys(points + tests))


def run_suite(name, suite, budget):
    """(passed, failed, what to repeat at the very end)"""
    log = LOGS / f"{name}.log"
    log.unlink(missing_ok=True)
    problems = []
    for old in JOURNALS.glob(suite["empty"]) if "empty" in suite else ():
        old.unlink()
    if "compile" in suite:
        started = time.monotonic()
        code, _ = run(suite["compile"], log, COMPILE_LIMIT)
        print(f"--- {name}: compiled in {time.monotonic() - started:.0f} s", flush=True)
        if code != 0:
            print(f"--- {name}: does not compile; its log is {log}", flush=True)
            return 0, 1, ["does not compile"]
    started = time.monotonic()
    code, output = run(suite["run"], log, 2 * budget)
    took = time.monotonic() - started
    passed, failed, skipped = suite["count"](output, code)
    if code is None:
        problems.append(f"was stopped after {took:.0f} s, twice its budget of {budget} s")
    elif took > budget:
        problems.append(f"took {took:.0f} s, its budget in tests/budgets.toml is {budget} s")
    if code not in (0, None) and failed == 0:
        problems.append(f"ended with code {code} without naming a failed test")
    if skipped:
        problems.append(f"skipped {skipped} tests")
    if passed + failed == 0:
        problems.append("reported no test at all")
    for problem in problems:
        print(f"--- {name}: {problem}", flush=True)
    failed += len(problems)
    print(f"--- {name}: {passed} passed, {failed} failed in {took:.0f} s; its log is {log}", flush=True)
    return passed, failed, (named(output) + problems) if failed else []


def main():
    budgets = tomllib.loads((ROOT / "tests" / "budgets.toml").read_text())
    wanted = sys.argv[1:]
    chosen = [(name, suite) for name, suite in suites() if not wanted or name in wanted]
    unknown = set(wanted) - {name for name, _ in chosen}
    if unknown:
        print(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(name for name, _ in suites())}")
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    os.environ["CARGO_TERM_COLOR"] = "never"
    # A failing test says what it saw; stack traces of the test runner only hide it.
    os.environ["RUST_BACKTRACE"] = "0"
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, lambda number, frame: sys.exit(128 + number))
    total_passed = total_failed = 0
    repeated = []
    for name, suite in chosen:
        print(f"--- {name}", flush=True)
        # `make crash` and `make chaos`: their suite in its whole form.
        whole = os.environ.get(name.upper()) == "all" and f"{name}-all" in budgets
        passed, failed, what = run_suite(name, suite, budgets[f"{name}-all" if whole else name])
        total_passed += passed
        total_failed += failed
        repeated += [f"--- {name}: {line}" for line in what]
    # Once more, last of all: whoever keeps of a long output its beginning and its end only must find what failed.
    for line in repeated:
        print(line, flush=True)
    print(f"{total_passed} passed, {total_failed} failed", flush=True)
    return 0 if total_failed == 0 and total_passed > 0 else 1


sys.exit(main())
