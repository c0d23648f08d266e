"""Refusals of the sandbox as the SDKs read them: status, code, and a text for a person. Part of the suite `sdks`.

Each class has a sandbox of its own, put into the state that refuses. The suite `contract` then judges the same answers
against the providers' files.
"""
import unittest

import telnyx
from pywa import errors

from bed import Sandbox, meta_client, telnyx_client

WABA = "104"


class TelnyxRefuses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox("http://127.0.0.1:9/webhook")
        cls.addClassCleanup(cls.sandbox.stop)
        cls.client = telnyx_client(cls.sandbox)
        cls.addClassCleanup(cls.client.close)

    def _set(self, **settings):
        before = self.sandbox.get("/settings")["telnyx"]
        self.addCleanup(self.sandbox.post, "/settings", {"telnyx": {name: before[name] for name in settings}})
        self.sandbox.post("/settings", {"telnyx": settings})

    def _refused(self, kind, statuses, code, call):
        with self.assertRaises(kind) as caught:
            call()
        error = caught.exception.body["errors"][0]
        self.assertIn(caught.exception.status_code, statuses)
        self.assertEqual(code, error["code"])
        self.assertTrue(error["title"] and error["detail"])

    def _offer(self):
        wanted = {"country_code": "MA", "phone_number_type": "mobile", "limit": 1}
        return self.client.available_phone_numbers.list(filter=wanted).data[0].phone_number

    def _order(self, number, **more):
        return self.client.number_orders.create(phone_numbers=[{"phone_number": number}], **more)

    def test_a_bad_key(self):
        self._set(bad_keys=["KEY-bad"])
        with telnyx_client(self.sandbox, "KEY-bad") as client:
            for call in (client.balance.retrieve, client.phone_numbers.list, client.number_orders.list):
                self._refused(telnyx.AuthenticationError, [401], "10009", call)
            self._refused(telnyx.AuthenticationError, [401], "10009", lambda: client.number_orders.create(phone_numbers=[]))

    def test_no_coverage(self):
        self._set(coverage={"MA": []})
        for status in (400, 404, 422):
            self._set(no_coverage_status=status)
            with self.assertRaises(telnyx.APIStatusError) as caught:
                self._offer()
            self.assertEqual(status, caught.exception.status_code)

    def test_orders(self):
        self._refused(telnyx.APIStatusError, [400], "85000", lambda: self._order("+212600000000"))
        self._refused(telnyx.APIStatusError, [400, 422], "10004", lambda: self.client.number_orders.create())
        self._refused(telnyx.APIStatusError, [422], "10016", lambda: self._order("0600000000"))
        number = self._offer()
        self._refused(telnyx.APIStatusError, [422], "85004", lambda: self._order(number, connection_id="1"))
        self._set(balance="0.10")
        for status in (402, 403, 422):
            self._set(no_funds_status=status)
            self._refused(telnyx.APIStatusError, [status], "20100", lambda: self._order(number))

    def test_what_is_not_there(self):
        uuid, id = "12ade33a-21c0-473b-b055-b3c836e1c292", "1293384261075731499"
        for call in (
            lambda: self.client.number_orders.retrieve(uuid),
            lambda: self.client.sub_number_orders.retrieve(uuid),
            lambda: self.client.phone_numbers.retrieve(id),
            lambda: self.client.phone_numbers.update(id, tags=[]),
            lambda: self.client.phone_numbers.delete(id),
            lambda: self.client.phone_numbers.voice.retrieve(id),
            lambda: self.client.texml_applications.retrieve(id),
            lambda: self.client.texml_applications.delete(id),
            lambda: self.client.recordings.retrieve(uuid),
            lambda: self.client.recordings.delete(uuid),
            lambda: self.client.recording_transcriptions.retrieve(uuid),
            lambda: self.client.recording_transcriptions.delete(uuid),
        ):
            self._refused(telnyx.NotFoundError, [404], "10005", call)

    def test_what_is_not_valid(self):
        self._refused(telnyx.APIStatusError, [422], "10004", lambda: self.client.texml_applications.create(friendly_name="", voice_url=""))
        self._refused(telnyx.APIStatusError, [400], "10015", lambda: list(self.client.detail_records.list(filter={"record_type": "nothing"})))

    def test_too_many(self):
        self._set(requests_per_second=1)

        def hurry():
            for _ in range(200):
                self.client.balance.retrieve()

        self._refused(telnyx.RateLimitError, [429], "10011", hurry)


class MetaRefuses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox("http://127.0.0.1:9/webhook")
        cls.addClassCleanup(cls.sandbox.stop)
        cls.client = meta_client(cls.sandbox, WABA)
        cls.addClassCleanup(cls.client.api._session.close)
        cls.next = 661_000_000

    def setUp(self):
        self._set(require_proof=False)

    def _set(self, **settings):
        before = self.sandbox.get("/settings")["meta"]
        self.addCleanup(self.sandbox.post, "/settings", {"meta": {name: before[name] for name in settings}})
        self.sandbox.post("/settings", {"meta": settings})

    def _refused(self, code, call, subcode=None):
        with self.assertRaises(errors.WhatsAppError) as caught:
            call()
        error = caught.exception
        self.assertEqual(code, error.code, error)
        if subcode:
            self.assertEqual(subcode, error.subcode, error)
        self.assertTrue(error.message and error.fbtrace_id)

    def _line(self):
        type(self).next += 1
        return self.client.create_phone_number(country_calling_code="212", phone_number=str(self.next), verified_name="Rif Jobs").id

    def _ask(self, line):
        return self.client.request_verification_code(code_method="SMS", language_code="en_US", phone_id=line)

    def _verified(self):
        line = self._line()
        self._ask(line)
        code = self.sandbox.get(f"/codes?to=%2B212{self.next}")["codes"][0]["code"]
        self.client.verify_phone_number(code, phone_id=line)
        return line

    def test_tokens(self):
        line = self._line()
        self._set(bad_tokens=["token-bad"])
        bad = meta_client(self.sandbox, WABA, "token-bad")
        self.addCleanup(bad.api._session.close)
        for call in (
            bad.get_business_phone_numbers,
            lambda: bad.get_business_phone_number(phone_id=line),
            lambda: bad.request_verification_code(code_method="SMS", language_code="en_US", phone_id=line),
            lambda: bad.register_phone_number("314159", phone_id=line),
            lambda: bad.create_phone_number(country_calling_code="212", phone_number="661999999", verified_name="Rif Jobs"),
        ):
            self._refused(190, call)
        self._set(require_proof=True)
        self._refused(100, self.client.get_business_phone_numbers)

    def test_objects_that_the_token_does_not_see(self):
        self._set(unknown_ids=[WABA, "42"])
        self._refused(100, lambda: self.client.get_business_phone_number(phone_id="42"), 33)
        self._refused(100, self.client.get_business_account, 33)

    def test_a_number_that_is_there_already_and_a_full_business(self):
        self._line()
        self._refused(100, lambda: self.client.create_phone_number(
            country_calling_code="212", phone_number=str(self.next), verified_name="Rif Jobs",
        ))
        self._set(number_cap=1)
        self._refused(200, self._line, 1349175)

    def test_codes(self):
        line = self._line()
        self._set(code_budget=2)
        self._refused(136025, lambda: self.client.verify_phone_number("000000", phone_id=line))
        self._ask(line)
        self._ask(line)
        self._refused(136024, lambda: self._ask(line))
        self._refused(136024, lambda: self._ask(self._verified()))

    def test_registering(self):
        self._refused(133006, lambda: self.client.register_phone_number("314159", phone_id=self._line()))
        line = self._verified()
        self.assertTrue(self.client.register_phone_number("314159", phone_id=line).success)
        self._refused(133005, lambda: self.client.register_phone_number("271828", phone_id=line))
        self._set(register_budget=1)
        self._refused(133016, lambda: self.client.register_phone_number("314159", phone_id=line))
        burnt = self._verified()
        self._set(burnt=[f"+212{self.next}"], register_budget=10)
        self._refused(100, lambda: self.client.register_phone_number("314159", phone_id=burnt), 2388001)
        self._refused(100, lambda: self.client.deregister_phone_number(phone_id=burnt), 2207051)
