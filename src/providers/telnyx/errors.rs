//! Telnyx's error codes: class, reason, sentence. One table; the first row that fits is taken.
//!
//! Telnyx: decide by `errors[].code`, not by HTTP status: the same code comes with several (85000: 400 or 422, 85001: 409,
//! 20100: 402, 403 or 422). Only 10011 needs the status, since it is used for two things. What no row knows is Transient
//! for reads and Unknown for effects. docs/provider-codes.md says where each code is known from; docs/errors.md is made
//! from this table.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::providers::classify::Class::{NeedsHuman, Refused, Throttled, Transient, Unclear};
use crate::providers::classify::{self, Problem, Row};
use crate::providers::error::Provider;
use crate::providers::reason::Reason;
use crate::providers::refusal::Dialect;

/// How Telnyx words errors.
pub(in crate::providers) static DIALECT: Dialect =
    Dialect { provider: Provider::Telnyx, rows: TABLE, problems, wait: rate_limit_reset, trace_header: "x-request-id" };

const ORDER: &[&str] = &["create_order"];
const SEARCH: &[&str] = &["search"];
const CALL: &[&str] = &["place_call"];
const BY_ID: &[&str] = &[
    "order",
    "number_by_id",
    "recording",
    "release_number",
    "delete_recording",
    "delete_transcription",
    "coverage",
    "cancel_sub_order",
];
/// An id of the wrong form must not pass for a number that was given back.
const READ_BY_ID: &[&str] = &["order", "recording", "coverage"];

/// The table.
#[rustfmt::skip]
pub static TABLE: &[Row] = &[
    // Orders: a number can be sold once, and only after a search of this account.
    Row::new("85000", Refused, Reason::SearchNeeded, "nothing to do: the number was not in a recent search, so it is searched again by itself"),
    Row::new("85001", Refused, Reason::NumberTaken, "nothing to do: the number is sold, another one is chosen by itself"),
    Row::new("85002", Refused, Reason::NotFound, "nothing to do: the order does not hold this number and is read again by itself"),
    Row::new("85003", Refused, Reason::AlreadyExists, "nothing to do: the order has all the documents that it needs"),
    Row::new("85004", NeedsHuman, Reason::InvalidConnection, "check the Portfolio's TeXML application in the Telnyx portal: the order names one that this account does not have"),
    Row::new("85005", NeedsHuman, Reason::InvalidRequest, "remove or correct the messaging profile in the Telnyx portal: the order can't use it"),
    Row::new("85006", Refused, Reason::NumberTaken, "nothing to do: the number is reserved by someone, another one is chosen by itself"),
    Row::new("85007", NeedsHuman, Reason::InUse, "release reservations in the Telnyx portal: the account has as many as it may have"),
    Row::new("85008", Refused, Reason::InUse, "nothing to do: the reservation can't be prolonged again and runs out by itself"),
    // A refused requirement group may be blamed at `/phone_numbers/0/requirement_group_id`: that is not the number.
    Row::new("10015", Unclear, Reason::RequirementsNeeded, "check in the Telnyx portal (Numbers, Requirement Groups) that the group that the Portfolio names is approved and fits the number; the order is looked up by itself")
        .only(ORDER)
        .says(&["requirement"]),
    // Telnyx: seen live for a number that is gone, in place of 85001.
    Row::new("10015", Refused, Reason::NumberTaken, "nothing to do: Telnyx does not sell this number (any more), another one is chosen by itself")
        .only(ORDER)
        .says(&["/phone_numbers", "not available", "no longer available", "unavailable", "already been purchased"]),
    // A 10015 that does not blame the number proves nothing about the order.
    Row::new("10015", Unclear, Reason::InvalidRequest, "nothing to do now, the order is looked up by itself; if this stays, compare the Portfolio's requirement groups and its TeXML application with the Telnyx portal").only(ORDER),
    Row::new("10027", Unclear, Reason::Unclassified, "nothing to do now, the order is looked up by itself; if this stays, read the account's notices in the Telnyx portal").only(ORDER),
    // What there is twice, or is in use, may be an order of ours whose answer was lost.
    Row::new("10012", Unclear, Reason::AlreadyExists, "nothing to do now, Telnyx says that there is such an order: it is looked up by itself; if this stays, look for it in the Telnyx portal (Numbers, Orders)").only(ORDER),
    Row::new("10021", Unclear, Reason::InUse, "nothing to do now, Telnyx says that something in the order is in use: the order is looked up by itself; if this stays, look for the number in the Telnyx portal (Numbers, Orders)").only(ORDER),
    // Search. Which 4xx means "no coverage" is not documented: what blames the country or the type does, and so does what
    // blames nothing. What blames our other filters is a fault of ours, and says nothing about what is sold.
    Row::new("10015", NeedsHuman, Reason::InvalidRequest, "report this with the message to the maintainers of the controller: Telnyx does not take a filter of the search")
        .only(SEARCH)
        .says(&["filter[features]", "filter[limit]", "/features", "/limit"]),
    Row::new("10005", NeedsHuman, Reason::NoCoverage, "use number.existing, or another country or type, or ask Telnyx support: Telnyx finds no numbers of this kind there").only(SEARCH),
    Row::new("10015", NeedsHuman, Reason::NoCoverage, "use number.existing, or another type, or ask Telnyx support: Telnyx has no offer for this country and type").only(SEARCH),
    Row::new("10027", NeedsHuman, Reason::NoCoverage, "use number.existing, or ask Telnyx support what the account may buy: Telnyx can't offer numbers of this country and type").only(SEARCH),
    Row::new("10032", NeedsHuman, Reason::NoCoverage, "take the type out of number.acquire.types, or use number.existing: Telnyx knows no such country or type")
        .only(SEARCH)
        .says(&["country_code", "phone_number_type"]),
    // That a locked number can't be given back is documented, the code is not: whatever it is, the text names the lock.
    Row::new("1-99999", NeedsHuman, Reason::DeletionLocked, "switch the number's deletion lock off in the Telnyx portal (Numbers: My Numbers); it is then given back by itself")
        .only(&["release_number"])
        .says(&["deletion lock", "deletion_lock", "delete lock", "locked against deletion"]),
    // A call of ours. Telnyx: what its switch refuses comes as 10010 with the switch's own code (D13, D38, D51) in the text.
    Row::new("10010", NeedsHuman, Reason::InvalidPhoneNumber, "let telnyx.rehearsal.fromNumber of the Portfolio be an active number of this Telnyx account, or one that is verified there")
        .only(CALL)
        .says(&["origination number"]),
    Row::new("10010", NeedsHuman, Reason::NotEligible, "allow calls to the line's country in the outbound voice profile of the application that telnyx.rehearsal.connectionId of the Portfolio names (Telnyx portal: Voice, Outbound Voice Profiles, Destinations)")
        .only(CALL)
        .says(&["whitelisted"]),
    Row::new("10010", NeedsHuman, Reason::InvalidConnection, "give the application that telnyx.rehearsal.connectionId of the Portfolio names an outbound voice profile, and let both be active (Telnyx portal: Voice, Programmable Voice)")
        .only(CALL)
        .says(&["outbound profile", "connection is disabled"]),
    Row::new("10005", NeedsHuman, Reason::InvalidConnection, "let telnyx.rehearsal.connectionId of the Portfolio be the id of a TeXML application of this Telnyx account").only(CALL),
    Row::new("10015", NeedsHuman, Reason::InvalidConnection, "correct telnyx.rehearsal.connectionId of the Portfolio: Telnyx makes no call through it, since it wants a TeXML application")
        .only(CALL)
        .says(&["applicationsid", "application_sid"]),
    // By id: gone is gone.
    Row::new("10005", Refused, Reason::NotFound, "nothing to do: the object is not there (any more)").only(BY_ID),
    Row::new("10006", Refused, Reason::NotFound, "check the id: Telnyx knows no object of this form").only(READ_BY_ID),
    // The form of a call.
    Row::new("10002", NeedsHuman, Reason::InvalidPhoneNumber, "correct the phone number: Telnyx does not accept it"),
    Row::new("10004", NeedsHuman, Reason::InvalidRequest, "report this to the maintainers of the controller: a parameter that Telnyx wants is missing"),
    Row::new("10005", Unclear, Reason::NotFound, "check that the object exists in the Telnyx portal and that the API key belongs to this account"),
    Row::new("10006", NeedsHuman, Reason::InvalidRequest, "correct the id in the manifest or the Portfolio: it has not the form of a Telnyx id"),
    Row::new("10016", NeedsHuman, Reason::InvalidPhoneNumber, "write the phone number with a plus and the country's code, as in +212612345678"),
    Row::new("10017", NeedsHuman, Reason::InvalidRequest, "check that the TeXML application, profile or group that the Portfolio names still exists at Telnyx"),
    Row::new("10031", NeedsHuman, Reason::InvalidRequest, "report this to the maintainers of the controller: Telnyx does not know a filter of the call"),
    Row::new("10032", NeedsHuman, Reason::InvalidRequest, "report this to the maintainers of the controller: Telnyx does not know a value of the call"),
    Row::new("10015", NeedsHuman, Reason::RequirementsNeeded, "hand in the documents that Telnyx asks for (Portal: Numbers, Requirement Groups) and name the requirement group in the Portfolio").says(&["requirement"]),
    Row::new("10015", Unclear, Reason::InvalidRequest, "report this with the message to the maintainers of the controller if it stays: Telnyx refused the form of the call"),
    Row::new("10027", Unclear, Reason::Unclassified, "nothing to do now, it is looked at again by itself; if this stays, correct what the message names"),
    // Telnyx: with 429 the rate limit; reports and call control use the same code for parameters.
    Row::new("10011", Throttled, Reason::RateLimited, "nothing to do now; the account sends too many requests, they slow down by themselves").at(&[429]),
    Row::new("10011", Unclear, Reason::InvalidRequest, "report this with the message to the maintainers of the controller if it stays: Telnyx does not accept a parameter of the call"),
    // Tries and rights.
    Row::new("10007", Unclear, Reason::ProviderUnavailable, "nothing to do now; Telnyx had an unexpected error and it is looked at again by itself"),
    Row::new("10008", Unclear, Reason::NoAnswer, "nothing to do now; Telnyx timed out and it is looked at again by itself"),
    Row::new("10009", NeedsHuman, Reason::TokenInvalid, "create an API key in the Telnyx portal (Account: API Keys) and put it into the Secret that telnyx.apiKeySecretRef names"),
    Row::new("10010", NeedsHuman, Reason::PermissionDenied, "give the API key the right for this call in the Telnyx portal, or use a key that has it"),
    Row::new("10012", Refused, Reason::AlreadyExists, "nothing to do: it exists already and is read by itself"),
    Row::new("10021", Refused, Reason::InUse, "free the object in the Telnyx portal: something there still uses it"),
    Row::new("10035", Transient, Reason::InUse, "nothing to do now; the object is locked for a moment and it is tried again by itself"),
    Row::new("10036", Unclear, Reason::BeingProcessed, "nothing to do now; Telnyx is still working on it and it is looked at again by itself"),
    Row::new("10037", Unclear, Reason::ProviderUnavailable, "nothing to do now; a part of Telnyx is away and it is looked at again by itself"),
    Row::new("10038", NeedsHuman, Reason::AccountRestricted, "finish the account's verification in the Telnyx portal (Account: Public Profile and Verification): its level does not permit this"),
    Row::new("10039", NeedsHuman, Reason::AccountRestricted, "ask Telnyx to raise the limit of the account's level (Portal: Account, Verification)"),
    // Money and standing.
    Row::new("20012", NeedsHuman, Reason::AccountRestricted, "add money in the Telnyx portal (Billing) or ask Telnyx support: the account is inactive, most often out of funds"),
    Row::new("20013", NeedsHuman, Reason::AccountRestricted, "contact Telnyx support: the account is blocked, and only they can lift it"),
    Row::new("20014", NeedsHuman, Reason::AccountRestricted, "verify the Telnyx account's e-mail and phone in the portal"),
    Row::new("20015", NeedsHuman, Reason::AccountRestricted, "ask Telnyx to enable this feature for the account"),
    Row::new("20016", NeedsHuman, Reason::AccountRestricted, "take the Telnyx account to level 1 or higher in the portal (Account: Verification)"),
    Row::new("20017", NeedsHuman, Reason::AccountRestricted, "take the Telnyx account to level 2 in the portal (Account: Verification)"),
    Row::new("20100", NeedsHuman, Reason::InsufficientFunds, "add money to the Telnyx account (Portal: Billing): the balance does not suffice"),
    Row::new("20200-20299", NeedsHuman, Reason::RequirementsNeeded, "correct the address at Telnyx (Portal: Numbers, Addresses)"),
    // Calls.
    Row::new("90015", Refused, Reason::CallState, "nothing to do: the call is not known any more"),
    Row::new("90018", Refused, Reason::CallState, "nothing to do: the call has ended already"),
    Row::new("90020", Refused, Reason::CallState, "nothing to do: recording was asked for before there was sound"),
    Row::new("90034", Refused, Reason::CallState, "nothing to do: the call has not been answered yet"),
    Row::new("90054", Refused, Reason::CallState, "nothing to do: the transcription is running already"),
    Row::new("75000-75599", Refused, Reason::Unreachable, "make the webhook URL reachable from the Internet: Telnyx could not deliver to it"),
    Row::new("40008", Unclear, Reason::ProviderUnavailable, "nothing to do now, it is looked at again by itself; the message is what Meta told Telnyx, and if it stays, correct what it names"),
    Row::new("*", NeedsHuman, Reason::NoCoverage, "use number.existing, or ask Telnyx support for numbers of this country and type: Telnyx refuses the search with a code that is not known here")
        .only(SEARCH)
        .at(&[400, 404, 422]),
];

/// More than any answer names.
const MAX_PROBLEMS: usize = 20;

/// `{"errors":[{code, title, detail, source: {pointer, parameter}}]}`.
pub(super) fn problems(body: &[u8]) -> Vec<Problem> {
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let Some(errors) = body.get("errors").and_then(Value::as_array) else { return Vec::new() };
    errors
        .iter()
        .filter_map(Value::as_object)
        .take(MAX_PROBLEMS)
        .map(|error| {
            let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or("").trim().to_owned();
            let code = classify::code(error.get("code"));
            let (title, detail) = (text("title"), text("detail"));
            let source = error.get("source").map(Value::to_string).unwrap_or_default();
            let shown = match (title.as_str(), detail.as_str()) {
                ("", detail) => detail.to_owned(),
                (title, "") => title.to_owned(),
                (title, detail) if detail.to_lowercase().contains(&title.to_lowercase()) => detail.to_owned(),
                (title, detail) => format!("{title}: {detail}"),
            };
            let search = format!("{title} {detail} {source}");
            Problem { own: code.is_some(), code, search, text: shown, ..Problem::default() }
        })
        .collect()
}

/// Telnyx: `x-ratelimit-reset`, seconds until the window ends; counts only when nothing remains.
fn rate_limit_reset(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if number("x-ratelimit-remaining") != Some(0) || headers.contains_key(reqwest::header::RETRY_AFTER) {
        return None;
    }
    number("x-ratelimit-reset").map(|seconds| Duration::from_secs(seconds.min(3600)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::error::{ErrorClass, ProviderError};
    use crate::providers::refusal::refusal;
    use crate::providers::request::Operation;

    fn answer(operation: Operation, status: u16, code: &str, detail: &str, pointer: &str) -> ProviderError {
        let body = serde_json::json!({"errors": [{"code": code, "title": "Not sold", "detail": detail,
            "source": {"pointer": pointer}, "meta": {"url": "https://developers.telnyx.com"}}]});
        refusal(&DIALECT, operation, status, &HeaderMap::new(), body.to_string().as_bytes(), &[]).0
    }

    #[test]
    fn outcomes_that_the_pipeline_tells_apart() {
        use ErrorClass::{NeedsHuman, Refused, Transient, Unknown};
        let order = Operation::write("create_order");
        let search = Operation::list("search");
        let read = Operation::read("order");
        let release = Operation::write("release_number");
        let throttled = ErrorClass::Throttled { retry_after: None };
        for (operation, status, code, detail, pointer, class, reason) in [
            (order, 400, "85000", "", "", Refused, Reason::SearchNeeded),
            (order, 422, "85000", "", "", Refused, Reason::SearchNeeded),
            (order, 409, "85001", "", "", Refused, Reason::NumberTaken),
            (order, 400, "10015", "x", "/phone_numbers/0", Refused, Reason::NumberTaken),
            (order, 400, "10015", "The number is no longer available", "", Refused, Reason::NumberTaken),
            (order, 400, "10015", "x", "/connection_id", Unknown, Reason::InvalidRequest),
            (order, 400, "10015", "x", "/phone_numbers/0/requirement_group_id", Unknown, Reason::RequirementsNeeded),
            (order, 422, "10027", "x", "", Unknown, Reason::Unclassified),
            (order, 409, "10012", "x", "", Unknown, Reason::AlreadyExists),
            (order, 422, "10021", "x", "", Unknown, Reason::InUse),
            (order, 422, "85004", "x", "", NeedsHuman, Reason::InvalidConnection),
            (order, 402, "20100", "x", "", NeedsHuman, Reason::InsufficientFunds),
            (order, 403, "20100", "x", "", NeedsHuman, Reason::InsufficientFunds),
            (order, 422, "20100", "x", "", NeedsHuman, Reason::InsufficientFunds),
            (order, 403, "20012", "x", "", NeedsHuman, Reason::AccountRestricted),
            (order, 403, "10038", "x", "", NeedsHuman, Reason::AccountRestricted),
            (order, 401, "10009", "x", "", NeedsHuman, Reason::TokenInvalid),
            (order, 500, "10007", "x", "", Unknown, Reason::ProviderUnavailable),
            (order, 504, "10008", "x", "", Unknown, Reason::NoAnswer),
            (order, 409, "10036", "x", "", Unknown, Reason::BeingProcessed),
            (order, 418, "77777", "x", "", Unknown, Reason::Unclassified),
            (order, 429, "10011", "x", "", throttled, Reason::RateLimited),
            (order, 422, "10011", "x", "", Unknown, Reason::InvalidRequest),
            (order, 429, "10015", "x", "/connection_id", throttled, Reason::RateLimited),
            (read, 422, "10011", "x", "", Transient, Reason::InvalidRequest),
            (read, 404, "10005", "x", "", Refused, Reason::NotFound),
            (read, 500, "10007", "x", "", Transient, Reason::ProviderUnavailable),
            (search, 400, "10015", "x", "", NeedsHuman, Reason::NoCoverage),
            (search, 404, "10005", "x", "", NeedsHuman, Reason::NoCoverage),
            (search, 400, "10015", "x", "filter[phone_number_type]", NeedsHuman, Reason::NoCoverage),
            (search, 400, "10015", "x", "filter[limit]", NeedsHuman, Reason::InvalidRequest),
            (search, 400, "10015", "features must be one of", "/features", NeedsHuman, Reason::InvalidRequest),
            (search, 422, "10032", "x", "filter[country_code]", NeedsHuman, Reason::NoCoverage),
            (search, 422, "10032", "x", "filter[features]", NeedsHuman, Reason::InvalidRequest),
            (search, 400, "10031", "x", "filter[country_code]", NeedsHuman, Reason::InvalidRequest),
            (search, 404, "77777", "x", "", NeedsHuman, Reason::NoCoverage),
            (search, 403, "77777", "x", "", NeedsHuman, Reason::PermissionDenied),
            (search, 500, "77777", "x", "", Transient, Reason::ProviderUnavailable),
            (search, 422, "20100", "x", "", NeedsHuman, Reason::InsufficientFunds),
            (search, 422, "10011", "x", "", Transient, Reason::InvalidRequest),
            (search, 429, "10011", "x", "", throttled, Reason::RateLimited),
            (search, 422, "10007", "x", "", Transient, Reason::ProviderUnavailable),
            (search, 401, "10009", "x", "", NeedsHuman, Reason::TokenInvalid),
            (release, 404, "10005", "x", "", Refused, Reason::NotFound),
            (
                release,
                422,
                "10021",
                "The phone number has its deletion lock enabled.",
                "",
                NeedsHuman,
                Reason::DeletionLocked,
            ),
            (release, 403, "77777", "x", "/deletion_lock_enabled", NeedsHuman, Reason::DeletionLocked),
            (release, 422, "10021", "x", "", Refused, Reason::InUse),
            (release, 400, "10006", "x", "", NeedsHuman, Reason::InvalidRequest),
            (Operation::read("number_by_id"), 400, "10006", "x", "", NeedsHuman, Reason::InvalidRequest),
        ] {
            let error = answer(operation, status, code, detail, pointer);
            assert_eq!((error.class, error.reason), (class, reason), "{} {status} {code} {detail}", operation.name);
        }
    }

    #[test]
    fn texts_and_waits() {
        let error = answer(Operation::write("create_order"), 409, "85001", "The number is gone.", "");
        assert_eq!(error.provider_text(), "Telnyx: Not sold: The number is gone. (85001)");
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-reset", "9".parse().unwrap());
        assert_eq!(rate_limit_reset(&headers), None, "there is something left");
        headers.insert("x-ratelimit-remaining", "0".parse().unwrap());
        assert_eq!(rate_limit_reset(&headers), Some(Duration::from_secs(9)));
        assert!(problems(b"<html>").is_empty() && problems(br#"{"error": "x"}"#).is_empty());
    }
}
