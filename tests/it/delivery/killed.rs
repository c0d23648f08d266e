//! The router as a process, killed at a bad moment: what recruiters missed arrives first, in order, once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::bed::{Bed, Company, SECRET};
use super::process;
use crate::support::client::{Client, SOON};
use crate::support::router::{self, Router, RouterOptions, text_message};
use crate::support::{run_dir, wait};

/// A candidate writes. The answer's status.
async fn webhook(router: &Router, company: &Company, wamid: &str, text: &str) -> Result<u16> {
    let line = (company.line.phone_number_id.as_str(), company.line.phone_number.digits());
    router.post(text_message(line, wamid, 1, text, json!({"company": company.id.as_str()}))).await
}

fn bodies(client: &Client) -> Vec<String> {
    let text = |item: &Value| item["content"]["text"]["body"].as_str().map(str::to_owned);
    client.items().iter().filter_map(text).collect()
}

/// Whoever sends to a replica hears late that it goes: it takes what still comes, and says that it is not ready.
#[tokio::test]
async fn a_router_that_is_told_to_go_takes_what_still_comes() -> Result<()> {
    let dir = run_dir("delivery-lingers")?;
    let bed = Bed::start(&dir).await?;
    let atlas = bed.company("atlas", 101).await?;
    let (binary, mongo) = (Path::new(env!("CARGO_BIN_EXE_clientnumber")), &bed.mongo.uri());
    let before = &["env", "DRAIN_DELAY=15s"];
    let options = RouterOptions { binary, mongo, jwt_secret: SECRET, log: "info", before };
    let mut router = Router::start("router", &dir, options).await?;
    let (url, sockets, line) = (router.webhook_url(), router.url(), atlas.line.clone());
    let ready = format!("http://127.0.0.1:{}/readyz", router.admin);
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
    let line = (line.phone_number_id.as_str(), line.phone_number.digits());
    let late = async {
        wait::until(SOON, "it to be not ready", async || match http.get(&ready).send().await {
            Ok(answer) => wait::seen(answer.status() == 503, answer.status()),
            Err(error) => wait::Seen::Never(error.to_string()),
        })
        .await?;
        let late = text_message(line, "wamid.late", 1, "is somebody there?", json!({}));
        let taken = router::post(&http, &url, late).await?;
        // A page that is sent here still is told to come again, not left alone.
        let page = Client::raw(&sockets, atlas.auth("fatima", json!({}))?).await?;
        let refused = page.after(0, "an answer", |v| v["event"] == "connect_error").await?;
        anyhow::Ok((taken, refused["data"]["code"].clone()))
    };
    let (ended, late) = futures::join!(router.program.stop(), late);
    assert_eq!((ended?, late?), (0, (200, json!("retry_later"))));
    assert!(router::post(&http, &url, text_message(line, "wamid.later", 1, "nobody", json!({}))).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_killed_router_loses_nothing() -> Result<()> {
    let dir = run_dir("delivery-killed")?;
    let bed = Bed::start(&dir).await?;
    let (atlas, rif) = (bed.company("atlas", 101).await?, bed.company("rif", 102).await?);
    let mut first = process("router-1", &dir, &bed.mongo.uri()).await?;
    let second = process("router-2", &dir, &bed.mongo.uri()).await?;

    // Fatima's replica will be killed; Omar and the other company's Rachid are connected to the other one.
    let fatima = Client::helper(atlas.auth("fatima", json!({"url": first.url()}))?).await?;
    let omar = Client::helper(atlas.auth("omar", json!({"url": second.url()}))?).await?;
    let rachid = Client::helper(rif.auth("rachid", json!({"url": second.url()}))?).await?;
    for client in [&fatima, &omar, &rachid] {
        client.after(0, "being live", |v| v["state"] == "live").await?;
    }
    let mut wrote = Vec::new();
    for n in 0..10 {
        wrote.push(format!("before {n}"));
        ensure!(webhook(&first, &atlas, &format!("wamid.a{n}"), &wrote[n]).await? == 200);
        ensure!(webhook(&second, &rif, &format!("wamid.r{n}"), "azul").await? == 200);
    }
    let text_arrives = async |client: &Client, text: &str| {
        wait::until(SOON, text, async || wait::seen(bodies(client).iter().any(|b| b == text), "not there")).await
    };
    text_arrives(&fatima, "before 9").await?;

    // The replica dies; messages go on arriving at the other one.
    first.program.kill().await?;
    for n in 0..120 {
        let text = format!("meanwhile {n}");
        ensure!(webhook(&second, &atlas, &format!("wamid.m{n}"), &text).await? == 200);
        wrote.push(text);
    }
    text_arrives(&omar, "meanwhile 119").await?;
    assert_eq!(bodies(&fatima).len(), 10, "the killed one can't have delivered");
    let mark = fatima.mark();
    first.program.restart().await?;
    // The helper's pauses grow while nobody answers, to 30 s at most.
    fatima.within(Duration::from_secs(60), mark, "being live again", |v| v["state"] == "live").await?;
    wrote.push("after".to_owned());
    // The same message twice, as Meta repeats what it is not sure of.
    for _ in 0..2 {
        ensure!(webhook(&second, &atlas, "wamid.after", "after").await? == 200);
    }
    for client in [&fatima, &omar] {
        text_arrives(client, "after").await?;
        assert_eq!(bodies(client), wrote, "once each, in order");
        let seqs = client.seqs();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
    }
    assert_eq!(bodies(&rachid), vec!["azul"; 10]);
    for item in fatima.items().iter().chain(&omar.items()) {
        assert_eq!(item["line"]["phone_number_id"], "101");
    }

    // SIGTERM: goodbyes, then the end; the recruiter goes to whoever is there, here to nobody.
    let code = first.program.stop().await?;
    assert_eq!(code, 0);
    fatima.after(mark, "draining", |v| v["state"] == "waiting" && v["reason"] == "draining").await?;
    // Nothing of a candidate is in the logs.
    for log in [first.program.log_path(), second.program.log_path()] {
        let text = std::fs::read_to_string(log)?;
        for marker in ["wamid", "meanwhile", "Amina", "212600000001", "MA.1"] {
            assert!(!text.contains(marker), "{marker} in {}", log.display());
        }
    }
    Ok(())
}
