//! A person's code: the Secret `<name>-code`, the only way for a line of another operator and a way out for all. Read,
//! handed in, and deleted once Meta has answered; a Secret of another type is never touched.
//!
//! For a number of another operator (External) Meta calls or texts only on a wish for each single call: somebody must be
//! at the phone. A wish that can't be granted at once is over, or the phone would ring at night: `wish` judges it. What is
//! said to that person is `words`'.

pub mod wish;
mod words;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use std::time::Duration;

use super::super::budget::Held;
use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use crate::controller::context::Context;
use crate::controller::handed_in::Version;
use crate::domain::{NamespacedName, OtpCode};
use crate::resources::client_number::VerificationStatus;
use crate::resources::conditions::{ConditionType, get};
use crate::resources::names::{SECRET_TYPE_CODE, code_secret};
use crate::resources::reasons::Reason;
use wish::Wish;

/// What was said to a person about their last code, and stands until something new happens.
const ABOUT_A_CODE: [Reason; 2] = [Reason::CodeWrong, Reason::CodeMalformed];

/// What was in the Secret.
pub enum Taken {
    /// A code, and which Secret it is in: [`delete`] it once Meta has answered.
    Code(OtpCode, Version),
    /// Not a code; deleted.
    Malformed(Outcome),
    /// There is none.
    Nothing,
}

/// What a Secret of that name is.
enum Content {
    Code(OtpCode),
    /// Why not, without what was in it.
    NoCode(&'static str),
    /// Somebody else's.
    Foreign,
}

/// Looks at what a person, or a program, has put there. Pure.
fn judge(secret: &Secret) -> Content {
    if secret.type_.as_deref() != Some(SECRET_TYPE_CODE) {
        return Content::Foreign;
    }
    let Some(bytes) = secret.data.as_ref().and_then(|data| data.get("code")) else {
        return Content::NoCode("has no key code");
    };
    match std::str::from_utf8(&bytes.0).ok().and_then(|text| OtpCode::parse(text).ok()) {
        Some(code) => Content::Code(code),
        None => Content::NoCode("does not hold six digits"),
    }
}

/// Takes a person's code. It stays where it is until Meta has answered: a Meta that is away must not lose it.
pub async fn take_code(pass: &Pass<'_>) -> Result<Taken, StepError> {
    let Some(secret) = secrets(pass).get_opt(&code_secret(&pass.spec.name.name)).await? else {
        return Ok(Taken::Nothing);
    };
    let version = Version::of(&secret.metadata);
    match judge(&secret) {
        Content::Foreign => Ok(Taken::Nothing),
        Content::Code(code) => Ok(Taken::Code(code, version)),
        Content::NoCode(why) => {
            delete(pass, &version).await?;
            let message = words::malformed(&pass.spec.name.name, why);
            Ok(Taken::Malformed(if pass.spec.source.at_carrier() {
                // The machine goes on listening.
                let progress = Progress::working(Step::Verify, Reason::CodeMalformed, message);
                Outcome::wait(progress, pass.ctx.policy.code_poll())
            } else {
                stalled(pass, Progress::stalled(Step::Verify, Reason::CodeMalformed, message), None)
            }))
        }
    }
}

/// No code is needed any more: one that nobody has read goes, or the next line of that name would find it.
/// Before that is recorded: nobody looks for it afterwards.
pub async fn clear(ctx: &Context, line: &NamespacedName) -> Result<(), kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), &line.namespace);
    let Some(secret) = secrets.get_opt(&code_secret(&line.name)).await? else { return Ok(()) };
    if secret.type_.as_deref() == Some(SECRET_TYPE_CODE) {
        delete_from(&secrets, &line.name, &Version::of(&secret.metadata)).await?;
    }
    Ok(())
}

/// Deletes exactly the Secret that was read: another that was put there meanwhile is another code.
pub async fn delete(pass: &Pass<'_>, version: &Version) -> Result<(), StepError> {
    Ok(delete_from(&secrets(pass), &pass.spec.name.name, version).await?)
}

async fn delete_from(secrets: &Api<Secret>, line: &str, version: &Version) -> Result<(), kube::Error> {
    let exactly = Preconditions { uid: version.uid.clone(), resource_version: version.resource_version.clone() };
    let params = DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
    match secrets.delete(&code_secret(line), &params).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}

fn secrets(pass: &Pass<'_>) -> Api<Secret> {
    Api::namespaced(pass.ctx.client.clone(), &pass.spec.name.namespace)
}

/// For an External line that awaits no code: what it waits for; None: a person wishes a call, and nothing forbids it.
/// `held`: what forbids to ask for one. `last`: what became of the last call, if there was one.
pub async fn waits(pass: &mut Pass<'_>, held: Option<Held>, last: Option<&str>) -> Result<Option<Outcome>, StepError> {
    let wish = wish(pass);
    if matches!(wish, Wish::Fresh(_)) && held.is_none() {
        return Ok(None);
    }
    let (name, method) = (&pass.spec.name.name, pass.spec.method);
    let outcome = match held {
        Some(held) => {
            let message = words::held(name, method, &held, last);
            let progress = Progress::working(Step::Verify, Reason::CodeRateLimited, message);
            let rest = held.until.duration_since(pass.ctx.clock.now()).try_into().unwrap_or_default();
            Outcome::wait(progress, rest)
        }
        None => {
            let message = match &wish {
                Wish::Late(_, at) => words::late(name, *at),
                _ => words::needed(name, method, last),
            };
            stalled(pass, Progress::stalled(Step::Verify, Reason::CodeNeeded, message), None)
        }
    };
    over(pass, wish, outcome, &[Reason::CodeWrong]).await.map(Some)
}

/// For an External line: a code is on its way to a person, or was heard.
pub async fn awaited(pass: &mut Pass<'_>, expires: Timestamp) -> Result<Outcome, StepError> {
    let wish = wish(pass);
    let outcome = stalled(pass, asked_for(pass, expires), Some(expires));
    over(pass, wish, outcome, &ABOUT_A_CODE).await
}

/// What is said while a person's code is awaited.
pub fn asked_for(pass: &Pass<'_>, expires: Timestamp) -> Progress {
    let message = words::awaited(&pass.spec.name.name, pass.spec.method, &pass.spec.language, expires);
    Progress::stalled(Step::Verify, Reason::CodeNeeded, message)
}

/// How a person gets another code.
pub fn another(pass: &Pass<'_>, held: Option<Timestamp>) -> String {
    words::another(&pass.spec.name.name, pass.spec.method, held)
}

/// For an External line: Meta did not take a person's code. `expires`: until when the one that was asked for is good.
pub fn refused(pass: &Pass<'_>, expires: Option<Timestamp>, held: Option<Timestamp>) -> Outcome {
    let (name, method) = (&pass.spec.name.name, pass.spec.method);
    let message = match expires {
        Some(expires) => words::wrong(name, expires),
        None => words::too_late(name, method, held),
    };
    stalled(pass, Progress::stalled(Step::Verify, Reason::CodeWrong, message), expires)
}

/// Whether Meta took a person's code is not known, and it was handed in often enough.
pub fn unanswered(pass: &Pass<'_>) -> Outcome {
    let message = words::unanswered(&pass.spec.name.name);
    if pass.spec.source.at_carrier() {
        // The machine goes on listening.
        let progress = Progress::working(Step::Verify, Reason::CodeNeeded, message);
        return Outcome::wait(progress, pass.ctx.policy.code_poll());
    }
    stalled(pass, Progress::stalled(Step::Verify, Reason::CodeNeeded, message), None)
}

/// For a line at the carrier: Meta did not take a person's code, and none was awaited. `next`: when one is asked for.
pub fn came_too_late(pass: &Pass<'_>, next: Timestamp) -> Outcome {
    let message = format!("{}; {}", words::TOO_LATE, super::follows(&pass.spec.name.name, next));
    Outcome::wait(Progress::working(Step::Verify, Reason::CodeWrong, message), pass.ctx.policy.code_poll())
}

/// Meta's word for why it does not call, and how a person gets a call all the same. `until`: when the next may be asked for.
pub fn not_called(pass: &Pass<'_>, why: &str, until: Option<Timestamp>) -> String {
    format!("Meta did not call: {why}; {}", another(pass, until))
}

fn wish(pass: &Pass<'_>) -> Wish {
    wish::of(&pass.line, pass.ctx.clock.now(), pass.ctx.policy.wish_life())
}

/// What is said while nothing new happens: what a person was told about their last code, not what the machine does.
pub fn stands(pass: &Pass<'_>, outcome: Outcome) -> Outcome {
    standing(pass, outcome, &ABOUT_A_CODE)
}

fn standing(pass: &Pass<'_>, outcome: Outcome, stands: &[Reason]) -> Outcome {
    let status = pass.status();
    let Some(said) = get(&status.conditions, ConditionType::Ready) else { return outcome };
    let late = || {
        let at = status.verification.as_ref()?.handled_call_request.as_ref()?.parse().ok()?;
        (said.message == words::late(&pass.spec.name.name, at)).then_some(outcome.progress.reason)
    };
    let unanswered = || (said.message == words::unanswered(&pass.spec.name.name)).then_some(Reason::CodeNeeded);
    let reason = stands.iter().find(|r| r.as_str() == said.reason).copied();
    let Some(reason) = reason.or_else(late).or_else(unanswered) else { return outcome };
    let progress = match pass.spec.source.at_carrier() {
        true => Progress::working(Step::Verify, reason, said.message.clone()),
        false => Progress::stalled(Step::Verify, reason, said.message.clone()),
    };
    Outcome { progress, ..outcome }
}

/// A wish that is not granted is over, and the answer to it is `outcome`. Without one, what was said to a person about the
/// last code, or a wish that came too late, stands.
async fn over(pass: &mut Pass<'_>, wish: Wish, outcome: Outcome, stands: &[Reason]) -> Result<Outcome, StepError> {
    let Some(wish) = wish.value() else { return Ok(standing(pass, outcome, stands)) };
    pass.save(&outcome.progress, |status| {
        let verification = status.verification.get_or_insert_with(VerificationStatus::default);
        verification.handled_call_request = Some(wish);
    })
    .await?;
    Ok(outcome)
}

/// A person must act, at the latest at `until`. Their code and their wish wake the line.
fn stalled(pass: &Pass<'_>, progress: Progress, until: Option<Timestamp>) -> Outcome {
    let rest = until.and_then(|until| Duration::try_from(until.duration_since(pass.ctx.clock.now())).ok());
    let look = pass.ctx.policy.name_poll();
    Outcome::wait(progress, rest.map_or(look, |rest| rest.min(look)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(type_: &str, key: &str, value: &[u8]) -> Secret {
        let value = k8s_openapi::ByteString(value.to_vec());
        serde_json::from_value(json!({"metadata": {"name": "rif-code"}, "type": type_, "data": {key: value}})).unwrap()
    }

    #[test]
    fn what_is_a_code_and_what_is_not() {
        let long = "1".repeat(1_000_000);
        for (type_, key, value, want) in [
            (SECRET_TYPE_CODE, "code", b"314159".as_slice(), "314159"),
            (SECRET_TYPE_CODE, "code", b"314-159\n", "314159"),
            (SECRET_TYPE_CODE, "code", b"31415", "does not hold six digits"),
            (SECRET_TYPE_CODE, "code", b"3141592", "does not hold six digits"),
            (SECRET_TYPE_CODE, "code", b"\xff\xfe31415", "does not hold six digits"),
            (SECRET_TYPE_CODE, "code", b"", "does not hold six digits"),
            (SECRET_TYPE_CODE, "code", long.as_bytes(), "does not hold six digits"),
            (SECRET_TYPE_CODE, "otp", b"314159", "has no key code"),
            ("Opaque", "code", b"314159", "foreign"),
            ("clientnumber.dev/pin", "code", b"314159", "foreign"),
        ] {
            let got = match judge(&secret(type_, key, value)) {
                Content::Code(code) => code.expose().to_owned(),
                Content::NoCode(why) => why.to_owned(),
                Content::Foreign => "foreign".to_owned(),
            };
            assert_eq!(got, want, "{type_} {key}, {} bytes", value.len());
        }
        assert!(matches!(judge(&Secret::default()), Content::Foreign));
        let empty = Secret { type_: Some(SECRET_TYPE_CODE.into()), ..Secret::default() };
        assert!(matches!(judge(&empty), Content::NoCode("has no key code")));
    }
}
