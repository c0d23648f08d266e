#!/usr/bin/env python3
"""The suite `contract`: every exchange that the sandboxes of the last run of `it` and `sdks` wrote down keeps the two
official OpenAPI files, in both directions (contract.py); and the judge itself is tried on broken exchanges (broken.py).

Must never pass without journals, or with fewer exchanges than a whole run brings.
"""
import sys
import unittest

from broken import BrokenExchanges, BrokenRuns, Excuses  # noqa: F401  their tests belong to this suite
from contract import Contract
from exchanges import JOURNALS


def main():
    ours = [path for path in JOURNALS.glob("*.jsonl") if not path.name.startswith("sdk-")]
    if not ours:
        print(f"There are no journals in {JOURNALS}: this suite judges what the suite `it` wrote down. "
              "Run `make test`, or `make test SUITES=\"it sdks contract\"`.")
        return 1
    if not any(path.name.startswith("sdk-") for path in JOURNALS.glob("*.jsonl")):
        print("There is no journal of the SDKs: this suite judges their exchanges too. "
              "Run `make test SUITES=\"sdks contract\"`.")
        return 1
    program = unittest.main(module="__main__", exit=False, verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
    if getattr(Contract, "count", 0):
        print(f"{Contract.count} exchanges of {len(ours)} sandboxes, {len(Contract.operations)} operations, "
              f"{sum(sum(one.hits.values()) for one in Contract.exceptions.excuses)} excused by {len(Contract.exceptions.all)} exceptions")
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
