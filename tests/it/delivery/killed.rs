//! The router as a process, killed at a bad moment: what recruiters missed arrives first, in order, once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::bed::{Bed, Company, SECRET};
use crate::support::client::{Client, SOON};
use crate::support::{Program, free_port, run_dir, wait};

const APP_SECRET: &str = "the app secret of this test";

struct Router {
    program: Program,
    webhook: u16,
    url: String,
}

impl Router {
    async fn start(name: &str, dir: &Path, mongo: &str) -> Result<Router> {
        let (webhook, sockets, admin) = (free_port()?, free_port()?, free_port()?);
        let args = [
            format!("--webhook-addr=127.0.0.1:{webhook}"),
            format!("--socket-addr=127.0.0.1:{sockets}"),
            format!("--admin-addr=127.0.0.1:{admin}"),
        ];
        let env = [
            ("MONGODB_URI", mongo),
            ("META_VERIFY_TOKEN", "verify"),
            ("META_APP_SECRET", APP_SECRET),
            ("QUARANTINE_KEY", "1111111111111111111111111111111111111111111111111111111111111111"),
            ("JWT_HS256_SECRET", SECRET),
        ];
        let args: Vec<String> = std::iter::once("router".to_owned()).chain(args).collect();
        let program = Program::start(name, env!("CARGO_BIN_EXE_clientnumber"), dir, args, env)?;
        let mut router = Router { program, webhook, url: format!("http://127.0.0.1:{sockets}") };
        router.wait_ready(admin).await?;
        Ok(router)
    }

    async fn wait_ready(&mut self, admin: u16) -> Result<()> {
        let program = &mut self.program;
        wait::until(Duration::from_secs(30), "the router to be ready", async || {
            if let Some(end) = program.ended() {
                return wait::Seen::Never(end);
            }
            match reqwest::get(format!("http://127.0.0.1:{admin}/readyz")).await {
                Ok(answer) if answer.status().is_success() => wait::Seen::Done(()),
                Ok(answer) => wait::Seen::NotYet(answer.text().await.unwrap_or_default()),
                Err(error) => wait::Seen::NotYet(error.to_string()),
            }
        })
        .await
    }

    /// What Meta does when a candidate writes: a signed POST. The answer's status.
    async fn webhook(&self, company: &Company, wamid: &str, text: &str) -> Result<u16> {
        let line = &company.line;
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "104", "changes": [{
            "field": "messages",
            "value": {
                "messaging_product": "whatsapp",
                "metadata": {
                    "display_phone_number": line.phone_number.digits(), "phone_number_id": line.phone_number_id,
                },
                "contacts": [{"profile": {"name": "Amina"}, "wa_id": "212600000001", "user_id": "MA.1"}],
                "messages": [{
                    "id": wamid, "from": "212600000001", "timestamp": jiff::Timestamp::now().as_second().to_string(),
                    "type": "text", "text": {"body": text}, "company": company.id.as_str(),
                }],
            },
        }]}]})
        .to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes())?;
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let answer = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{}/webhook", self.webhook))
            .header("X-Hub-Signature-256", signature)
            .header("Content-Type", "application/json")
            .body(body)
            .send()
            .await?;
        Ok(answer.status().as_u16())
    }
}

fn bodies(client: &Client) -> Vec<String> {
    let text = |item: &Value| item["content"]["text"]["body"].as_str().map(str::to_owned);
    client.items().iter().filter_map(text).collect()
}

#[tokio::test]
async fn a_killed_router_loses_nothing() -> Result<()> {
    let dir = run_dir("delivery-killed")?;
    let bed = Bed::start(&dir).await?;
    let (atlas, rif) = (bed.company("atlas", 101).await?, bed.company("rif", 102).await?);
    let mut first = Router::start("router-1", &dir, &bed.mongo.uri()).await?;
    let second = Router::start("router-2", &dir, &bed.mongo.uri()).await?;

    // Fatima's replica will be killed; Omar and the other company's Rachid are connected to the other one.
    let fatima = Client::helper(atlas.auth("fatima", json!({"url": first.url}))?).await?;
    let omar = Client::helper(atlas.auth("omar", json!({"url": second.url}))?).await?;
    let rachid = Client::helper(rif.auth("rachid", json!({"url": second.url}))?).await?;
    for client in [&fatima, &omar, &rachid] {
        client.after(0, "being live", |v| v["state"] == "live").await?;
    }
    let mut wrote = Vec::new();
    for n in 0..10 {
        wrote.push(format!("before {n}"));
        ensure!(first.webhook(&atlas, &format!("wamid.a{n}"), &wrote[n]).await? == 200);
        ensure!(second.webhook(&rif, &format!("wamid.r{n}"), "azul").await? == 200);
    }
    let text_arrives = async |client: &Client, text: &str| {
        wait::until(SOON, text, async || wait::seen(bodies(client).iter().any(|b| b == text), "not there")).await
    };
    text_arrives(&fatima, "before 9").await?;

    // The replica dies; messages go on arriving at the other one.
    first.program.kill().await?;
    for n in 0..120 {
        let text = format!("meanwhile {n}");
        ensure!(second.webhook(&atlas, &format!("wamid.m{n}"), &text).await? == 200);
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
        ensure!(second.webhook(&atlas, "wamid.after", "after").await? == 200);
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
