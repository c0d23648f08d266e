//! The two TeXML applications: capture and reject. Their names are the cluster's claim on its owner id, so they are made
//! before anything is bought, and nothing else is done while they say that another cluster holds it.

use super::accounts::Applications;
use super::claim::{self, Application, Decision};
use super::voice_urls;
use crate::domain::{ClusterId, OwnerId};
use crate::providers::{ProviderError, telnyx};
use crate::resources::{Portfolio, names};

/// What was found.
pub enum Claimed {
    /// Ours; None of both while no address of the router is configured.
    Ours(Applications),
    /// Another cluster's.
    InUse(String),
}

/// Claims the owner id, makes what is missing and repairs addresses that drifted.
pub async fn ensure(
    portfolio: &Portfolio,
    telnyx: &telnyx::Client,
    owner: &OwnerId,
    cluster: &ClusterId,
) -> Result<Claimed, ProviderError> {
    let mut listed = telnyx.texml_applications().await?;
    let plain = |listed: &[telnyx::TexmlApplication]| -> Vec<Application> {
        listed.iter().map(|a| Application { id: a.id.clone(), name: a.name.clone() }).collect()
    };
    let mut decision = claim::decide(&plain(&listed), owner, cluster, &portfolio.spec.take_over_from);
    if let Decision::TakeOver { rename } = &decision {
        for (id, name) in rename {
            let url = listed.iter().find(|a| a.id == *id).and_then(|a| a.voice_url.clone()).unwrap_or_default();
            telnyx.update_texml_application(id, name, &url).await?;
        }
        listed = telnyx.texml_applications().await?;
        decision = claim::decide(&plain(&listed), owner, cluster, &portfolio.spec.take_over_from);
    }
    let (capture, reject) = match decision {
        Decision::Ours { capture, reject } => (capture, reject),
        Decision::InUse { by } => return Ok(Claimed::InUse(by)),
        Decision::TakeOver { .. } => return Ok(Claimed::InUse(portfolio.spec.take_over_from.clone())),
    };
    let Some(urls) = voice_urls(portfolio) else { return Ok(Claimed::Ours(Applications::default())) };
    let capture =
        ensure_one(telnyx, &listed, capture, &names::capture_application(owner, cluster), &urls.capture).await?;
    let reject = ensure_one(telnyx, &listed, reject, &names::reject_application(owner, cluster), &urls.reject).await?;
    let capture = portfolio.spec.telnyx.voice_connection_id.clone().unwrap_or(capture);
    Ok(Claimed::Ours(Applications { capture, reject }))
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
