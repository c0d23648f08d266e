//! One round over the accounts: what can be read of them, and what is made there before any line spends. Reads are
//! shared by all lines; nothing here is a call per line. What the tokens open is read at once: behind a provider that
//! hangs a round waits for one time-out, not for one after the other.

use super::accounts::{Account, Applications, Credentials};
use super::applications::{self, Claimed};
use super::audit::Evidence;
use super::audit::holders::Holders;
use super::credentials::{self, CredentialError};
use super::look;
use super::rounds::Daily;
use super::suspects::{self, Sources};
use crate::controller::context::Context;
use crate::domain::{AppId, E164};
use crate::line::drift::without_secrets;
use crate::providers::{ErrorClass, Provider, ProviderError, Reason as Outcomes, meta};
use crate::resources::Portfolio;
use crate::resources::conditions::{ConditionType, Truth, Wanted, known};
use crate::resources::portfolio::WebhookPolicy;
use crate::resources::reasons::Reason;
use crate::store::Route;
use kube::ResourceExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the routing table is waited for.
const ROUTES_WITHIN: Duration = Duration::from_secs(10);

/// Why the Portfolio is not Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Reason.
    pub reason: Reason,
    /// What to do.
    pub message: String,
    /// Whether a person must act.
    pub human: bool,
    /// When to look again; None: after the usual time.
    pub again: Option<Duration>,
    /// Which provider is away, and whether it gave an answer all the same.
    pub away: Option<(Provider, bool)>,
}

/// What a round found.
#[derive(Default)]
pub struct Found {
    /// Why lines must wait; None: Ready.
    pub trouble: Option<Trouble>,
    /// The accounts' conditions, as far as they were read.
    pub conditions: Vec<Wanted>,
    /// Numbers that Meta lists.
    pub at_meta: Option<Vec<E164>>,
    /// What was read of numbers, orders and routes; None: the accounts could not be opened.
    pub evidence: Option<Evidence>,
    /// Balance in USD.
    pub balance: Option<String>,
    /// Meta's messaging limit.
    pub messaging_limit: Option<String>,
    /// The TeXML applications.
    pub applications: Option<Applications>,
    /// The Secrets and URLs that it was made with.
    pub made_with: Option<u64>,
    /// When a token is refused while numbers record: the account with which that is ended.
    pub for_ending: Option<Arc<Account>>,
}

/// Runs one round. Everything that goes wrong is in what it returns.
pub async fn run(portfolio: &Portfolio, ctx: &Context) -> Found {
    let mut found = Found::default();
    match accounts(portfolio, ctx, &mut found).await {
        Ok(account) => {
            rest(portfolio, ctx, &account, &mut found).await;
            if found.trouble.is_none() {
                ctx.accounts.publish(portfolio, account);
            }
        }
        Err(trouble) => {
            // Lines that work keep their accounts through a provider's bad hour; not through a refused token.
            match trouble.reason {
                // Another cluster's: nothing of it is touched.
                Reason::OwnerIdInUse => ctx.accounts.withdraw(portfolio),
                _ if trouble.human => ctx.accounts.refuse(portfolio, found.for_ending.take()),
                _ => {}
            }
            found.trouble = Some(trouble);
        }
    }
    if let Some(trouble) = &found.trouble {
        tokens(&mut found.conditions, trouble);
        // Nor when Secrets or URLs are others now: the account of the old ones is perhaps not to be used any more.
        if found.made_with.is_some_and(|now| ctx.accounts.differs(portfolio, now)) {
            ctx.accounts.withdraw(portfolio);
        }
        if trouble.reason == Reason::CredentialsInvalid {
            ctx.rounds.ask_all(&portfolio.uid().unwrap_or_default());
        }
    }
    found
}

/// What the trouble says of key and token. Where it says nothing they are as good as they were found to be.
fn tokens(conditions: &mut Vec<Wanted>, trouble: &Trouble) {
    let type_ = ConditionType::TokensValid;
    let refused = trouble.human && matches!(trouble.reason, Reason::CredentialsInvalid | Reason::SecretMissing);
    if refused {
        conditions.retain(|wanted| wanted.type_ != type_);
    }
    // The API server takes each type once.
    if conditions.iter().all(|wanted| wanted.type_ != type_) {
        let truth = if refused { Truth::False } else { Truth::Unknown };
        conditions.push(Wanted::new(type_, truth, trouble.reason, &trouble.message));
    }
}

/// Secrets, tokens, the cluster's claim.
async fn accounts(portfolio: &Portfolio, ctx: &Context, found: &mut Found) -> Result<Arc<Account>, Trouble> {
    let credentials = credentials::read(&ctx.client, portfolio).await.map_err(|error| Trouble {
        reason: Reason::SecretMissing,
        human: matches!(error, CredentialError::Missing { .. }),
        message: error.to_string(),
        again: None,
        away: None,
    })?;
    let invalid = |error: crate::domain::Invalid| Trouble {
        reason: Reason::InvalidSpec,
        message: error.to_string(),
        human: true,
        again: None,
        away: None,
    };
    let bare = ctx.accounts.prepare(portfolio, &credentials, &ctx.cluster, Applications::default()).map_err(invalid)?;
    found.made_with = Some(bare.fingerprint());
    if let Err(trouble) = inspect_token(portfolio, ctx, &bare).await {
        if trouble.reason == Reason::CredentialsInvalid && look::records(ctx, portfolio) {
            found.for_ending = for_ending(portfolio, ctx, &credentials, &bare).await;
        }
        return Err(trouble);
    }
    let balance = bare.telnyx.balance().await.map_err(|e| provider(&e))?;
    found.balance = Some(format!("{:.2}", balance.available.0));
    found.conditions.push(Wanted::new(
        ConditionType::TokensValid,
        Truth::True,
        Reason::CredentialsValid,
        "Telnyx and Meta accept key and token",
    ));
    found.conditions.push(funded(portfolio, balance.available));
    if ctx.read_only {
        return Ok(bare);
    }
    let claimed =
        applications::ensure(portfolio, &bare.telnyx, &bare.owner, &ctx.cluster).await.map_err(|e| provider(&e))?;
    match claimed {
        Claimed::InUse(by) => Err(Trouble {
            reason: Reason::OwnerIdInUse,
            message: format!(
                "ownerId {} belongs to the cluster {by}: use another ownerId, or set takeOverFrom to {by} if that cluster is gone",
                bare.owner
            ),
            human: true,
            again: None,
            away: None,
        }),
        Claimed::Unconfirmed => {
            // Not with the account of a claim that was lost, either.
            ctx.accounts.withdraw(portfolio);
            Err(Trouble {
                reason: Reason::InProgress,
                message: "the ownerId was claimed at Telnyx; the claim is looked at again, and lines go on when no other cluster made one at the same moment".into(),
                human: false,
                again: Some(ctx.policy.order_poll()),
                away: None,
            })
        }
        Claimed::Ours(applications) => {
            found.applications = Some(applications.clone());
            ctx.accounts.prepare(portfolio, &credentials, &ctx.cluster, applications).map_err(invalid)
        }
    }
}

/// The account of a Portfolio whose token Meta refuses, for ending at the carrier what was begun there. None: its owner id
/// is not this cluster's, or can't be looked at.
async fn for_ending(
    portfolio: &Portfolio,
    ctx: &Context,
    credentials: &Credentials,
    bare: &Account,
) -> Option<Arc<Account>> {
    if ctx.read_only {
        return None;
    }
    let held = applications::held(portfolio, &bare.telnyx, &bare.owner, &ctx.cluster).await;
    let held = held.inspect_err(|error| tracing::info!(error = %error, "whose the owner id is can't be read; numbers that record are looked at again by the next round"));
    ctx.accounts.prepare(portfolio, credentials, &ctx.cluster, held.ok()??).ok()
}

/// Once a day: a token that turns bad is refused by every other call too.
async fn inspect_token(portfolio: &Portfolio, ctx: &Context, account: &Account) -> Result<(), Trouble> {
    let (uid, key, day) = (portfolio.uid().unwrap_or_default(), account.fingerprint(), ctx.policy.day());
    if ctx.rounds.answered(&uid, Daily::Token, key, ctx.clock.monotonic(), day) {
        return Ok(());
    }
    if !account.meta.debug_token().await.map_err(|e| provider(&e))?.is_valid {
        return Err(Trouble {
            reason: Reason::CredentialsInvalid,
            message: "Meta says that the access token is not valid: make a new one for the system user and put it into the Secret of meta.accessTokenSecretRef".into(),
            human: true,
            again: None,
            away: None,
        });
    }
    ctx.rounds.note(&uid, Daily::Token, key, ctx.clock.monotonic());
    Ok(())
}

/// What can be read besides.
async fn rest(portfolio: &Portfolio, ctx: &Context, account: &Account, found: &mut Found) {
    let (lines, then) = (look::lines(ctx, portfolio), Holders::of(&ctx.lines.state()));
    let uid = portfolio.uid().unwrap_or_default();
    let prefix = account.reference_prefix();
    let clock = (ctx.clock.monotonic(), ctx.clock.now());
    let (listed, owned, orders, routes, business) = tokio::join!(
        account.waba_numbers(Duration::ZERO),
        account.owned_numbers(Duration::ZERO),
        ctx.audits.orders(&uid, &account.telnyx, &prefix, clock, ctx.policy),
        routes(ctx),
        business(portfolio, ctx, account),
    );
    let orders = read("the orders", orders);
    let mut status = portfolio.status.clone().unwrap_or_default();
    (status.findings, _) = ctx.audits.findings(&uid, &status.findings);
    let asked = async {
        match &owned {
            Err(_) => HashMap::new(),
            Ok(owned) => {
                let sources = Sources { status: &status, owned, orders: orders.as_deref(), lines: &then };
                suspects::look(ctx, account, &uid, &sources).await
            }
        }
    };
    let webhooks = async {
        match &listed {
            Ok(_) => subscribed(portfolio, ctx, account).await,
            // Each call to a provider that is away may count in its hourly budget: one tells enough.
            Err(error) => {
                as_read(portfolio, ConditionType::WebhookSubscribed).unwrap_or_else(|| webhooks_unknown(error))
            }
        }
    };
    let (observed, looks, subscribed) =
        tokio::join!(look::at(ctx, account, &uid, lines, &listed, &owned), asked, webhooks);
    let observed = ctx.observations.set(portfolio, observed);
    found.trouble = worse(listed.as_ref().err().map(provider), owned.as_ref().err().map(provider));
    if let Ok(numbers) = &listed {
        found.at_meta = Some(numbers.iter().filter_map(meta::PhoneNumber::number).collect());
        found.messaging_limit = numbers.iter().find_map(|n| n.messaging_limit().map(str::to_owned));
    }
    found.evidence =
        Some(Evidence { then, meta: listed.ok(), owned: owned.ok(), observed: Some(observed), routes, looks });
    found.conditions.extend([subscribed, business]);
}

/// The routing table; None: MongoDB does not answer in time.
async fn routes(ctx: &Context) -> Option<Vec<Route>> {
    let table = ctx.store.routes();
    match tokio::time::timeout(ROUTES_WITHIN, table.all()).await {
        Ok(routes) => read("the routes", routes),
        Err(_) => read("the routes", Err("MongoDB did not answer in time")),
    }
}

/// What was read; what was not is logged and left out, and nothing is said about it.
fn read<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> Option<T> {
    result
        .inspect_err(|error| tracing::info!(error = %error, "{what} can't be read; the audit says nothing of them in this round"))
        .ok()
}

/// What a person must settle goes first: lines go on working through what passes.
fn worse(one: Option<Trouble>, other: Option<Trouble>) -> Option<Trouble> {
    match (&one, &other) {
        (Some(first), Some(second)) if second.human && !first.human => other,
        (None, _) => other,
        _ => one,
    }
}

/// A condition as it stands, when it was read once: what can't be read at the moment stays what it was.
fn as_read(portfolio: &Portfolio, type_: ConditionType) -> Option<Wanted> {
    known(&portfolio.status.as_ref()?.conditions, type_)
}

fn funded(portfolio: &Portfolio, balance: crate::domain::Usd) -> Wanted {
    let minimum = crate::domain::Usd::parse(&portfolio.spec.limits.min_balance_usd).unwrap_or_default();
    let (truth, reason, message) = if balance >= minimum {
        (Truth::True, Reason::Funded, "the balance is above limits.minBalanceUsd".to_owned())
    } else {
        (
            Truth::False,
            Reason::BalanceLow,
            format!("the balance is below limits.minBalanceUsd ({}): pay into the Telnyx account", minimum.display()),
        )
    };
    Wanted::new(ConditionType::CarrierFunded, truth, reason, message)
}

/// Subscribed once at the start, and again only with webhookPolicy Repair: subscribing also removes an override.
async fn subscribed(portfolio: &Portfolio, ctx: &Context, account: &Account) -> Wanted {
    let type_ = ConditionType::WebhookSubscribed;
    let app = account.meta.app_id();
    let there = |apps: &[meta::SubscribedApp]| apps.iter().any(|a| a.id == *app);
    let before = as_read(portfolio, type_);
    let repair = !ctx.read_only && portfolio.spec.meta.webhook_policy == WebhookPolicy::Repair;
    match account.meta.subscribed_apps(&account.waba).await {
        Err(error) => before.unwrap_or_else(|| webhooks_unknown(&error)),
        Ok(apps) if there(&apps) => match overridden(portfolio, &apps, app) {
            None => webhooks_arrive(),
            Some(_) if repair => subscribe(account).await,
            Some(message) => Wanted::new(type_, Truth::False, Reason::WebhookOverridden, message),
        },
        Ok(_) if repair => subscribe(account).await,
        // Never read before: the start.
        Ok(_) if before.is_none() && ctx.read_only => {
            let message = "the app would be subscribed; start the controller without --read-only to let it";
            Wanted::new(type_, Truth::Unknown, Reason::ReadOnly, message)
        }
        Ok(_) if before.is_none() => subscribe(account).await,
        Ok(_) => Wanted::new(
            type_,
            Truth::False,
            Reason::NotSubscribed,
            "the WhatsApp Business Account is not subscribed to the app: subscribe it, or set meta.webhookPolicy to Repair",
        ),
    }
}

async fn subscribe(account: &Account) -> Wanted {
    match account.meta.subscribe(&account.waba).await {
        Ok(()) => webhooks_arrive(),
        Err(error) => webhooks_unknown(&error),
    }
}

fn webhooks_arrive() -> Wanted {
    let message = "the WhatsApp Business Account sends its webhooks to the app";
    Wanted::new(ConditionType::WebhookSubscribed, Truth::True, Reason::Subscribed, message)
}

fn webhooks_unknown(error: &ProviderError) -> Wanted {
    let message = format!("{}; read again by itself", error.provider_text());
    Wanted::new(ConditionType::WebhookSubscribed, Truth::Unknown, Reason::NotRead, message)
}

/// An override of the whole account: no line of it receives.
fn overridden(portfolio: &Portfolio, apps: &[meta::SubscribedApp], app: &AppId) -> Option<String> {
    let url = apps.iter().find(|a| a.id == *app)?.override_callback_uri.as_deref().filter(|url| !url.is_empty())?;
    let same = |ours: &String| ours.trim_end_matches('/') == url.trim_end_matches('/');
    let ours = portfolio.spec.meta.webhook_url.as_ref().is_some_and(same);
    let elsewhere = without_secrets(url);
    (!ours).then(|| format!("the WhatsApp Business Account sends its webhooks to {elsewhere}, and nothing to the router: subscribe the app again without an override, or set meta.webhookPolicy to Repair"))
}

/// Once a day after Meta has verified it.
async fn business(portfolio: &Portfolio, ctx: &Context, account: &Account) -> Wanted {
    use meta::VerificationStatus::Verified;
    let type_ = ConditionType::BusinessVerified;
    let verified = || Wanted::new(type_, Truth::True, Reason::BusinessVerified, "Meta verified the business");
    let (uid, key, now) = (portfolio.uid().unwrap_or_default(), account.fingerprint(), ctx.clock.monotonic());
    if ctx.rounds.answered(&uid, Daily::Business, key, now, ctx.policy.day()) {
        return verified();
    }
    match account.meta.waba(&account.waba).await.map(|w| w.business_verification_status) {
        Ok(Some(Verified)) => {
            ctx.rounds.note(&uid, Daily::Business, key, now);
            verified()
        }
        Ok(Some(other)) => Wanted::new(
            type_,
            Truth::False,
            Reason::BusinessNotVerified,
            format!(
                "Meta says {other}: hand in the documents in the Security Center; until then Meta grants 2 numbers"
            ),
        ),
        Ok(None) => Wanted::new(type_, Truth::Unknown, Reason::NotRead, "Meta does not tell; read again by itself"),
        Err(_) => as_read(portfolio, type_).unwrap_or_else(|| {
            Wanted::new(type_, Truth::Unknown, Reason::NotRead, "Meta could not be asked; read again by itself")
        }),
    }
}

/// A provider's error as the Portfolio's trouble.
fn provider(error: &ProviderError) -> Trouble {
    let human = matches!(error.class, ErrorClass::NeedsHuman | ErrorClass::Refused);
    let reason = match (error.class, error.reason) {
        (_, Outcomes::TokenInvalid | Outcomes::PermissionDenied) => Reason::CredentialsInvalid,
        (ErrorClass::Throttled { .. }, _) => Reason::RateLimited,
        _ if human => Reason::RefusedByProvider,
        _ => Reason::ProviderUnavailable,
    };
    let away = (reason == Reason::ProviderUnavailable).then_some((error.provider, error.http_status.is_some()));
    let message = format!("{}; {}", error.provider_text(), error.what_to_do);
    Trouble { reason, message, human, again: None, away }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(reason: Reason, human: bool) -> Trouble {
        Trouble { reason, message: "m".into(), human, again: None, away: None }
    }

    #[test]
    fn tokens_are_bad_only_when_they_are_refused() {
        let type_ = ConditionType::TokensValid;
        let good = || vec![Wanted::new(type_, Truth::True, Reason::CredentialsValid, "")];
        for (before, trouble, expected) in [
            (vec![], trouble(Reason::CredentialsInvalid, true), Truth::False),
            (good(), trouble(Reason::CredentialsInvalid, true), Truth::False),
            (vec![], trouble(Reason::SecretMissing, true), Truth::False),
            (vec![], trouble(Reason::SecretMissing, false), Truth::Unknown),
            (vec![], trouble(Reason::ProviderUnavailable, false), Truth::Unknown),
            (good(), trouble(Reason::ProviderUnavailable, false), Truth::True),
            (good(), trouble(Reason::OwnerIdInUse, true), Truth::True),
        ] {
            let mut conditions = before;
            tokens(&mut conditions, &trouble);
            let found: Vec<Truth> = conditions.iter().map(|c| c.truth).collect();
            assert_eq!(found, [expected], "{trouble:?}");
        }
    }

    #[test]
    fn a_refused_token_is_not_hidden_by_a_provider_that_is_away() {
        let refused = || Some(trouble(Reason::CredentialsInvalid, true));
        let away = || Some(trouble(Reason::ProviderUnavailable, false));
        assert_eq!(worse(refused(), away()), refused());
        assert_eq!(worse(away(), refused()), refused());
        assert_eq!(worse(away(), None), away());
        assert_eq!(worse(None, away()), away());
        assert_eq!(worse(None, None), None);
    }
}
