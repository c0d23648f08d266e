"""Exchanges that are broken on purpose: each must be a violation that names the operation, the direction and the place.

Begins with exchanges that keep the contract, so that what is found is what was broken.
"""
import copy
import dataclasses
import io
import json
import os
import pathlib
import tempfile
import unittest

from contract import Contract, the_judge
from exceptions import Excuse, Exceptions, fits
from exchanges import JOURNALS, Exchange
from judge import Violation

JSON = {"content-type": "application/json", "authorization": "Bearer ***"}
ORDER = Exchange(
    "telnyx", "telnyx.create_number_order", "POST", "/v2/number_orders", {}, JSON,
    {"phone_numbers": [{"phone_number": "+212600000001"}], "customer_reference": "cn-1"},
    200, {"content-type": "application/json; charset=utf-8"},
    {"data": {
        "id": "12ade33a-21c0-473b-b055-b3c836e1c292", "record_type": "number_order", "status": "pending",
        "phone_numbers_count": 1, "requirements_met": True, "created_at": "2026-11-24T10:00:00Z",
        "phone_numbers": [{"id": "dc8e4d67-33a0-4cbb-af74-7b58f05bd494", "phone_number": "+212600000001", "status": "pending"}],
    }},
)
NUMBERS = Exchange(
    "telnyx", "telnyx.list_numbers", "GET", "/v2/phone_numbers",
    {"filter[tag]": "clientnumber", "page[number]": "1", "page[size]": "250"}, {"authorization": "Bearer ***"}, None,
    200, {"content-type": "application/json"},
    {"data": [], "meta": {"page_number": 1, "page_size": 250, "total_pages": 0, "total_results": 0}},
)
CODE = Exchange(
    "meta", "meta.request_code", "POST", "/v25.0/1060/request_code", {}, JSON,
    {"code_method": "VOICE", "language": "en_US"}, 200, {"content-type": "application/json"}, {"success": True},
)
TELNYX_ORDER, TELNYX_LIST = "telnyx POST /number_orders", "telnyx GET /phone_numbers"
META_CODE = "meta POST /{Version}/{Phone-Number-ID}/request_code"


def changed(exchange, **fields):
    """A copy with some of its facts changed: `body__status=...` changes a field of the body."""
    copied = copy.deepcopy(exchange)
    for name, value in fields.items():
        target, *steps = name.split("__")
        if not steps:
            setattr(copied, target, value)
            continue
        node = getattr(copied, target)
        for step in steps[:-1]:
            node = node[int(step) if isinstance(node, list) else step]
        last = int(steps[-1]) if isinstance(node, list) else steps[-1]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return copied


def asked(exchange, key, value):
    return changed(exchange, query={**exchange.query, key: value})


# What is broken, the exchange, and the one violation that must be found: operation, direction, place, keyword.
BROKEN = [
    ("a wrong type asked", changed(ORDER, body__phone_numbers="+212600000001"), TELNYX_ORDER, "request", "/body/phone_numbers", "type"),
    ("a required field not sent", changed(ORDER, body__phone_numbers__0={}), TELNYX_ORDER, "request", "/body/phone_numbers/0", "required"),
    ("an undeclared field sent", changed(ORDER, body__webhook_url="x"), TELNYX_ORDER, "request", "/body/webhook_url", "undeclared"),
    ("an undeclared field sent deep inside", changed(ORDER, body__phone_numbers__0={"phone_number": "+2126", "price": "1"}), TELNYX_ORDER, "request", "/body/phone_numbers/0/price", "undeclared"),
    ("a read-only field sent", changed(ORDER, body__status="success"), TELNYX_ORDER, "request", "/body/status", "undeclared"),
    ("a required body not sent", changed(CODE, body=None), META_CODE, "request", "/body", "missing"),
    ("a form for JSON", changed(ORDER, headers={**JSON, "content-type": "text/plain"}), TELNYX_ORDER, "request", "/headers/content-type", "undeclared"),
    ("no token", changed(ORDER, headers={"content-type": "application/json"}), TELNYX_ORDER, "request", "/headers/authorization", "missing"),
    ("an unknown query parameter", asked(NUMBERS, "tags", "x"), TELNYX_LIST, "request", "/query/tags", "undeclared"),
    ("an unknown filter", asked(NUMBERS, "filter[colour]", "x"), TELNYX_LIST, "request", "/query/filter/colour", "undeclared"),
    ("a page too long", asked(NUMBERS, "page[size]", "1000"), TELNYX_LIST, "request", "/query/page/size", "maximum"),
    ("a page that is no number", asked(NUMBERS, "page[number]", "two"), TELNYX_LIST, "request", "/query/page/number", "type"),
    ("a filter that is no member of the enum", asked(NUMBERS, "filter[status]", "mine"), TELNYX_LIST, "request", "/query/filter/status", "enum"),
    ("an unknown path", changed(NUMBERS, path="/v2/phonenumbers"), "telnyx GET /phonenumbers", "request", "/path", "undeclared"),
    ("an unknown method", changed(NUMBERS, method="PUT"), "telnyx PUT /phone_numbers", "request", "/path", "undeclared"),
    ("a bad member of an enum sent", changed(CODE, body__code_method="PIGEON"), META_CODE, "request", "/body/code_method", "enum"),
    ("a bad pattern sent", changed(CODE, body__language="EN_us"), META_CODE, "request", "/body/language", "pattern"),
    ("a required field of Meta's not sent", changed(CODE, body__language=None), META_CODE, "request", "/body", "required"),
    ("a wrong type answered", changed(ORDER, response__data__phone_numbers_count="1"), TELNYX_ORDER, "answer", "/200/body/data/phone_numbers_count", "type"),
    ("a bad member of an enum answered", changed(ORDER, response__data__status="maybe"), TELNYX_ORDER, "answer", "/200/body/data/status", "enum"),
    ("a bad format answered", changed(ORDER, response__data__id="42"), TELNYX_ORDER, "answer", "/200/body/data/id", "format"),
    ("a bad time answered", changed(ORDER, response__data__created_at="today"), TELNYX_ORDER, "answer", "/200/body/data/created_at", "format"),
    ("an undeclared field answered", changed(ORDER, response__data__colour="red"), TELNYX_ORDER, "answer", "/200/body/data/colour", "undeclared"),
    ("a required field not answered", changed(CODE, response={}), META_CODE, "answer", "/200/body", "required"),
    ("an undeclared status", changed(ORDER, status=418), TELNYX_ORDER, "answer", "/status", "undeclared"),
    ("a page of HTML", changed(ORDER, response_headers={"content-type": "text/html"}), TELNYX_ORDER, "answer", "/200/headers/content-type", "undeclared"),
    ("no body answered", changed(ORDER, response=None), TELNYX_ORDER, "answer", "/200/body", "missing"),
]


class BrokenExchanges(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.judge = the_judge()

    def test_whole_exchanges_pass(self):
        for exchange in (ORDER, NUMBERS, CODE):
            self.assertEqual([], [str(one) for one in self.judge.judge(exchange)[1]])

    def _found(self, broken, direction):
        for what, exchange, operation, side, place, keyword in broken:
            if side == direction:
                with self.subTest(what):
                    found = self.judge.judge(exchange)[1]
                    where = [(one.operation, one.direction, one.place, one.keyword) for one in found]
                    self.assertEqual([(operation, side, place, keyword)], where)
                    for part in (operation, side, place):
                        self.assertIn(part, str(found[0]))

    def test_each_broken_request_is_found(self):
        self._found(BROKEN, "request")

    def test_each_broken_answer_is_found(self):
        self._found(BROKEN, "answer")


class Excuses(unittest.TestCase):
    LINE = {"operation": "telnyx GET *", "direction": "answer", "place": "/200/body/*", "keyword": "undeclared", "values": ['"a"', '"b"']}

    def test_a_star_is_one_step(self):
        for place, fitting in (("/200/body/a", True), ("/200/body", False), ("/200/body/a/b", False), ("/404/body/a", False)):
            self.assertEqual(fitting, fits(place, "/200/body/*"), place)

    def test_it_covers_what_it_names_and_no_more(self):
        fitting = Violation("telnyx GET /balance", "answer", "/200/body/a", "undeclared", '"a"', "")
        excuse = Excuse("one", self.LINE)
        self.assertTrue(excuse.covers(fitting))
        for name, other in (("operation", "meta GET /x"), ("direction", "request"), ("place", "/200/body/c/a"), ("keyword", "type"), ("value", '"c"')):
            self.assertFalse(excuse.covers(dataclasses.replace(fitting, **{name: other})), name)

    def test_a_value_that_nothing_needs_is_told(self):
        exceptions = Exceptions()
        exceptions.excuses = [Excuse("one", self.LINE)]
        found = Violation("telnyx GET /balance", "answer", "/200/body/a", "undeclared", '"a"', "")
        self.assertEqual([], exceptions.remaining([found]))
        self.assertEqual(['one: telnyx GET *, answer /200/body/*, undeclared: "b"'], exceptions.idle())

    def test_it_says_everything_or_is_refused(self):
        for key in self.LINE:
            with self.assertRaises(SystemExit):
                Excuse("one", {name: value for name, value in self.LINE.items() if name != key})


class BrokenRuns(unittest.TestCase):
    """The whole suite on a run that would pass, with one broken exchange added: it must fail and say which."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        for journal in JOURNALS.glob("*.jsonl"):
            os.symlink(journal, pathlib.Path(cls.folder.name) / journal.name)

    def _suite(self, exchange, folder=None):
        folder = pathlib.Path(folder or self.folder.name)
        began = {
            "provider": exchange.provider, "operation": exchange.operation, "method": exchange.method, "path": exchange.path,
            "query": exchange.query, "headers": exchange.headers, "body": exchange.body,
        }
        ended = {"response_headers": exchange.response_headers, "response": exchange.response}
        lines = [{"n": 1, "began": began}, {"n": 1, "status": exchange.status, "ended": ended}]
        added = folder / "added.jsonl"
        added.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"n": 2, "bega')  # killed while it wrote
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(
            type("Added", (Contract,), {"folder": folder}),
        )
        told = io.StringIO()
        return unittest.TextTestRunner(told).run(suite).wasSuccessful(), told.getvalue()

    def _fails(self, exchange, *words):
        passed, output = self._suite(exchange)
        self.assertFalse(passed, output)
        for word in words:
            self.assertIn(word, output)

    def test_a_broken_request_fails_the_suite(self):
        self._fails(changed(ORDER, body__webhook_url="elsewhere"), f"{TELNYX_ORDER}: request /body/webhook_url", "added.jsonl:1")

    def test_a_broken_answer_fails_the_suite(self):
        self._fails(changed(CODE, response__success="yes"), f"{META_CODE}: answer /200/body/success", "added.jsonl:1")

    def test_a_run_of_one_exchange_is_no_proof(self):
        with tempfile.TemporaryDirectory() as folder:
            passed, output = self._suite(ORDER, folder)
        self.assertFalse(passed)
        for word in ("test_enough_was_seen", "run the whole suite `it` first", "test_no_exception_is_idle"):
            self.assertIn(word, output)

    def test_a_whole_exchange_changes_nothing(self):
        passed, output = self._suite(ORDER)
        self.assertNotIn("added.jsonl", output)
        self.assertTrue(passed, output)
