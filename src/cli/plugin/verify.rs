//! `verify`: hands a line's code in, or lets Meta call or text now. A code is refused here if it can't be one, or if the
//! line could not use it; it is never printed.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::bail;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};

use super::{Failure, Line, annotate, block_on, connect, get};
use crate::domain::OtpCode;
use crate::line::plan::{Step, plan};
use crate::resources::ClientNumber;
use crate::resources::client_number::Carrier;
use crate::resources::conditions::{self, ConditionType};
use crate::resources::names::{ANNOTATION_CALL, ANNOTATION_RETRY, SECRET_TYPE_CODE, code_secret};
use crate::resources::reasons::Reason;

/// How long the controller's answer to `--call-now` is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(250);

/// Arguments of `verify`.
#[derive(clap::Args)]
#[group(id = "how", required = true, multiple = false, args = ["code", "call_now"])]
pub struct VerifyArgs {
    #[command(flatten)]
    line: Line,
    /// Hand in the six digits that were heard or read; - reads them from standard input, which keeps them out of the
    /// shell's history.
    #[arg(long, allow_hyphen_values = true)]
    code: Option<String>,
    /// Let Meta call or text the number now (carrier External): be at the phone.
    #[arg(long)]
    call_now: bool,
    /// The second half of a code that was written with a space: taken, so that no message about it repeats it.
    #[arg(hide = true)]
    rest: Vec<String>,
}

/// Hands a code in, or lets Meta call or text.
pub fn verify(args: VerifyArgs) -> Result<(), Failure> {
    let malformed = |error: crate::domain::Invalid| Failure::Usage(format!("--code: {error}"));
    if !args.rest.is_empty() {
        let way_out = "give the name of one line, and the six digits as one word: --code 123456 or --code 123-456";
        return Err(Failure::Usage(format!("--code: {way_out}")));
    }
    let code = match args.code.as_deref() {
        None => None,
        Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().take(64).read_to_string(&mut text);
            read.map_err(|_| Failure::Usage("--code: standard input is not text: give six digits".to_owned()))?;
            Some(OtpCode::parse(&text).map_err(malformed)?)
        }
        Some(text) => Some(OtpCode::parse(text).map_err(malformed)?),
    };
    block_on(async move {
        let (client, namespace) = connect(&args.line).await?;
        let line = get(&client, &namespace, &args.line.name).await?;
        match code {
            Some(code) => hand_in(&client, &namespace, &line, &code).await,
            None => call_now(&client, &namespace, &line).await,
        }
    })
}

/// Why the line can't use a code now, and what to do; None: it can. A code that Meta sent for another reason (asked for
/// in WhatsApp Manager) counts as well, so none need have been asked for by the controller.
fn no_use_for_code(line: &ClientNumber) -> Option<String> {
    let (name, namespace) = (line.name_any(), line.namespace().unwrap_or_default());
    let status = line.status.clone().unwrap_or_default();
    let suspended = conditions::get(&status.conditions, ConditionType::Suspended).filter(|c| c.status == "True");
    if line.metadata.deletion_timestamp.is_some() {
        return Some(format!("{name} is being deleted: there is nothing to verify"));
    }
    match plan(&status) {
        Step::Acquire | Step::Link => Some(format!(
            "{name} is not in the WhatsApp Business Account yet, so Meta has no code for it: wait with kubectl wait \
             --for=condition=LinkedToWhatsApp cn/{name} -n {namespace}"
        )),
        Step::Route | Step::Register | Step::Keep => Some(format!(
            "Meta has accepted a code for {name} already: none is needed, see kubectl get cn {name} -n {namespace}"
        )),
        Step::Verify if line.spec.suspend => Some(format!(
            "work on {name} is stopped: run kubectl clientnumber resume {name} -n {namespace}, then do this again"
        )),
        Step::Verify => suspended.map(|condition| format!("{name} can't go on: {}", condition.message)),
    }
}

/// Why Meta can't be let call or text now, and what to do; None: it can be asked, unless the limits forbid it, which the
/// controller says.
fn no_call(line: &ClientNumber, now: Timestamp) -> Option<String> {
    let (name, namespace) = (line.name_any(), line.namespace().unwrap_or_default());
    let external = line.spec.number.existing.as_ref().is_some_and(|e| e.carrier == Carrier::External);
    if !external {
        return Some(format!(
            "{name} has a number at Telnyx, whose code is caught by itself: --call-now is for carrier External"
        ));
    }
    if let Some(why) = no_use_for_code(line) {
        return Some(why);
    }
    let verification = line.status.as_ref().and_then(|s| s.verification.as_ref());
    let expires = verification.and_then(|v| v.code_expires_at.as_ref()).filter(|expires| now < expires.0)?;
    Some(format!(
        "a code for {name} is on its way, or was heard: hand it in with kubectl clientnumber verify {name} -n {namespace} \
         --code 123456 until {}; no other is asked for before that",
        expires.0.strftime("%H:%M:%S UTC")
    ))
}

/// What became of a wish for a call, with what the line says.
#[derive(Debug, PartialEq)]
enum Answer {
    /// The controller has not looked yet.
    NotAskedYet(String),
    /// Meta was asked and has not answered, or its answer was lost.
    NotKnown(String),
    /// Meta said that it calls, or needs no code any more.
    Calls(String),
    /// It was not asked, or refused. Ends in what to do.
    Refused(String),
}

/// Reads it from the line's status. Pure.
fn answer(line: &ClientNumber, asked: &str) -> Answer {
    let status = line.status.clone().unwrap_or_default();
    let ready = conditions::get(&status.conditions, ConditionType::Ready);
    let said = ready
        .map_or_else(|| "its status says nothing yet: is the controller running?".to_owned(), |c| c.message.clone());
    let verification = status.verification.unwrap_or_default();
    let call = verification.call.unwrap_or_default();
    if verification.verified_at.is_some() {
        return Answer::Calls(said);
    }
    if verification.handled_call_request.as_deref() != Some(asked) {
        return Answer::NotAskedYet(said);
    }
    // Meta said that the number is verified: read again in this moment.
    let read_again = ready.is_some_and(|ready| ready.reason == Reason::InProgress.as_str());
    match verification.code_expires_at {
        Some(_) if call.accepted_at.is_some() => Answer::Calls(said),
        Some(_) => Answer::NotKnown(said),
        None if read_again => Answer::NotKnown(said),
        None if said.contains("--call-now") => Answer::Refused(said),
        None => {
            let (name, namespace) = (line.name_any(), line.namespace().unwrap_or_default());
            let again = format!("kubectl clientnumber verify {name} -n {namespace} --call-now");
            Answer::Refused(format!("{said}; Meta does not call: when that is settled, run {again} again"))
        }
    }
}

async fn call_now(client: &Client, namespace: &str, line: &ClientNumber) -> anyhow::Result<()> {
    let name = line.name_any();
    if let Some(why) = no_call(line, Timestamp::now()) {
        bail!(why);
    }
    let asked = annotate(client, namespace, &name, ANNOTATION_CALL).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = answer(&get(client, namespace, &name).await?, &asked);
        match answer {
            Answer::Calls(said) => {
                println!("{name}: {said}");
                return Ok(());
            }
            Answer::Refused(said) => bail!("{name}: {said}"),
            Answer::NotAskedYet(said) if Instant::now() > until => bail!(
                "Meta was not asked yet; it still may be within two minutes, so stay at the phone. {name}: {said}"
            ),
            Answer::NotKnown(said) if Instant::now() > until => {
                bail!("Meta was asked, and whether it calls is not known: it may, so stay at the phone. {name}: {said}")
            }
            Answer::NotAskedYet(_) | Answer::NotKnown(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The code goes into a Secret that the controller reads once and deletes; then the line is looked at.
async fn hand_in(client: &Client, namespace: &str, line: &ClientNumber, code: &OtpCode) -> anyhow::Result<()> {
    if let Some(why) = no_use_for_code(line) {
        bail!(why);
    }
    let name = line.name_any();
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret_name = code_secret(&name);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(secret_name.clone()),
            // Gone with its line, also if nobody reads it any more: another line of that name must not find it.
            owner_references: line.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(SECRET_TYPE_CODE.into()),
        string_data: Some(BTreeMap::from([("code".to_owned(), code.expose().to_owned())])),
        ..Secret::default()
    };
    if let Some(there) = api.get_opt(&secret_name).await? {
        if there.type_.as_deref() != Some(SECRET_TYPE_CODE) {
            bail!("a Secret {secret_name} of another type is in the way: rename or delete it");
        }
        // An older code that was not read yet: the newer one counts.
        match api.delete(&secret_name, &kube::api::DeleteParams::default()).await {
            // Read in this moment.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => drop(other?),
        }
    }
    api.create(&PostParams::default(), &secret).await?;
    annotate(client, namespace, &name, ANNOTATION_RETRY).await?;
    println!("the code is handed in: kubectl get cn {name} -n {namespace} -w");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: &str = "2026-11-01T10:00:00Z";

    fn line(carrier: &str, change: impl FnOnce(&mut Value)) -> ClientNumber {
        let mut line = json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
            "metadata": {"name": "rif", "namespace": "clients"},
            "spec": {
                "companyId": "rif", "displayName": "Rif", "portfolioRef": {"name": "main"},
                "number": {"existing": {"phoneNumber": "+212661000001", "carrier": carrier}},
            },
            "status": {
                "observedGeneration": 1, "phoneNumberId": "7", "conditions": [],
                "purchase": {"phase": "Owned", "attempt": 0},
                "link": {"phase": "Linked", "startedAt": NOW, "attempt": 1},
            },
        });
        change(&mut line);
        serde_json::from_value(line).unwrap()
    }

    fn suspended(reason: &str) -> Value {
        json!([{
            "type": "Suspended", "status": "True", "reason": reason, "message": "set the Portfolio's spec.suspend to false",
            "lastTransitionTime": NOW,
        }])
    }

    /// What stands in the refusal; "": not refused.
    fn check(says: &str, got: Option<&str>, what: &str) {
        match got {
            None => assert!(says.is_empty(), "{what} is not refused"),
            Some(text) => assert!(!says.is_empty() && text.contains(says), "{what}: {text}"),
        }
    }

    #[test]
    fn a_call_is_announced_only_on_meta_s_word() {
        let ready = |reason: &str, message: &str| json!([{"type": "Ready", "status": "False", "reason": reason, "message": message, "lastTransitionTime": NOW}]);
        let later = "2026-11-01T10:05:00Z";
        for (what, verification, reason, says, want) in [
            ("not seen", json!({}), "CodeNeeded", "needed", Answer::NotAskedYet("needed".into())),
            ("another wish", json!({"handledCallRequest": later}), "CodeNeeded", "needed", Answer::NotAskedYet("needed".into())),
            (
                "counted, not answered",
                json!({"handledCallRequest": NOW, "codeExpiresAt": later, "call": {"requestedAt": NOW}}),
                "CodeNeeded",
                "asked",
                Answer::NotKnown("asked".into()),
            ),
            (
                "Meta calls",
                json!({"handledCallRequest": NOW, "codeExpiresAt": later, "call": {"requestedAt": NOW, "acceptedAt": NOW}}),
                "CodeNeeded",
                "asked",
                Answer::Calls("asked".into()),
            ),
            (
                "Meta refused",
                json!({"handledCallRequest": NOW, "call": {"requestedAt": NOW, "notCalled": "no"}}),
                "CodeUnavailable",
                "no; then run kubectl clientnumber verify rif --call-now",
                Answer::Refused("no; then run kubectl clientnumber verify rif --call-now".into()),
            ),
            (
                "Meta is away",
                json!({"handledCallRequest": NOW}),
                "ProviderUnavailable",
                "away",
                Answer::Refused(
                    "away; Meta does not call: when that is settled, run kubectl clientnumber verify rif -n clients --call-now again".into(),
                ),
            ),
            ("read again", json!({"handledCallRequest": NOW}), "InProgress", "again", Answer::NotKnown("again".into())),
            ("verified", json!({"verifiedAt": NOW}), "Verified", "accepted", Answer::Calls("accepted".into())),
        ] {
            let line = line("External", |line| {
                line["status"]["verification"] = verification;
                line["status"]["conditions"] = ready(reason, says);
            });
            assert_eq!(answer(&line, NOW), want, "{what}");
        }
    }

    #[test]
    fn a_code_is_taken_whenever_the_line_can_use_it() {
        type Change = Box<dyn FnOnce(&mut Value)>;
        let set = |pointer: &'static str, value: Value| -> Change {
            Box::new(move |line| {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                line.pointer_mut(parent).unwrap()[key] = value;
            })
        };
        let later = "2026-11-01T10:05:00Z";
        for (what, change, code, call) in [
            ("waiting", set("/status/step", json!("verify")), "", ""),
            ("no status", set("/status", Value::Null), "LinkedToWhatsApp", "LinkedToWhatsApp"),
            ("not linked", set("/status/link/phase", json!("Intended")), "LinkedToWhatsApp", "LinkedToWhatsApp"),
            ("awaited", set("/status/verification", json!({"codeExpiresAt": later})), "", "until 10:05:00 UTC"),
            ("armed", set("/status/verification", json!({"armedAt": NOW, "codeExpiresAt": later})), "", "until 10:05"),
            ("expired", set("/status/verification", json!({"codeExpiresAt": NOW})), "", ""),
            ("verified", set("/status/verification", json!({"verifiedAt": NOW})), "none is needed", "none is needed"),
            ("suspended", set("/spec/suspend", json!(true)), "resume rif -n clients", "resume rif -n clients"),
            (
                "Portfolio suspended",
                set("/status/conditions", suspended("PortfolioSuspended")),
                "Portfolio's spec.suspend",
                "Portfolio's spec.suspend",
            ),
            ("deleted", set("/metadata/deletionTimestamp", json!(NOW)), "is being deleted", "is being deleted"),
        ] {
            let line = line("External", change);
            check(code, no_use_for_code(&line).as_deref(), &format!("--code, {what}"));
            check(call, no_call(&line, NOW.parse().unwrap()).as_deref(), &format!("--call-now, {what}"));
        }
        let telnyx = line("Telnyx", |_| ());
        check("", no_use_for_code(&telnyx).as_deref(), "a way out for all");
        check("caught by itself", no_call(&telnyx, NOW.parse().unwrap()).as_deref(), "--call-now at Telnyx");
    }
}
