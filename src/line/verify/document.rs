//! The document that records the code, as Telnyx will fetch it. Proven before a code is asked for: a proxy's error page, or
//! an application that leads elsewhere, costs one of the few codes that Meta grants.

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use crate::resources::names;
use crate::resources::reasons::Reason;
use crate::router::texml;

/// Looks at the capture application, repairs ours if somebody changed it, and fetches its document. `Some`: it is not as it
/// should be, and why.
pub async fn check(pass: &Pass<'_>) -> Result<Option<Outcome>, StepError> {
    let Some(urls) = crate::portfolio::voice_urls(&pass.portfolio) else {
        let message = "set telnyx.voiceUrl or meta.webhookUrl of the Portfolio to the router's public address";
        return Ok(Some(stalled(pass, Reason::CaptureNotConfigured, message.to_owned())));
    };
    let id = &pass.account.applications.capture;
    let Some(application) = pass.account.telnyx.texml_application(id).await? else {
        let message = match &pass.portfolio.spec.telnyx.voice_connection_id {
            Some(id) => format!(
                "Telnyx has no TeXML application {id}: correct telnyx.voiceConnectionId of the Portfolio, or leave it out"
            ),
            None => {
                // The Portfolio's round makes it anew.
                if let Some(uid) = pass.portfolio.metadata.uid.as_deref() {
                    pass.ctx.rounds.not_after(uid, pass.ctx.clock.monotonic());
                }
                "the TeXML application that records is gone at Telnyx: it is made anew by itself".to_owned()
            }
        };
        return Ok(Some(stalled(pass, Reason::CaptureNotReachable, message)));
    };
    let url = match &pass.portfolio.spec.telnyx.voice_connection_id {
        // Not ours to change: what it leads to is what counts.
        Some(_) => application.voice_url.clone().unwrap_or_default(),
        None => {
            let gets = application.voice_method.as_deref().is_some_and(|method| method.eq_ignore_ascii_case("get"));
            if application.voice_url.as_deref() != Some(urls.capture.as_str()) || !gets {
                let name = names::capture_application(&pass.account.owner, &pass.account.cluster);
                pass.account.telnyx.update_texml_application(id, &name, &urls.capture).await?;
            }
            urls.capture
        }
    };
    Ok(match pass.ctx.accounts.fetch_document(&url).await {
        Ok(document) if document.trim() == texml::CAPTURE.trim() => None,
        Ok(_) => Some(stalled(
            pass,
            Reason::CaptureNotReachable,
            format!("{url} does not answer with the capture document: let it lead to the router of this version"),
        )),
        Err(error) => Some(stalled(
            pass,
            Reason::CaptureNotReachable,
            format!(
                "{url} can't be fetched ({error}): let it lead to the router, reachable from the Internet and from here"
            ),
        )),
    })
}

fn stalled(pass: &Pass<'_>, reason: Reason, message: String) -> Outcome {
    Outcome::wait(Progress::stalled(Step::Verify, reason, message), pass.ctx.policy.backoff(4))
}
