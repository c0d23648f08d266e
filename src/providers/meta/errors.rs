//! Meta's error codes: class, reason, sentence. One table; the first row that fits is taken.
//!
//! Meta: decide by code first, then subcode and text, HTTP status last (most refusals are HTTP 400). Subcodes are used
//! where they come, and never required: officially they are deprecated. Some outcomes differ by their text alone
//! (100/2388001). What no row knows is Transient for reads and Unknown for effects. Codes that come without an answer, in the
//! `errors` of a webhook or of a number's health, are here as well ([`told`]). docs/provider-codes.md says where each code is
//! known from; docs/errors.md is made from this table.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::providers::classify::Class::{NeedsHuman, Refused, Throttled, Transient, Unclear};
use crate::providers::classify::{self, Problem, Row};
use crate::providers::error::Provider;
use crate::providers::reason::Reason;
use crate::providers::refusal::Dialect;

/// How Meta words errors.
pub(in crate::providers) static DIALECT: Dialect =
    Dialect { provider: Provider::Meta, rows: TABLE, problems, wait: regain_access, trace_header: "x-fb-trace-id" };

const ADD: &[&str] = &["create_phone_number"];
const NAME: &[&str] = &["create_phone_number", "set_display_name"];
const CODE: &[&str] = &["request_code"];
const REGISTER: &[&str] = &["register"];
const DEREGISTER: &[&str] = &["deregister"];
const HOUR: u64 = 3600;
const AFTER_LIMIT: &[&str] =
    &["phone number limit", "limit of phone numbers", "maximum number of phone numbers", "number limit exceeded"];

/// The table.
#[rustfmt::skip]
pub static TABLE: &[Row] = &[
    // Codes. 136024 says three different things; without a subcode the number must be read again.
    Row::new("136024", Throttled, Reason::CodeVolumeLimit, "nothing to do now; Meta refuses more codes for this number, the next one is asked for by itself when the budget allows").sub(2_388_367).wait(HOUR),
    Row::new("136024", Transient, Reason::CodeServersUnavailable, "nothing to do now; Meta can't place the call, the next one is asked for by itself after an hour").sub(2_388_091).wait(HOUR),
    Row::new("136024", Refused, Reason::AlreadyVerified, "nothing to do: the number is verified, it is read again by itself").says(&["already verified", "already been verified"]),
    Row::new("136024", Throttled, Reason::CodeVolumeLimit, "nothing to do now; codes were asked for too often, also in WhatsApp Manager, and the next one is asked for by itself when the budget allows").says(&["too many times", "volume limit"]).wait(HOUR),
    Row::new("136024", Transient, Reason::CodeServersUnavailable, "nothing to do now; Meta's servers for codes are away, the next code is asked for by itself").says(&["temporarily unavailable", "try again in some time", "wait 1 hour"]).wait(HOUR),
    Row::new("136024", Refused, Reason::CodeRequestRefused, "nothing to do now; the number is read again by itself, since Meta also answers this way when it is verified already").wait(HOUR),
    Row::new("136025", Refused, Reason::WrongCode, "nothing to do: the code was wrong or too old, a new one is asked for by itself when the budget allows"),
    Row::new("100", NeedsHuman, Reason::NotEligible, "read the number's state in WhatsApp Manager: Meta won't verify it now").only(CODE).says(&["not eligible"]),
    // Registering.
    Row::new("133000", Refused, Reason::DeregisterIncomplete, "deregister the number in WhatsApp Manager if this stays: an earlier deregistration is incomplete, and registering is tried again by itself"),
    Row::new("133004", Transient, Reason::ProviderUnavailable, "nothing to do now; Meta's registration server is away, it is tried again by itself"),
    Row::new("133005", NeedsHuman, Reason::PinMismatch, "set the number's two-step PIN in WhatsApp Manager to the one in its Secret, or put the right PIN into the Secret; it is never guessed"),
    Row::new("133006", Refused, Reason::NeedsVerification, "nothing to do: the number is verified again by itself, then registered"),
    Row::new("133008", NeedsHuman, Reason::PinBlocked, "wait as long as the message says, then set the PIN in WhatsApp Manager: it was given wrongly too often"),
    Row::new("133009", Throttled, Reason::PinBlocked, "nothing to do now; the PIN was given too fast, it is tried again later").wait(HOUR),
    Row::new("133010", Refused, Reason::NotRegistered, "nothing to do: the number is registered by itself if it should be"),
    Row::new("133015", Transient, Reason::RecentlyDeleted, "nothing to do now; Meta is still deleting the number, it is tried again by itself in five minutes").wait(300),
    Row::new("133016", Throttled, Reason::RegisterLimit, "find out in the events why the number was registered or deregistered ten times; Meta allows it again after 72 hours, and it is tried then by itself").wait(72 * HOUR),
    Row::new("100", Refused, Reason::NumberBurnt, "have the former owner delete the WhatsApp account of this number, then kubectl clientnumber retry NAME; or give the number up and buy another with kubectl clientnumber replace NAME").sub(2_388_001).says(&["existing whatsapp account", "disconnect it"]),
    Row::new("100", Transient, Reason::NameNotReady, "nothing to do now; the display name is not provisioned yet, it is tried again by itself").sub(2_388_001).says(&["display name"]).wait(300),
    Row::new("100", Unclear, Reason::NameNotReady, "look at the number in WhatsApp Manager if this stays: Meta can't make its certificate and does not say why; it is looked at again by itself").sub(2_388_001).wait(HOUR),
    Row::new("100", Refused, Reason::NumberBurnt, "have the WhatsApp account of this number deleted, then kubectl clientnumber retry NAME; or give the number up and buy another with kubectl clientnumber replace NAME").only(REGISTER).says(&["existing whatsapp account"]),
    Row::new("100", NeedsHuman, Reason::BusinessAppNumber, "disconnect the number from the WhatsApp Business app, or use another number").says(&["smb business"]),
    Row::new("100", Refused, Reason::NotRegistered, "nothing to do: the number was not registered").only(DEREGISTER).sub(2_207_051),
    Row::new("100", Refused, Reason::NotRegistered, "nothing to do: the number is not registered (any more)").only(DEREGISTER).says(&["not registered"]),
    Row::new("131031", NeedsHuman, Reason::AccountLocked, "open Meta Business Suite: the WhatsApp account is locked, the appeal is made there"),
    // Adding. The OpenAPI file has 1349175 for any missing right, so that it means the cap only where a number is added.
    Row::new("100", Refused, Reason::AlreadyAdded, "nothing to do: the number is looked up in the account by itself").only(ADD).says(&["already registered", "already added", "already exists", "already in use"]),
    Row::new("200000", NeedsHuman, Reason::NumberCapReached, "remove a number that is not used in WhatsApp Manager, or ask Meta Direct Support for more, then raise limits.maxNumbers").says(&["limit", "maximum"]),
    Row::new("200-299", NeedsHuman, Reason::NumberCapReached, "remove a number that is not used in WhatsApp Manager, verify the business, or ask Meta Direct Support for more numbers").only(ADD).sub(1_349_175),
    Row::new("0-299", NeedsHuman, Reason::NumberCapReached, "remove a number in WhatsApp Manager or ask Meta for more: the account has all the numbers it may have").only(ADD).says(AFTER_LIMIT),
    Row::new("200000", NeedsHuman, Reason::NotEligible, "look in WhatsApp Manager why this number can't be added to the account; restrictions are shown there").only(ADD),
    Row::new("300", Unclear, Reason::ProviderUnavailable, "nothing to do now; the number's edit failed at Meta and is looked at again by itself"),
    Row::new("4", Throttled, Reason::RateLimited, "nothing to do now; numbers are added too fast, the next one follows later by itself").only(ADD).sub(2_446_080),
    Row::new("100", NeedsHuman, Reason::NameRefused, "choose another spec.displayName: 2 to 75 characters, clearly related to the business").only(NAME).says(&["verified_name", "verified name", "display name", "display_name"]),
    // Tokens and rights.
    Row::new("190", NeedsHuman, Reason::TokenInvalid, "make a system user token that never expires and put it into the Secret: the access token has run out").sub(463),
    Row::new("190", NeedsHuman, Reason::TokenInvalid, "make a new system user token and put it into the Secret: the access token was invalidated (password or rights changed)").sub(467),
    Row::new("190", NeedsHuman, Reason::TokenInvalid, "make a new system user token in Meta Business Suite (scopes whatsapp_business_management and whatsapp_business_messaging) and put it into the Secret that meta.accessTokenSecretRef names"),
    Row::new("102", NeedsHuman, Reason::TokenInvalid, "make a system user token and put it into the Secret: the login session of the token is over"),
    Row::new("104", NeedsHuman, Reason::TokenInvalid, "check that the app secret in the Secret belongs to meta.appId: the signature of the call (appsecret_proof) or its token is not accepted"),
    Row::new("3", NeedsHuman, Reason::PermissionDenied, "give the app the capability for this call in the App Dashboard"),
    Row::new("10", NeedsHuman, Reason::PermissionDenied, "give the token the permission that the message names"),
    // Its text says "missing permissions" as one of three possibilities.
    Row::new("100", Refused, Reason::NotFound, "check the id, and that the system user is assigned to the WhatsApp account: Meta shows this token no such object").sub(33),
    Row::new("100", NeedsHuman, Reason::PermissionDenied, "give the system user full control of the WhatsApp account and the app in Meta Business Suite, and both whatsapp scopes").says(&["need permission", "missing permission"]),
    Row::new("200-299", NeedsHuman, Reason::PermissionDenied, "give the system user full control of the WhatsApp account in Meta Business Suite, and the token the scopes whatsapp_business_management and whatsapp_business_messaging"),
    Row::new("33", Refused, Reason::NotFound, "check the id and whether the system user may see it: Meta shows no such object"),
    Row::new("803", NeedsHuman, Reason::InvalidRequest, "correct the id in the Portfolio or give the system user access to it: Meta can't resolve it"),
    Row::new("368", NeedsHuman, Reason::AccountLocked, "open Meta Business Suite: the account is blocked for a while for policy violations"),
    Row::new("131042", NeedsHuman, Reason::PaymentNeeded, "add a valid payment method to the WhatsApp account in Meta Business Suite"),
    Row::new("141006", NeedsHuman, Reason::PaymentNeeded, "add a payment method in Meta Business Suite: without one only free messages are delivered"),
    Row::new("141010", NeedsHuman, Reason::BusinessUnverified, "finish the business verification in Meta's Security Center"),
    Row::new("2500", NeedsHuman, Reason::InvalidRequest, "report this to the maintainers of the controller: Meta does not know the path of the call"),
    // Pace.
    Row::new("4", Throttled, Reason::RateLimited, "nothing to do now; the app makes too many calls, they slow down by themselves"),
    Row::new("17", Throttled, Reason::RateLimited, "nothing to do now; the token's user makes too many calls, they slow down by themselves"),
    Row::new("32", Throttled, Reason::RateLimited, "nothing to do now; there were too many calls for this page, they slow down by themselves"),
    Row::new("613", Throttled, Reason::RateLimited, "nothing to do now; this kind of call is limited, it slows down by itself"),
    Row::new("80007", Throttled, Reason::RateLimited, "nothing to do now; the WhatsApp account's rate limit is reached, the calls slow down by themselves"),
    Row::new("80008", Throttled, Reason::RateLimited, "nothing to do now; there were too many calls to this WhatsApp Business account (200 an hour while it is new), they slow down by themselves"),
    Row::new("130429", Throttled, Reason::RateLimited, "nothing to do now; the number sends and receives faster than its throughput, messages slow down by themselves"),
    // Messages: answers to a send, and the `errors` of statuses and incoming messages.
    Row::new("131026", Refused, Reason::Undeliverable, "reach the candidate in another way: the phone has no WhatsApp, is not current, or has not accepted its terms"),
    Row::new("131047", Refused, Reason::WindowClosed, "send an approved template: the candidate's last message is older than 24 hours"),
    Row::new("131048", NeedsHuman, Reason::QualityLimited, "stop sending for now and look at the number's quality in WhatsApp Manager: too many people blocked or reported it"),
    Row::new("131049", Refused, Reason::Undeliverable, "wait at least a day before you send this person marketing again: Meta held the message back to protect people from too much of it"),
    Row::new("131050", Refused, Reason::OptedOut, "send this person no marketing: they have stopped it"),
    Row::new("131051", Refused, Reason::MessageUnsupported, "ask the candidate to write it as text: the type of the message is not supported"),
    Row::new("131052", Refused, Reason::MediaUnusable, "ask the candidate for a smaller file: Meta could not fetch what they sent, for example because it is over 100 MB"),
    Row::new("131056", Throttled, Reason::RateLimited, "nothing to do now; too many messages went to this one person, the next one follows by itself").wait(6),
    Row::new("131060", Refused, Reason::MessageUnsupported, "ask the candidate to send it again: Meta can't show this message to the business"),
    Row::new("131062", Refused, Reason::MessageUnsupported, "send it to a phone number: login codes can't go to a user id"),
    Row::new("131064", Unclear, Reason::Unclassified, "look the code up in Meta's list of error codes; the message is not sent again before its status is known"),
    Row::new("132000", Refused, Reason::TemplateUnusable, "give as many parameters as the template has"),
    Row::new("132001", NeedsHuman, Reason::TemplateUnusable, "create the template in this language in WhatsApp Manager, or use one that is approved"),
    Row::new("132005", Refused, Reason::TemplateUnusable, "shorten the parameters: the filled template is too long"),
    Row::new("132007", NeedsHuman, Reason::TemplateUnusable, "change the template in WhatsApp Manager: its content breaks a policy of WhatsApp"),
    Row::new("132012", Refused, Reason::TemplateUnusable, "write the parameters in the form that the template names"),
    Row::new("132015", NeedsHuman, Reason::TemplateUnusable, "improve the template in WhatsApp Manager or use another: it is paused for low quality"),
    Row::new("132016", NeedsHuman, Reason::TemplateUnusable, "create a new template: this one was paused too often and is disabled for good"),
    // Tries.
    Row::new("1", Unclear, Reason::ProviderUnavailable, "nothing to do now; Meta had an unknown error, it is looked at again by itself"),
    Row::new("2", Unclear, Reason::ProviderUnavailable, "nothing to do now; a service at Meta is away, it is looked at again by itself"),
    Row::new("131000", Unclear, Reason::ProviderUnavailable, "nothing to do now; something went wrong at Meta, it is looked at again by itself"),
    Row::new("131016", Unclear, Reason::ProviderUnavailable, "nothing to do now; the service is overloaded, it is looked at again by itself"),
    Row::new("131057", Transient, Reason::ProviderUnavailable, "nothing to do now; the number is being moved to a higher throughput for about a minute, it is tried again by itself").wait(60),
    Row::new("131000-139999", Unclear, Reason::Unclassified, "read Meta's message; the outcome is looked up by itself"),
    // The code is all that verify_code is given: what is wrong with the call is wrong with the code.
    Row::new("100", Refused, Reason::WrongCode, "nothing to do: Meta does not take this code, a new one is asked for by itself when the budget allows").only(&["verify_code"]),
    // What is left of 100 is the form of a call. For a read it is ours; for an effect nothing was done.
    Row::new("100", NeedsHuman, Reason::InvalidRequest, "correct what Meta's message names in the manifest or the Portfolio; if it names nothing of yours, report it to the maintainers of the controller"),
];

/// The row of a code that came without an answer: in the `errors` of a status, of an incoming message or of a number's
/// health. `text` is all that stands beside it.
pub fn told(code: u32, text: &str) -> Option<&'static Row> {
    let problem = Problem { code: Some(code.to_string()), search: text.to_owned(), ..Problem::default() };
    classify::find(TABLE, "", None, &[problem]).map(|(row, _)| row)
}

/// `{"error": {message, type, code, error_subcode?, error_data?: {details}, is_transient?, error_user_msg?, fbtrace_id}}`.
pub(super) fn problems(body: &[u8]) -> Vec<Problem> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let Some(error) = body.get("error").and_then(Value::as_object) else { return Vec::new() };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").trim().to_owned();
    let code = |name: &str| classify::code(error.get(name));
    let mark = |name: &str| error.get(name).is_some_and(Value::is_string);
    let message = text(error.get("message"));
    let title = text(error.get("error_user_title"));
    let user = text(error.get("error_user_msg"));
    let details = match error.get("error_data") {
        // Seen as an object and as JSON in a text.
        Some(Value::String(inner)) => {
            serde_json::from_str::<Value>(inner).map(|v| text(v.get("details"))).unwrap_or_else(|_| inner.clone())
        }
        Some(other) => text(other.get("details")),
        None => String::new(),
    };
    let mut shown = message.clone();
    for part in [&user, &details] {
        if !part.is_empty() && !shown.contains(part.as_str()) {
            shown = if shown.is_empty() { part.clone() } else { format!("{shown}: {part}") };
        }
    }
    let code_text = code("code");
    vec![Problem {
        // Proxies and gateways also answer `{"error": {"code": 404}}`.
        own: code_text.is_some() && (mark("type") || mark("fbtrace_id")),
        transient: error.get("is_transient") == Some(&Value::Bool(true)),
        code: code_text,
        subcode: code("error_subcode").and_then(|code| code.parse().ok()),
        search: format!("{message} {title} {user} {details}"),
        text: shown,
        trace: error.get("fbtrace_id").and_then(Value::as_str).map(|id| id.chars().take(80).collect()),
    }]
}

/// Meta: `x-business-use-case-usage` tells in minutes when the account gets access again.
fn regain_access(headers: &HeaderMap) -> Option<Duration> {
    let usage: Value = serde_json::from_str(headers.get("x-business-use-case-usage")?.to_str().ok()?).ok()?;
    let minutes = usage
        .as_object()?
        .values()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|entry| entry.get("estimated_time_to_regain_access")?.as_u64())
        .max()?;
    (minutes > 0).then(|| Duration::from_secs(minutes.min(24 * 60) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::error::{ErrorClass, ProviderError};
    use crate::providers::refusal::refusal;
    use crate::providers::request::Operation;

    fn answer(operation: Operation, status: u16, code: u32, subcode: Option<u32>, text: &str) -> ProviderError {
        let mut body = serde_json::json!({"error": {"message": "M", "type": "OAuthException", "code": code,
            "error_user_msg": text, "is_transient": false, "fbtrace_id": "AbCdEf0123456789xyz"}});
        if let Some(subcode) = subcode {
            body["error"]["error_subcode"] = subcode.into();
        }
        refusal(&DIALECT, operation, status, &HeaderMap::new(), body.to_string().as_bytes(), &[]).0
    }

    #[test]
    fn outcomes_that_the_pipeline_tells_apart() {
        use ErrorClass::{NeedsHuman, Refused, Transient, Unknown};
        let [read, code, verify, register, deregister, add] = [
            Operation::read("phone_number"),
            Operation::write("request_code"),
            Operation::write("verify_code"),
            Operation::write("register"),
            Operation::write("deregister"),
            Operation::write("create_phone_number"),
        ];
        let slow = ErrorClass::Throttled { retry_after: None };
        const BURNT: &str =
            "This number is registered to an existing WhatsApp account. To use this number, disconnect it";
        const NAME: &str = "Your display name could not be processed";
        for (operation, status, number, subcode, text, class, reason) in [
            (code, 400, 136_024, Some(2_388_367), "x", slow, Reason::CodeVolumeLimit),
            (code, 400, 136_024, Some(2_388_091), "x", Transient, Reason::CodeServersUnavailable),
            (code, 400, 136_024, None, "This number is already verified", Refused, Reason::AlreadyVerified),
            (code, 400, 136_024, None, "You have requested a code too many times", slow, Reason::CodeVolumeLimit),
            (code, 400, 136_024, None, "servers temporarily unavailable", Transient, Reason::CodeServersUnavailable),
            (code, 400, 136_024, None, "x", Refused, Reason::CodeRequestRefused),
            (code, 422, 100, None, "Phone number is not eligible for verification", NeedsHuman, Reason::NotEligible),
            (verify, 400, 136_025, None, "x", Refused, Reason::WrongCode),
            (verify, 400, 100, None, "Invalid parameter", Refused, Reason::WrongCode),
            (register, 400, 133_000, None, "x", Refused, Reason::DeregisterIncomplete),
            (register, 400, 133_004, None, "x", Transient, Reason::ProviderUnavailable),
            (register, 400, 133_005, None, "x", NeedsHuman, Reason::PinMismatch),
            (register, 400, 133_006, None, "x", Refused, Reason::NeedsVerification),
            (register, 400, 133_008, None, "x", NeedsHuman, Reason::PinBlocked),
            (register, 400, 133_009, None, "x", slow, Reason::PinBlocked),
            (register, 400, 133_010, None, "x", Refused, Reason::NotRegistered),
            (register, 400, 133_015, None, "x", Transient, Reason::RecentlyDeleted),
            (register, 400, 133_016, None, "x", slow, Reason::RegisterLimit),
            (register, 400, 100, Some(2_388_001), BURNT, Refused, Reason::NumberBurnt),
            (register, 400, 100, Some(2_388_001), NAME, Transient, Reason::NameNotReady),
            (register, 400, 100, Some(2_388_001), "x", Unknown, Reason::NameNotReady),
            (register, 400, 100, None, BURNT, Refused, Reason::NumberBurnt),
            (register, 400, 100, None, "not available for SMB businesses", NeedsHuman, Reason::BusinessAppNumber),
            (register, 400, 131_031, None, "x", NeedsHuman, Reason::AccountLocked),
            (deregister, 400, 100, Some(2_207_051), "x", Refused, Reason::NotRegistered),
            (add, 409, 100, None, "already registered", Refused, Reason::AlreadyAdded),
            (add, 403, 200, Some(1_349_175), "Phone number limit exceeded", NeedsHuman, Reason::NumberCapReached),
            (add, 400, 100, None, "Phone number limit exceeded", NeedsHuman, Reason::NumberCapReached),
            (add, 400, 200_000, None, "limit of numbers", NeedsHuman, Reason::NumberCapReached),
            (add, 400, 200_000, None, "x", NeedsHuman, Reason::NotEligible),
            (add, 429, 4, Some(2_446_080), "x", slow, Reason::RateLimited),
            (add, 400, 1, None, "x", Unknown, Reason::ProviderUnavailable),
            (add, 400, 424_242, None, "x", Unknown, Reason::Unclassified),
            (read, 400, 424_242, None, "x", Transient, Reason::Unclassified),
            (add, 400, 100, None, "Param verified_name is too long", NeedsHuman, Reason::NameRefused),
            (read, 400, 100, None, "nonexisting field (verified_name)", NeedsHuman, Reason::InvalidRequest),
            (read, 401, 190, Some(463), "x", NeedsHuman, Reason::TokenInvalid),
            (read, 400, 190, None, "x", NeedsHuman, Reason::TokenInvalid),
            (read, 400, 100, Some(33), "Unsupported get request", Refused, Reason::NotFound),
            (read, 400, 80_008, None, "x", slow, Reason::RateLimited),
            (read, 500, 2, None, "x", Transient, Reason::ProviderUnavailable),
            (read, 403, 294, None, "x", NeedsHuman, Reason::PermissionDenied),
        ] {
            let error = answer(operation, status, number, subcode, text);
            assert_eq!((error.class, error.reason), (class, reason), "{} {number} {subcode:?} {text}", operation.name);
            assert!(!error.to_string().contains("AbCdEf"), "the trace id changes with each answer: {error}");
        }
    }

    #[test]
    fn texts_details_and_waits() {
        let body =
            br#"{"error":{"message":"(#133008) Too many","code":133008,"error_data":{"details":"Wait 6 hours"}}}"#;
        let (error, _) = refusal(&DIALECT, Operation::write("register"), 400, &HeaderMap::new(), body, &[]);
        assert_eq!(error.provider_text(), "Meta: (#133008) Too many: Wait 6 hours (133008)");
        let mut headers = HeaderMap::new();
        let usage =
            r#"{"104":[{"type":"whatsapp_business_management","call_count":100,"estimated_time_to_regain_access":7}]}"#;
        headers.insert("x-business-use-case-usage", usage.parse().unwrap());
        let (error, _) = refusal(&DIALECT, Operation::read("waba"), 400, &headers, br#"{"error":{"code":80008}}"#, &[]);
        assert_eq!(error.class, ErrorClass::Throttled { retry_after: Some(Duration::from_secs(420)) });
        let wait = answer(Operation::write("register"), 400, 133_016, None, "").policy_wait;
        assert_eq!(wait, Some(Duration::from_secs(72 * 3600)));
    }
}
