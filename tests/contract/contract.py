"""The judgement of all journals of a folder, as tests that look at it from several sides."""
import functools
import unittest

import exchanges
from exceptions import MOST, Exceptions
from judge import Judge

# A whole run brings some 2,300 calls of our programs and 56 operations; a run of few tests must not look like a proof.
LEAST = {"exchanges": 1_500, "operations": 55}


@functools.cache
def the_judge():
    """The files are read once."""
    return Judge()


class Contract(unittest.TestCase):
    """One judgement, read from several sides."""

    folder = exchanges.JOURNALS

    @classmethod
    def setUpClass(cls):
        judge = the_judge()
        cls.exceptions = Exceptions()
        cls.count, cls.operations, violations = 0, set(), []
        for origin in ("ours", "sdk"):
            count, different = exchanges.of_run(cls.folder, origin)
            cls.count += count if origin == "ours" else 0
            for exchange in different:
                name, found = judge.judge(exchange)
                if origin == "ours":
                    cls.operations.add(name)
                # What the SDKs ask is theirs to answer for; what they are answered is ours.
                violations += [one for one in found if origin == "ours" or one.direction == "answer"]
        cls.violations = cls.exceptions.remaining(violations)

    def _none(self, provider, direction):
        found = [one for one in self.violations if one.operation.startswith(provider) and one.direction == direction]
        lines = list(dict.fromkeys(map(str, found)))
        if lines:
            self.fail(f"{len(lines)} violations:\n  " + "\n  ".join(lines[:60]))

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
        if idle:
            self.fail(f"remove from exceptions.toml what no exchange needs:\n  {idle}")

    def test_exceptions_are_few(self):
        self.assertLessEqual(len(self.exceptions.all), MOST)
