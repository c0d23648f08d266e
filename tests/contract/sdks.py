#!/usr/bin/env python3
"""The suite `sdks`: Telnyx's and a public Meta SDK walk the way of a line on the sandbox, each step read as typed results.

The SDKs were written by others against the real APIs, so they judge the sandbox from another side than our own clients.
Must never look into the sandbox where an SDK can be asked. What they can't do: the Telnyx SDK calls its WhatsApp methods
at `/v2/v2/whatsapp/...`, a slip of the published file that no server answers, so those are not walked; pywa has no call
for subscribing an app or for `debug_token`; its `delete_waba_callback_url` is the request that subscribes.
"""
import datetime
import re
import sys
import unittest

import pywa
import telnyx
from pywa import errors, types

from bed import APP_SECRET, Ours, Sandbox, meta_client, telnyx_client, until
from refusals import MetaRefuses, TelnyxRefuses  # noqa: F401  their tests belong to this suite

WABA, BUSINESS = "104", "1020"


class Walk(unittest.TestCase):
    """In the order of the pipeline: each test begins where the one before it ended."""

    @classmethod
    def setUpClass(cls):
        cls.ours = Ours()
        cls.addClassCleanup(cls.ours.server_close)
        cls.addClassCleanup(cls.ours.shutdown)
        cls.sandbox = Sandbox(f"{cls.ours.url}/webhook")
        cls.addClassCleanup(cls.sandbox.stop)
        # pywa sends no appsecret_proof.
        cls.sandbox.post("/settings", {"meta": {"require_proof": False}})
        cls.telnyx = telnyx_client(cls.sandbox)
        cls.addClassCleanup(cls.telnyx.close)
        cls.meta = meta_client(cls.sandbox, WABA)
        cls.addClassCleanup(cls.meta.api._session.close)
        cls.heard = []
        cls.meta.add_handlers(pywa.handlers.MessageHandler(lambda _, message: cls.heard.append(message)))
        cls.meta.add_handlers(pywa.handlers.MessageStatusHandler(lambda _, status: cls.heard.append(status)))

        def take(body, signature):
            refused = cls.meta.webhook_update_validator(body, signature)
            return (refused or cls.meta.webhook_update_handler(body))[1]

        cls.ours.take_webhook = take

    # Telnyx: buying.
    def test_01_coverage_and_balance(self):
        coverage = self.telnyx.country_coverage.retrieve_country("MA").data
        self.assertEqual(("MA", True), (coverage.code, coverage.numbers))
        self.assertIn("mobile", coverage.phone_number_type)
        # data is a map from the country's name.
        countries = self.telnyx.country_coverage.retrieve().data
        self.assertIn("MA", [one.code for one in countries.values()])
        balance = self.telnyx.balance.retrieve().data
        self.assertRegex(balance.available_credit, r"^[0-9]+\.[0-9]+$")
        self.assertEqual(("balance", "USD"), (balance.record_type, balance.currency))

    def test_02_search(self):
        found = self.telnyx.available_phone_numbers.list(filter={
            "country_code": "MA", "phone_number_type": "mobile", "features": ["voice"], "limit": 3,
        })
        self.assertEqual(3, len(found.data))
        self.assertEqual(3, found.meta.total_results)
        for one in found.data:
            self.assertRegex(one.phone_number, r"^\+212[67][0-9]{8}$")
            self.assertEqual("available_phone_number", one.record_type)
            self.assertEqual("USD", one.cost_information.currency)
            self.assertRegex(one.cost_information.monthly_cost, r"^[0-9]+\.[0-9]+$")
            self.assertIn("voice", [feature.name for feature in one.features])
        type(self).number = found.data[0].phone_number

    def test_03_requirements(self):
        self.sandbox.post("/settings", {"telnyx": {"requirements": {"MA/national": [
            {"requirement_id": "2708e569-696a-4fc7-9305-5fdb3eb9c7dd", "field_type": "textual"},
        ]}}})
        needed = self.telnyx.regulatory_requirements.retrieve(
            filter={"country_code": "MA", "phone_number_type": "national", "action": "ordering"},
        ).data
        self.assertEqual(("MA", "national"), (needed[0].country_code, needed[0].phone_number_type))
        self.assertEqual("2708e569-696a-4fc7-9305-5fdb3eb9c7dd", needed[0].regulatory_requirements[0].id)

    def test_04_application(self):
        made = self.telnyx.texml_applications.create(
            friendly_name="sdk", voice_url=f"{self.ours.url}/texml", voice_method="get",
        ).data
        self.assertEqual(("texml_application", "get", True), (made.record_type, made.voice_method, made.active))
        type(self).application = made.id
        self.assertIn(made.id, [one.id for one in self.telnyx.texml_applications.list(filter={"friendly_name": "sdk"})])
        changed = self.telnyx.texml_applications.update(
            made.id, friendly_name="sdk", voice_url=f"{self.ours.url}/texml", tags=["clientnumber"],
        ).data
        self.assertEqual(["clientnumber"], changed.tags)
        self.assertEqual(made.id, self.telnyx.texml_applications.retrieve(made.id).data.id)

    def test_05_order_and_poll(self):
        made = self.telnyx.number_orders.create(
            phone_numbers=[{"phone_number": self.number}], customer_reference="sdk-1", connection_id=self.application,
        ).data
        self.assertEqual(("number_order", "sdk-1", 1), (made.record_type, made.customer_reference, made.phone_numbers_count))
        self.assertIsInstance(made.created_at, datetime.datetime)

        def decided():
            order = self.telnyx.number_orders.retrieve(made.id).data
            return order if order.status != "pending" else None

        order = until("the order to be decided", decided)
        self.assertEqual("success", order.status)
        self.assertEqual([(self.number, "MA")], [(one.phone_number, one.country_code) for one in order.phone_numbers])
        listed = list(self.telnyx.number_orders.list(filter={"customer_reference": "sdk-1"}))
        self.assertEqual([made.id], [one.id for one in listed])
        changed = self.telnyx.number_orders.update(made.id, customer_reference="sdk-1b").data
        self.assertEqual("sdk-1b", changed.customer_reference)

    def test_06_a_taken_number_is_refused(self):
        with self.assertRaises(telnyx.APIStatusError) as caught:
            self.telnyx.number_orders.create(phone_numbers=[{"phone_number": self.number}], customer_reference="sdk-2")
        self.assertEqual("85001", caught.exception.body["errors"][0]["code"])

    def test_07_an_order_with_requirements_waits_and_is_cancelled(self):
        offer = self.telnyx.available_phone_numbers.list(
            filter={"country_code": "MA", "phone_number_type": "national", "limit": 1},
        ).data[0]
        made = self.telnyx.number_orders.create(
            phone_numbers=[{"phone_number": offer.phone_number}], customer_reference="sdk-3",
        ).data
        self.assertEqual(("pending", False), (made.status, made.requirements_met))
        subs = self.telnyx.sub_number_orders.list(filter={"order_request_id": made.id}).data
        self.assertEqual(made.sub_number_orders_ids, [one.id for one in subs])
        sub = self.telnyx.sub_number_orders.retrieve(subs[0].id, filter={"include_phone_numbers": True}).data
        self.assertEqual(("sub_number_order", "MA", "national"), (sub.record_type, sub.country_code, sub.phone_number_type))
        self.assertEqual("textual", sub.regulatory_requirements[0].field_type)
        self.telnyx.sub_number_orders.cancel(sub.id)
        after = self.telnyx.sub_number_orders.retrieve(sub.id).data
        self.assertEqual("cancelled", after.status)

    def test_08_number(self):
        # Telnyx: the filter wants digits.
        digits = self.number[1:]
        found = until("the number in the list", lambda: list(self.telnyx.phone_numbers.list(filter={"phone_number": digits})))
        self.assertEqual([self.number], [one.phone_number for one in found])
        id = found[0].id
        type(self).number_id = id
        self.telnyx.phone_numbers.update(
            id, tags=["clientnumber", "sdk"], customer_reference="sdk-1", connection_id=self.application,
        )
        one = self.telnyx.phone_numbers.retrieve(id).data
        self.assertEqual(("active", "mobile"), (one.status, one.phone_number_type))
        self.assertEqual((["clientnumber", "sdk"], self.application), (one.tags, one.connection_id))
        self.assertIsInstance(one.purchased_at, str)
        self.assertIn(id, [one.id for one in self.telnyx.phone_numbers.list(filter={"tag": "sdk"})])
        self.assertIn(id, [one.id for one in self.telnyx.phone_numbers.slim_list(include_tags=True)])
        voice = self.telnyx.phone_numbers.voice.update(id, inbound_call_screening="disabled").data
        self.assertEqual((self.number, "disabled"), (voice.phone_number, voice.inbound_call_screening))
        self.assertFalse(self.telnyx.phone_numbers.voice.retrieve(id).data.call_recording.inbound_call_recording_enabled)

    # Meta: registering.
    def test_10_create_at_meta(self):
        made = self.meta.create_phone_number(
            country_calling_code="212", phone_number=self.number[4:], verified_name="Atlas Jobs",
        )
        type(self).line = made.id
        one = self.meta.get_business_phone_number(phone_id=made.id)
        self.assertEqual(re.sub(r"\D", "", self.number), re.sub(r"\D", "", one.display_phone_number))
        self.assertEqual(("Atlas Jobs", "NOT_VERIFIED", "NOT_APPLICABLE"),
                         (one.verified_name, one.code_verification_status, one.platform_type))
        listed = until("the number in the account", lambda: list(self.meta.get_business_phone_numbers()))
        self.assertEqual([made.id], [one.id for one in listed])
        account = self.meta.get_business_account()
        self.assertEqual((WABA, "APPROVED"), (account.id, account.account_review_status))

    def test_11_code_by_voice_through_the_transcription(self):
        since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)
        asked = self.meta.request_verification_code(code_method="VOICE", language_code="en_US", phone_id=self.line)
        self.assertTrue(asked.success)
        recordings = until("the recording", lambda: list(self.telnyx.recordings.list(filter={
            "to": self.number, "created_at": {"gte": since.strftime("%Y-%m-%dT%H:%M:%SZ")},
        })))
        recording = recordings[0]
        self.assertEqual((self.number, "completed", "single"), (recording.to, recording.status, recording.channels))
        self.assertEqual(recording.id, self.telnyx.recordings.retrieve(recording.id).data.id)

        def transcribed():
            found = list(self.telnyx.recording_transcriptions.list(filter={"recording_id": recording.id}))
            return [one for one in found if one.status == "completed"]

        transcription = until("the transcription", transcribed)[0]
        words = transcription.transcription_text
        code = spoken(words)
        self.assertRegex(code, r"^[0-9]{6}$", words)
        read = self.telnyx.recording_transcriptions.retrieve(transcription.id).data
        self.assertEqual(words, read.transcription_text)
        # The other way to the same words.
        audio = self.telnyx.with_options(base_url=self.sandbox.telnyx).ai.audio.transcribe(
            model="openai/whisper-large-v3-turbo", file_url=recording.download_urls.wav,
        )
        self.assertEqual(code, spoken(audio.text))
        wrong = f"{(int(code) + 1) % 1_000_000:06}"
        with self.assertRaises(errors.WhatsAppError) as caught:
            self.meta.verify_phone_number(wrong, phone_id=self.line)
        self.assertEqual(136025, caught.exception.code)
        self.assertTrue(self.meta.verify_phone_number(code, phone_id=self.line).success)
        self.assertEqual("VERIFIED", self.meta.get_business_phone_number(phone_id=self.line).code_verification_status)
        self.assertEqual(recording.id, self.telnyx.recordings.delete(recording.id).data.id)
        self.assertEqual(transcription.id, self.telnyx.recording_transcriptions.delete(transcription.id).data.id)

    def test_12_call_logs(self):
        events = list(self.telnyx.call_events.list(filter={"to": self.number}))
        self.assertIn("call.hangup", [one.name for one in events])
        records = until("the detail record", lambda: list(self.telnyx.detail_records.list(
            filter={"record_type": "call-control", "cld": self.number},
        )))
        self.assertEqual("call-control", records[0].record_type)

    def test_13_register(self):
        self.assertTrue(self.meta.register_phone_number("314159", phone_id=self.line).success)
        one = self.meta.get_business_phone_number(phone_id=self.line)
        self.assertEqual(("CONNECTED", "CLOUD_API", True), (one.status, one.platform_type, one.is_pin_enabled))
        self.assertEqual(["CONNECTED"], [one.status for one in self.meta.get_business_phone_numbers()])
        with self.assertRaises(errors.WhatsAppError) as caught:
            self.meta.register_phone_number("000001", phone_id=self.line)
        self.assertEqual(133005, caught.exception.code)

    def test_14_profile(self):
        self.assertTrue(self.meta.update_business_profile(
            about="We hire", email="jobs@example.com", websites=["https://example.com/"], phone_id=self.line,
        ).success)
        profile = self.meta.get_business_profile(phone_id=self.line)
        self.assertEqual(("We hire", "jobs@example.com"), (profile.about, profile.email))
        self.assertEqual(("https://example.com/",), tuple(profile.websites))

    def test_15_display_name(self):
        self.sandbox.post("/settings", {"meta": {"name_decision": "PENDING"}})
        self.assertTrue(self.meta.update_display_name("Atlas Careers", phone_id=self.line).success)
        one = self.meta.get_business_phone_number(phone_id=self.line)
        self.assertEqual(("Atlas Jobs", "PENDING_REVIEW"), (one.verified_name, one.new_name_status))

    def test_16_subscribe_and_webhooks(self):
        self.assertTrue(self.meta.delete_waba_callback_url().success)  # the request that subscribes
        apps = self.meta.api.get_waba_subscribed_apps(WABA)["data"]
        self.assertEqual("7700", apps[0]["whatsapp_business_api_data"]["id"])
        person = {"name": "Amina", "phone": "+212611223344"}
        sent = self.sandbox.post("/messages", {"to": self.line, "from": person, "text": "سلام", "wait": True})
        self.assertTrue(sent["delivered"], sent)
        message = until("the message", lambda: [one for one in self.heard if isinstance(one, types.Message)])[0]
        self.assertEqual((sent["wamid"], "سلام"), (message.id, message.text))
        self.assertEqual(("Amina", "212611223344"), (message.from_user.name, message.from_user.wa_id))
        self.assertEqual((self.line, self.number[1:]), (message.metadata.phone_number_id, message.metadata.display_phone_number))
        shy = self.sandbox.post("/messages", {"to": self.line, "from": {"name": "Samir", "username": "samir.b"}, "text": "hi", "wait": True})
        other = until("the other message", lambda: [one for one in self.heard if one.id == shy["wamid"]])[0]
        self.assertIsNone(other.from_user.wa_id)
        self.assertRegex(other.from_user.bsuid, r"^MA\.[0-9A-Za-z]+$")
        self.sandbox.post("/statuses", {"line": self.line, "message_id": sent["wamid"], "status": "delivered",
                                        "recipient": person, "wait": True})
        status = until("the status", lambda: [one for one in self.heard if isinstance(one, types.MessageStatus)])[0]
        self.assertEqual((sent["wamid"], types.MessageStatusType.DELIVERED), (status.id, status.status))
        refused = self.sandbox.post("/webhook-raw?signature=bad", {"object": "whatsapp_business_account", "entry": []})
        self.assertEqual(403, refused["status"])

    def test_17_a_line_of_another_operator_reads_its_code_as_its_owner_does(self):
        line = self.meta.create_phone_number(country_calling_code="212", phone_number="661112233", verified_name="Rif Jobs").id
        self.meta.request_verification_code(code_method="SMS", language_code="en_US", phone_id=line)
        code = until("the code", lambda: self.sandbox.get("/codes?to=%2B212661112233")["codes"])[0]["code"]
        self.assertTrue(self.meta.verify_phone_number(code, phone_id=line).success)
        self.assertTrue(self.meta.register_phone_number("271828", phone_id=line).success)
        self.assertEqual("CONNECTED", self.meta.get_business_phone_number(phone_id=line).status)

    # What no SDK has a call for, by its own client: only the answers are looked at.
    def test_18_token_business_and_app(self):
        graph = self.meta.api._request
        token = graph("GET", "/debug_token", params={"input_token": "token-of-the-sdks"})["data"]
        self.assertEqual((True, "7700"), (token["is_valid"], token["app_id"]))
        business = graph("GET", f"/{BUSINESS}", params={"fields": "id,name,verification_status"})
        self.assertEqual("verified", business["verification_status"])
        as_app = {"Authorization": f"Bearer 7700|{APP_SECRET}"}  # Meta: with a token of the app only
        subscriptions = graph("GET", "/7700/subscriptions", headers=as_app)["data"]
        self.assertIn("messages", [field["name"] for field in subscriptions[0]["fields"]])

    # Giving back.
    def test_20_deregister(self):
        self.assertTrue(self.meta.deregister_phone_number(phone_id=self.line).success)
        listed = {one.id: one.status for one in self.meta.get_business_phone_numbers()}
        self.assertEqual("DISCONNECTED", listed[self.line])

    def test_21_delete(self):
        gone = self.telnyx.phone_numbers.delete(self.number_id).data
        self.assertEqual((self.number_id, self.number), (gone.id, gone.phone_number))
        self.assertEqual([], list(self.telnyx.phone_numbers.list(filter={"phone_number": self.number[1:]})))
        with self.assertRaises(telnyx.NotFoundError):
            self.telnyx.phone_numbers.retrieve(self.number_id)
        self.assertEqual(self.application, self.telnyx.texml_applications.delete(self.application).data.id)

    def test_22_one_purchase_was_made(self):
        ledger = self.sandbox.get("/ledger")
        self.assertEqual(["order", "rent_start", "rent_stop"], [entry["kind"] for entry in ledger["entries"]])


def spoken(words):
    """The code in what was heard: digits, apart or together, or their English names."""
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    text = words.lower()
    for digit, name in enumerate(names):
        text = re.sub(rf"\b{name}\b", str(digit), text)
    text = re.sub(r"\boh\b", "0", text)
    found = set(re.findall(r"[0-9]{6}", re.sub(r"(?<=[0-9])[ ,.-]+(?=[0-9])", "", text)))
    return found.pop()[:6] if len(found) == 1 else ""


if __name__ == "__main__":
    unittest.main(verbosity=2, failfast=False, argv=[sys.argv[0], *sys.argv[1:]])
