//! The two TeXML applications: capture and reject. Their names are the cluster's claim on its owner id, so they are made
//! before anything is bought, and nothing else is done while they say that another cluster holds it.

use super::accounts::Applications;
use super::claim::{self, Application, Decision};
use super::voice_urls;
use crate::domain::{ClusterId, OwnerId};
use crate::providers::{ProviderError, telnyx};
use crate::resources::{Portfolio, names};

/// The address of a claim while none of the router is configured. RFC 2606: the name never resolves, so a call that is sent
/// there is not answered.
const NOWHERE: &str = "https://unconfigured.invalid/telnyx/reject.xml";

/// What was found.
pub enum Claimed {
    /// Ours; None of both while no address of the router is configured.
    Ours(Applications),
    /// Claimed just now: another cluster may have done so at the same moment, so nothing is done before a second look.
    Unconfirmed,
    /// Another cluster's.
    InUse(String),
}

/// Claims the owner id, makes what is missing and repairs addresses that drifted. The claim is made whatever is configured:
/// numbers can be bought before their calls can be answered.
pub async fn ensure(
    portfolio: &Portfolio,
    telnyx: &telnyx::Client,
    owner: &OwnerId,
    cluster: &ClusterId,
) -> Result<Claimed, ProviderError> {
    let listed = telnyx.texml_applications().await?;
    let (capture, reject) = match decide(&listed, portfolio, owner, cluster) {
        Decision::Ours { capture, reject } => (capture, reject),
        Decision::InUse { by } => return Ok(Claimed::InUse(by)),
        // Two clusters may take over from the same one: whose names stand is seen when both have written theirs.
        Decision::TakeOver { rename } => {
            rename_all(telnyx, &listed, &rename).await?;
            return Ok(Claimed::Unconfirmed);
        }
        Decision::Lost { by, rename } => {
            rename_all(telnyx, &listed, &rename).await?;
            return Ok(Claimed::InUse(by));
        }
    };
    let new = capture.is_none() && reject.is_none();
    let reject_name = names::reject_application(owner, cluster);
    let applications = match voice_urls(portfolio) {
        None => {
            if new {
                telnyx.create_texml_application(&reject_name, NOWHERE).await?;
            }
            Applications::default()
        }
        Some(urls) => {
            let capture_name = names::capture_application(owner, cluster);
            let capture = ensure_one(telnyx, &listed, capture, &capture_name, &urls.capture).await?;
            let reject = ensure_one(telnyx, &listed, reject, &reject_name, &urls.reject).await?;
            let capture = portfolio.spec.telnyx.voice_connection_id.clone().unwrap_or(capture);
            Applications { capture, reject }
        }
    };
    Ok(if new { Claimed::Unconfirmed } else { Claimed::Ours(applications) })
}

fn decide(
    listed: &[telnyx::TexmlApplication],
    portfolio: &Portfolio,
    owner: &OwnerId,
    cluster: &ClusterId,
) -> Decision {
    claim::decide(&plain(listed), owner, cluster, &portfolio.spec.take_over_from)
}

fn plain(listed: &[telnyx::TexmlApplication]) -> Vec<Application> {
    let plain =
        |a: &telnyx::TexmlApplication| Application { id: a.id.clone(), name: a.name.clone(), created: a.created_at };
    listed.iter().map(plain).collect()
}

/// Which other cluster holds the owner id by now; None: it is this cluster's, or nobody's. One look; nothing is changed.
pub async fn lost_to(
    portfolio: &Portfolio,
    telnyx: &telnyx::Client,
    owner: &OwnerId,
    cluster: &ClusterId,
) -> Result<Option<String>, ProviderError> {
    let listed = telnyx.texml_applications().await?;
    Ok(claim::lost_to(&plain(&listed), owner, cluster, &portfolio.spec.take_over_from))
}

/// The applications of an owner id that is this cluster's by now, both of them; nothing is claimed, made or changed.
pub async fn held(
    portfolio: &Portfolio,
    telnyx: &telnyx::Client,
    owner: &OwnerId,
    cluster: &ClusterId,
) -> Result<Option<Applications>, ProviderError> {
    Ok(match decide(&telnyx.texml_applications().await?, portfolio, owner, cluster) {
        Decision::Ours { capture: Some(capture), reject: Some(reject) } => {
            let capture = portfolio.spec.telnyx.voice_connection_id.clone().unwrap_or(capture);
            Some(Applications { capture, reject })
        }
        _ => None,
    })
}

async fn rename_all(
    telnyx: &telnyx::Client,
    listed: &[telnyx::TexmlApplication],
    rename: &[(String, String)],
) -> Result<(), ProviderError> {
    for (id, name) in rename {
        let url = listed.iter().find(|a| a.id == *id).and_then(|a| a.voice_url.clone()).unwrap_or_default();
        telnyx.update_texml_application(id, name, &url).await?;
    }
    Ok(())
}

async fn ensure_one(
    telnyx: &telnyx::Client,
    listed: &[telnyx::TexmlApplication],
    id: Option<String>,
    name: &str,
    url: &str,
) -> Result<String, ProviderError> {
    match id {
        None => Ok(telnyx.create_texml_application(name, url).await?.id),
        Some(id) => {
            let drifted = listed.iter().find(|a| a.id == id).is_none_or(|a| {
                a.voice_url.as_deref() != Some(url)
                    || !a.voice_method.as_deref().is_some_and(|m| m.eq_ignore_ascii_case("get"))
            });
            if drifted {
                telnyx.update_texml_application(&id, name, url).await?;
            }
            Ok(id)
        }
    }
}
