//! The Portfolio controller: the platform's accounts, the ledger of claims, the cluster's claim on its owner id.
//!
//! One round: Secrets -> clients -> tokens -> whose owner id -> TeXML applications -> subscription -> counts -> status.
//! Lines wait for its condition Ready with one short reason. Must never act on an account whose owner id belongs to
//! another cluster.

pub mod accounts;
pub mod applications;
pub mod claim;
pub mod counts;
pub mod credentials;
pub mod ledger;
pub mod ledger_write;
mod look;
pub mod observed;
mod round;
pub mod rounds;
pub mod shared;
mod status;

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use crate::controller::context::Context;
use crate::resources::names::{ANNOTATION_RETRY, PORTFOLIO_FINALIZER};
use crate::resources::{ClientNumber, Portfolio};
use rounds::Basis;

/// Addresses of the two TeXML documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceUrls {
    /// The document that records.
    pub capture: String,
    /// The document that rejects.
    pub reject: String,
}

/// Where Telnyx fetches the documents: `telnyx.voiceUrl` and its neighbour reject.xml, or both at the origin of
/// `meta.webhookUrl`. None: neither is set.
pub fn voice_urls(portfolio: &Portfolio) -> Option<VoiceUrls> {
    let spec = &portfolio.spec;
    let capture = match (&spec.telnyx.voice_url, &spec.meta.webhook_url) {
        (Some(url), _) => url.clone(),
        (None, Some(webhook)) => {
            let (scheme, rest) = webhook.split_once("://")?;
            let host = rest.split(['/', '?', '#']).next()?;
            format!("{scheme}://{host}/telnyx/capture.xml")
        }
        (None, None) => return None,
    };
    let path_end = capture.find(['?', '#']).unwrap_or(capture.len());
    let folder = capture[..path_end].rfind('/').map_or(path_end, |slash| slash + 1);
    let reject = format!("{}reject.xml", &capture[..folder]);
    Some(VoiceUrls { capture, reject })
}

/// `spec.checkInterval`. The API server lets only h, m and s through; anything else counts as an hour.
pub fn check_interval(portfolio: &Portfolio) -> Duration {
    let mut total = 0u64;
    let mut digits = String::new();
    for c in portfolio.spec.check_interval.chars() {
        let unit = match c {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => {
                digits.push(c);
                continue;
            }
        };
        total = total.saturating_add(digits.parse::<u64>().unwrap_or(0).saturating_mul(unit));
        digits.clear();
    }
    Duration::from_secs(if total == 0 { 3600 } else { total })
}

/// One pass over one Portfolio.
pub async fn reconcile(seen: Arc<Portfolio>, ctx: Arc<Context>) -> Result<Action, kube::Error> {
    let api: Api<Portfolio> = Api::namespaced(ctx.client.clone(), &seen.namespace().unwrap_or_default());
    let Some(portfolio) = api.get_opt(&seen.name_any()).await? else { return Ok(Action::await_change()) };
    if portfolio.metadata.deletion_timestamp.is_some() {
        return delete(&api, &portfolio, &ctx).await;
    }
    if !portfolio.finalizers().iter().any(|f| f == PORTFOLIO_FINALIZER) {
        let mut finalizers = portfolio.finalizers().to_vec();
        finalizers.push(PORTFOLIO_FINALIZER.into());
        set_finalizers(&api, &portfolio, &finalizers).await?;
        return Ok(Action::requeue(Duration::ZERO));
    }
    let basis = Basis {
        generation: portfolio.metadata.generation.unwrap_or_default(),
        retry: portfolio.annotations().get(ANNOTATION_RETRY).cloned(),
    };
    let uid = portfolio.uid().unwrap_or_default();
    if let Some(rest) = ctx.rounds.rest(&uid, &basis, ctx.clock.monotonic()) {
        status::refresh_counts(&api, &portfolio, &ctx).await?;
        return Ok(Action::requeue(rest));
    }
    if ctx.rounds.anew(&uid, &basis) {
        ctx.rounds.ask_all(&uid);
    }
    let found = round::run(&portfolio, &ctx).await;
    let next = match &found.trouble {
        None => ctx.jitter(ctx.policy.scaled(check_interval(&portfolio))),
        Some(_) => ctx.jitter(ctx.policy.backoff(4)),
    };
    status::write(&api, &portfolio, &ctx, &found).await?;
    ctx.rounds.set(&uid, basis, ctx.clock.monotonic() + next);
    Ok(Action::requeue(next))
}

/// The lines that name a Portfolio.
pub fn lines_of(ctx: &Context, portfolio: &Portfolio) -> Vec<Arc<ClientNumber>> {
    let (namespace, name) = (portfolio.namespace(), portfolio.name_any());
    ctx.lines
        .state()
        .into_iter()
        .filter(|line| {
            let reference = &line.spec.portfolio_ref;
            reference.name == name && reference.namespace.clone().or_else(|| line.namespace()) == namespace
        })
        .collect()
}

/// A Portfolio can't go while lines use it: they could not be released without its accounts.
async fn delete(api: &Api<Portfolio>, portfolio: &Portfolio, ctx: &Context) -> Result<Action, kube::Error> {
    let lines = lines_of(ctx, portfolio).len();
    if lines > 0 {
        // They can only be released through its accounts, which a controller that was started since has not made yet.
        if ctx.accounts.get(portfolio).is_none() {
            let found = round::run(portfolio, ctx).await;
            tracing::info!(portfolio = %portfolio.name_any(), usable = found.trouble.is_none(), "the accounts of a Portfolio that is to go were read, for the lines that are left");
        }
        status::write_in_use(api, portfolio, ctx, lines).await?;
        return Ok(Action::requeue(ctx.jitter(ctx.policy.backoff(3))));
    }
    ctx.accounts.withdraw(portfolio);
    ctx.observations.forget(portfolio);
    ctx.rounds.forget(&portfolio.uid().unwrap_or_default());
    let rest: Vec<String> = portfolio.finalizers().iter().filter(|f| *f != PORTFOLIO_FINALIZER).cloned().collect();
    set_finalizers(api, portfolio, &rest).await?;
    Ok(Action::await_change())
}

async fn set_finalizers(api: &Api<Portfolio>, portfolio: &Portfolio, finalizers: &[String]) -> Result<(), kube::Error> {
    let patch =
        serde_json::json!({"metadata": {"resourceVersion": portfolio.resource_version(), "finalizers": finalizers}});
    match api.patch(&portfolio.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// When a pass that failed is tried again.
pub fn on_error(_: Arc<Portfolio>, error: &kube::Error, ctx: Arc<Context>) -> Action {
    let conflict = matches!(error, kube::Error::Api(status) if status.is_conflict());
    Action::requeue(ctx.jitter(if conflict { Duration::from_millis(200) } else { ctx.policy.backoff(1) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portfolio(voice: Option<&str>, webhook: Option<&str>, interval: &str) -> Portfolio {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "Portfolio", "metadata": {"name": "main"},
            "spec": {
                "ownerId": "prod", "checkInterval": interval,
                "telnyx": {"apiKeySecretRef": {"name": "t", "key": "k"}, "voiceUrl": voice},
                "meta": {"businessId": "1", "wabaId": "2", "appId": "3", "webhookUrl": webhook,
                    "accessTokenSecretRef": {"name": "m", "key": "a"}, "appSecretSecretRef": {"name": "m", "key": "s"}}
            }
        }))
        .unwrap()
    }

    #[test]
    fn where_the_documents_are() {
        let urls = |voice, webhook| voice_urls(&portfolio(voice, webhook, "1h")).map(|u| (u.capture, u.reject));
        assert_eq!(urls(None, None), None);
        assert_eq!(
            urls(None, Some("https://wa.example.ma/webhook?x=1")),
            Some(("https://wa.example.ma/telnyx/capture.xml".into(), "https://wa.example.ma/telnyx/reject.xml".into()))
        );
        assert_eq!(
            urls(Some("http://127.0.0.1:8080/v/capture.xml?k=/1"), Some("https://wa.example.ma/webhook")),
            Some(("http://127.0.0.1:8080/v/capture.xml?k=/1".into(), "http://127.0.0.1:8080/v/reject.xml".into()))
        );
    }

    #[test]
    fn intervals() {
        for (text, seconds) in [("1h", 3600), ("1h30m", 5400), ("90s", 90), ("24h", 86_400), ("", 3600)] {
            assert_eq!(check_interval(&portfolio(None, None, text)), Duration::from_secs(seconds), "{text}");
        }
    }
}
