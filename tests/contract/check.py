#!/usr/bin/env python3
"""The suite `contract`: every exchange that the sandboxes of the last run of `it` and `sdks` wrote down keeps the two
official OpenAPI files, in both directions; and the judge itself is tried on broken exchanges (broken.py).

Must never pass without journals, or with fewer exchanges than a whole run brings.
"""
import sys
import unittest

import exchanges
from broken import BrokenExchanges, BrokenRuns  # noqa: F401  their tests belong to this suite
from exceptions import MOST, Exceptions
from exchanges import JOURNALS
from judge import Judge

# A whole run brings several times as many; a run of few tests must not look like a proof.
LEAST = {"exchanges": 500, "operations": 28}


class Contract(unittest.TestCase):
    """One judgement, read from several sides."""

    @classmethod
    def setUpClass(cls):
        judge = Judge()
        cls.exceptions = Exceptions()
        cls.count, cls.operations, violations = 0, set(), []
        for origin in ("ours", "sdk"):
            count, different = exchanges.of_run(JOURNALS, origin)
            cls.count += count if origin == "ours" else 0
            for exchange in different:
                name, found = judge.judge(exchange)
                cls.operations.add(name)
                # What the SDKs ask is theirs to answer for; what they are answered is ours.
                violations += [one for one in found if origin == "ours" or one.direction == "answer"]
        cls.violations = cls.exceptions.remaining(violations)

    def _none(self, provider, direction):
        found = [one for one in self.violations if one.operation.startswith(provider) and one.direction == direction]
        lines = list(dict.fromkeys(map(str, found)))
        self.assertFalse(lines, f"{len(lines)} violations:\n  " + "\n  ".join(lines[:60]))

    def test_our_requests_to_telnyx(self):
        self._none("telnyx", "request")

    def test_our_requests_to_meta(self):
        self._none("meta", "request")

    def test_the_sandbox_s_answers_as_telnyx(self):
        self._none("telnyx", "answer")

    def test_the_sandbox_s_answers_as_meta(self):
        self._none("meta", "answer")

    def test_enough_was_seen(self):
        self.assertGreaterEqual(self.count, LEAST["exchanges"], "run the whole suite `it` first")
        self.assertGreaterEqual(len(self.operations), LEAST["operations"], f"only {sorted(self.operations)}")

    def test_no_exception_is_idle(self):
        idle = "\n  ".join(self.exceptions.idle())
        self.assertFalse(idle, f"remove from exceptions.toml what no exchange needs:\n  {idle}")

    def test_exceptions_are_few(self):
        self.assertLessEqual(len(self.exceptions.all), MOST)


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
    if "Contract" in globals() and getattr(Contract, "count", 0):
        print(f"{Contract.count} exchanges of {len(ours)} sandboxes, {len(Contract.operations)} operations, "
              f"{sum(sum(one.hits.values()) for one in Contract.exceptions.excuses)} excused by {len(Contract.exceptions.all)} exceptions")
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
