//! The Portfolio controller: the platform's accounts, the ledger of claims, the cluster's claim on its owner id.
//!
//! One round: Secrets -> clients -> tokens -> whose owner id -> TeXML applications -> subscription -> counts -> status.
//! Lines wait for its condition Ready with one short reason. Must never act on an account whose owner id belongs to
//! another cluster.

pub mod accounts;
pub mod applications;
pub mod audit;
pub mod audits;
pub mod business;
pub mod claim;
pub mod counts;
pub mod credentials;
pub mod findings;
pub mod ledger;
pub mod ledger_write;
pub mod listener;
mod look;
pub mod observed;
pub mod operator;
mod round;
pub mod rounds;
pub mod shared;
pub mod status;
mod suspects;
mod sweep;
pub mod turns;

use std::sync::Arc;
use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};

use crate::controller::away::Service;
use crate::controller::context::{Context, name_of};
use crate::controller::events;
use crate::resources::finding::FindingKind;
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
    if let Some(rest) = counted_just_now(&seen, &ctx) {
        return Ok(Action::requeue(rest));
    }
    let Some(portfolio) = api.get_opt(&seen.name_any()).await? else { return Ok(Action::await_change()) };
    let basis = basis(&portfolio);
    if portfolio.metadata.deletion_timestamp.is_some() {
        return delete(&api, &portfolio, &ctx, &basis).await;
    }
    if !portfolio.finalizers().iter().any(|f| f == PORTFOLIO_FINALIZER) {
        let mut finalizers = portfolio.finalizers().to_vec();
        finalizers.push(PORTFOLIO_FINALIZER.into());
        set_finalizers(&api, &portfolio, &finalizers).await?;
        return Ok(Action::requeue(Duration::ZERO));
    }
    look_again(&api, &portfolio, &ctx, &basis).await
}

/// A round if one is due, else the counts that need none.
async fn look_again(
    api: &Api<Portfolio>,
    portfolio: &Portfolio,
    ctx: &Context,
    basis: &Basis,
) -> Result<Action, kube::Error> {
    let uid = portfolio.uid().unwrap_or_default();
    if let Some(rest) = ctx.rounds.rest(&uid, basis, ctx.clock.monotonic()) {
        status::refresh_counts(api, portfolio, ctx).await?;
        return Ok(Action::requeue(rest));
    }
    if ctx.rounds.anew(&uid, basis) {
        ctx.rounds.ask_all(&uid);
    }
    ctx.rounds.begin(&uid, ctx.clock.monotonic());
    let found = round::run(portfolio, ctx).await;
    let away = found.trouble.as_ref().and_then(|trouble| trouble.away);
    if away.is_none() {
        ctx.rounds.went_well(&uid);
    }
    let next = match (&found.trouble, away) {
        (None, _) => ctx.jitter(ctx.policy.scaled(check_interval(portfolio))),
        // Lines whose accounts are not known yet wait for this round: they go on soon after the provider is back.
        (Some(_), Some((provider, answered))) => {
            let (tries, since) = ctx.rounds.failed(&uid, ctx.clock.monotonic());
            let probed = ctx.away.is_probed(&Service::Provider(name_of(&portfolio.metadata), provider));
            ctx.jitter(ctx.policy.round_gap(tries, answered, probed, since))
        }
        (Some(trouble), None) => ctx.jitter(trouble.again.unwrap_or_else(|| ctx.policy.backoff(4))),
    };
    status::write(api, portfolio, ctx, &found).await?;
    let owned = found.evidence.as_ref().and_then(|evidence| evidence.owned.clone());
    if let (None, Some(account), Some(owned)) = (&found.trouble, ctx.accounts.get(portfolio), owned) {
        sweep::run(ctx, portfolio, &account, &owned).await;
    }
    let now = ctx.clock.monotonic();
    let due = ctx.rounds.set(&uid, basis.clone(), now + next);
    Ok(Action::requeue(due.saturating_duration_since(now)))
}

/// What a round of this Portfolio is made for.
fn basis(portfolio: &Portfolio) -> Basis {
    Basis {
        generation: portfolio.metadata.generation.unwrap_or_default(),
        retry: portfolio.annotations().get(ANNOTATION_RETRY).cloned(),
    }
}

/// How long until the lines may be counted again, when that is all there is to do: no call follows.
fn counted_just_now(seen: &Portfolio, ctx: &Context) -> Option<Duration> {
    let (uid, now) = (seen.metadata.uid.as_deref()?, ctx.clock.monotonic());
    if seen.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let round = ctx.rounds.rest(uid, &basis(seen), now)?;
    ctx.rounds.may_count(uid, now).err().map(|rest| rest.min(round))
}

/// The lines that name a Portfolio.
pub fn lines_of(ctx: &Context, portfolio: &Portfolio) -> Vec<Arc<ClientNumber>> {
    ctx.lines.state().into_iter().filter(|line| names(line, portfolio)).collect()
}

fn names(line: &ClientNumber, portfolio: &Portfolio) -> bool {
    let reference = &line.spec.portfolio_ref;
    reference.name == portfolio.name_any()
        && reference.namespace.clone().or_else(|| line.namespace()) == portfolio.namespace()
}

/// A Portfolio can't go while lines use it: they could not be released without its accounts. Until then it is looked
/// after like any other: a line that is dead must not look Ready because its Portfolio is to go.
async fn delete(
    api: &Api<Portfolio>,
    portfolio: &Portfolio,
    ctx: &Context,
    basis: &Basis,
) -> Result<Action, kube::Error> {
    if !portfolio.finalizers().iter().any(|f| f == PORTFOLIO_FINALIZER) {
        return Ok(Action::await_change());
    }
    if !lines_of(ctx, portfolio).is_empty() || line_was_made(portfolio, ctx).await? {
        let round = look_again(api, portfolio, ctx, basis).await?;
        let soon = Action::requeue(ctx.jitter(ctx.policy.backoff(3)));
        // A line that the watch has not told of yet must not be waited for until the next round.
        return Ok(if lines_of(ctx, portfolio).is_empty() { soon } else { round });
    }
    let drafts: Vec<_> = still_paid(portfolio, ctx).await.into_iter().collect();
    events::write(ctx, &portfolio.object_ref(&()), drafts).await;
    let (uid, name) = (portfolio.uid().unwrap_or_default(), name_of(&portfolio.metadata));
    ctx.accounts.withdraw(portfolio);
    ctx.observations.forget(portfolio);
    ctx.rounds.forget(&uid);
    ctx.audits.forget(&uid);
    ctx.ledgers.forget(&name);
    ctx.metrics.forget_portfolio(&name.to_string(), FindingKind::ALL.iter().map(|kind| kind.as_str()));
    let rest: Vec<String> = portfolio.finalizers().iter().filter(|f| *f != PORTFOLIO_FINALIZER).cloned().collect();
    set_finalizers(api, portfolio, &rest).await?;
    Ok(Action::await_change())
}

/// What stays paid for: by the carrier's list, as far as it can be read now, and by what status knew.
async fn still_paid(portfolio: &Portfolio, ctx: &Context) -> Option<events::Draft> {
    let status = portfolio.status.clone().unwrap_or_default();
    let mut paid: Vec<String> = status.retained.iter().map(|number| number.phone_number.clone()).collect();
    if let Some(account) = ctx.accounts.get(portfolio)
        && let Ok(owned) = account.owned_numbers(Duration::ZERO).await
    {
        let living = owned.iter().filter(|number| !audit::is_gone(number));
        paid.extend(living.map(|number| number.number.to_string()));
    }
    let (findings, _) = ctx.audits.findings(&portfolio.uid().unwrap_or_default(), &status.findings);
    findings::still_paid(&findings, paid.iter().map(String::as_str))
}

/// Whether the API server has a line that names the Portfolio: the watch may be a moment behind one that was just made.
async fn line_was_made(portfolio: &Portfolio, ctx: &Context) -> Result<bool, kube::Error> {
    let naming = ListParams::default().fields(&format!("spec.portfolioRef.name={}", portfolio.name_any()));
    let scopes: Vec<Api<ClientNumber>> = match ctx.namespaces.as_slice() {
        [] => vec![Api::all(ctx.client.clone())],
        names => names.iter().map(|name| Api::namespaced(ctx.client.clone(), name)).collect(),
    };
    for scope in scopes {
        if scope.list(&naming).await?.items.iter().any(|line| names(line, portfolio)) {
            return Ok(true);
        }
    }
    Ok(false)
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
