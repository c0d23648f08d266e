//! A person's code: the Secret `<name>-code`, the only way for a line of another operator and a way out for all. Read
//! once and deleted; a Secret of another type is never touched.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, ResourceExt};

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use crate::domain::OtpCode;
use crate::resources::client_number::VerificationStatus;
use crate::resources::names::{ANNOTATION_CALL, SECRET_TYPE_CODE, code_secret};
use crate::resources::reasons::Reason;

/// What was in the Secret.
pub enum Taken {
    /// A code.
    Code(OtpCode),
    /// Not a code.
    Malformed(Outcome),
    /// There is none.
    Nothing,
}

/// Takes a person's code.
pub async fn take_code(pass: &Pass<'_>) -> Result<Taken, StepError> {
    let api: Api<Secret> = Api::namespaced(pass.ctx.client.clone(), &pass.spec.name.namespace);
    let name = code_secret(&pass.spec.name.name);
    let Some(secret) = api.get_opt(&name).await? else { return Ok(Taken::Nothing) };
    if secret.type_.as_deref() != Some(SECRET_TYPE_CODE) {
        return Ok(Taken::Nothing);
    }
    let code = secret
        .data
        .as_ref()
        .and_then(|data| data.get("code"))
        .and_then(|bytes| std::str::from_utf8(&bytes.0).ok())
        .and_then(|text| OtpCode::parse(text).ok());
    // Exactly the one that was read: another that was put there meanwhile is read next time.
    let exactly = Preconditions { uid: secret.uid(), resource_version: secret.resource_version() };
    match api.delete(&name, &DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() }).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => return Ok(Taken::Nothing),
        Err(error) => return Err(error.into()),
    }
    Ok(match code {
        Some(code) => Taken::Code(code),
        None => {
            let message = format!(
                "what was handed in is not a code: give six digits with kubectl clientnumber verify {} --code 123456",
                pass.spec.name.name
            );
            let progress = Progress::stalled(Step::Verify, Reason::CodeMalformed, message);
            Taken::Malformed(Outcome::wait(progress, pass.ctx.policy.backoff(6)))
        }
    })
}

/// For an External line: no call goes out until a person asks for it.
pub fn not_asked_yet(pass: &Pass<'_>, verification: &VerificationStatus) -> Option<Outcome> {
    if pass.spec.source.at_carrier() {
        return None;
    }
    let asked = pass.line.annotations().get(ANNOTATION_CALL);
    if asked.is_some() && asked != verification.handled_call_request.as_ref() {
        return None;
    }
    let message = format!(
        "Meta will call the number when somebody is there to listen: run kubectl clientnumber verify {} --call-now",
        pass.spec.name.name
    );
    let progress = Progress::stalled(Step::Verify, Reason::CodeNeeded, message);
    Some(Outcome::wait(progress, pass.ctx.policy.backoff(6)))
}

/// For an External line: the code is on its way to a person.
pub fn awaited(pass: &Pass<'_>, expires: jiff::Timestamp) -> Outcome {
    let until = expires.strftime("%H:%M:%S UTC");
    let message = format!(
        "Meta was asked for a code: hand it in with kubectl clientnumber verify {} --code 123456 until {until}",
        pass.spec.name.name
    );
    Outcome::wait(Progress::stalled(Step::Verify, Reason::CodeNeeded, message), pass.ctx.policy.code_poll())
}
