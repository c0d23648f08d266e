//! The queue before a bucket, and who feeds it: with the runtime's clock standing still.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;

use super::{Endpoints, Key, Paces, Refusal, now};
use crate::providers::error::{Effect, Provider};

const SECOND: Duration = Duration::from_secs(1);

fn key(provider: Provider, endpoints: Endpoints, scope: &str) -> Key {
    Key { provider, account: 7, endpoints, scope: scope.to_owned() }
}

fn telnyx() -> Key {
    key(Provider::Telnyx, Endpoints::Common, "")
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// One a second, and one is used.
fn one_a_second() -> HeaderMap {
    headers(&[("x-ratelimit-limit", "1"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")])
}

async fn ask(paces: &Paces, keys: &[Key], effect: Effect, wait: Duration) -> Result<Duration, Duration> {
    let asked = now();
    let turn = paces.enter(keys, effect, asked + wait).await?;
    turn.answered(&one_a_second(), None);
    Ok(now() - asked)
}

#[tokio::test(start_paused = true)]
async fn effects_first_then_in_the_order_of_coming() {
    let paces = Arc::new(Paces::default());
    ask(&paces, &[telnyx()], Effect::Read, SECOND).await.unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut running = Vec::new();
    for (name, effect) in
        [("read 1", Effect::Read), ("read 2", Effect::Set), ("order 1", Effect::Write), ("order 2", Effect::Write)]
    {
        let (paces, order) = (paces.clone(), order.clone());
        running.push(tokio::spawn(async move {
            ask(&paces, &[telnyx()], effect, SECOND * 30).await.unwrap();
            order.lock().unwrap().push(name);
        }));
        tokio::task::yield_now().await;
    }
    for task in running {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["order 1", "order 2", "read 1", "read 2"]);
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_told_at_once_how_long() {
    let paces = Paces::default();
    ask(&paces, &[telnyx()], Effect::Read, SECOND).await.unwrap();
    let began = now();
    let rest = ask(&paces, &[telnyx()], Effect::Write, SECOND / 2).await.unwrap_err();
    assert!(rest > SECOND / 2 && rest < SECOND * 2, "{rest:?}");
    assert_eq!(now(), began, "nobody waits for what won't come");
    let waited = ask(&paces, &[telnyx()], Effect::Write, SECOND * 3).await.unwrap();
    assert!(waited > SECOND / 2 && waited < SECOND * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_leaves_no_trace() {
    let paces = Arc::new(Paces::default());
    ask(&paces, &[telnyx()], Effect::Read, SECOND).await.unwrap();
    // Twenty wait and are dropped, one of them while it is the first in the queue.
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let paces = paces.clone();
            tokio::spawn(async move { ask(&paces, &[telnyx()], Effect::Write, SECOND * 60).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for task in waiting {
        task.abort();
        let _ = task.await;
    }
    let waited = ask(&paces, &[telnyx()], Effect::Read, SECOND * 60).await.unwrap();
    assert!(waited < SECOND * 2, "stood behind somebody who had gone: {waited:?}");
    // A call whose future is dropped is not on its way for ever.
    drop(paces.enter(&[telnyx()], Effect::Read, now() + SECOND * 60).await.unwrap());
    assert!(ask(&paces, &[telnyx()], Effect::Read, SECOND * 60).await.unwrap() < SECOND * 2);
}

#[tokio::test(start_paused = true)]
async fn accounts_and_classes_do_not_wait_for_each_other() {
    let paces = Paces::default();
    ask(&paces, &[telnyx()], Effect::Read, SECOND).await.unwrap();
    for other in [
        Key { account: 8, ..telnyx() },
        Key { endpoints: Endpoints::SpeechToText, ..telnyx() },
        key(Provider::Meta, Endpoints::Common, "104"),
    ] {
        assert_eq!(ask(&paces, &[other], Effect::Read, Duration::ZERO).await, Ok(Duration::ZERO));
    }
    assert!(ask(&paces, &[telnyx()], Effect::Read, Duration::ZERO).await.is_err(), "the same account shares");
}

/// Meta's refusals and headers reach the bucket that they are about.
#[tokio::test(start_paused = true)]
async fn meta_speaks_of_app_and_account() {
    let (app, one, two) = (
        key(Provider::Meta, Endpoints::App, ""),
        key(Provider::Meta, Endpoints::Common, "104"),
        key(Provider::Meta, Endpoints::Common, "105"),
    );
    let regain = r#"{"104":[{"type":"whatsapp_business_management","call_count":100,
        "estimated_time_to_regain_access":7}]}"#
        .replace('\n', "");
    // (headers, refusal's code) -> who is held back: calls on 104, on 105, of the app alone.
    for (pairs, code, held) in [
        (vec![], None, [false, false, false]),
        (vec![], Some("80008"), [true, false, false]),
        (vec![], Some("4"), [true, true, true]),
        (vec![("x-business-use-case-usage", regain.as_str())], None, [true, false, false]),
    ] {
        let paces = Paces::default();
        let turn = paces.enter(&[one.clone(), app.clone()], Effect::Read, now()).await.unwrap();
        turn.answered(&headers(&pairs), code.map(|code| Refusal { code: Some(code), retry_after: Some(SECOND * 60) }));
        let keys = [vec![one.clone(), app.clone()], vec![two.clone(), app.clone()], vec![app.clone()]];
        for (keys, held) in keys.iter().zip(held) {
            let entered = paces.enter(keys, Effect::Read, now() + SECOND).await;
            assert_eq!(entered.is_err(), held, "{pairs:?} {code:?} {keys:?}");
        }
    }
    // An answer to a call on one account may speak of another.
    let paces = Paces::default();
    let turn = paces.enter(&[two.clone(), app.clone()], Effect::Read, now()).await.unwrap();
    turn.answered(&headers(&[("x-business-use-case-usage", &regain)]), None);
    assert!(paces.enter(&[one, app.clone()], Effect::Read, now() + SECOND).await.is_err());
    assert!(paces.enter(&[two, app], Effect::Read, now() + SECOND).await.is_ok());
}
