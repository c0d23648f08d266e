//! Clients that keep to no rule. Whatever they send, they learn nothing, and everybody else goes on.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::bed::{Bed, token};
use crate::support::client::Client;
use crate::support::run_dir;

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Closed,
    Survived,
    Either,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_no_client_sends() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-hostile")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let rif = bed.company("rif", 102).await?;
    let secret = rif.hears("only for rif").await?;
    let replica = bed.replica(|settings| settings.connect_timeout = Duration::from_secs(1)).await?;
    let good = Client::raw(&replica.url, atlas.auth("good", json!({}))?).await?;
    good.got(0, "caught_up").await?;
    let foreign = token("rif", "mallory", json!({"aud": "x"}))?;
    let deep = |times: usize| json!({"before": "421[\"history\",", "repeat": "[", "times": times});
    let closed_deep = json!({"before": "422[\"history\",{\"a\":", "repeat": "[", "times": 30_000,
        "after": format!("{}}}]", "]".repeat(30_000))});
    let table: Vec<(&str, bool, Value, End)> = vec![
        (
            "a huge frame",
            true,
            json!([{"before": "42[\"x\",\"", "repeat": "a", "times": 70_000, "after": "\"]"}]),
            End::Closed,
        ),
        ("a flood", true, json!(vec!["42[\"x\"]"; 600]), End::Closed),
        ("unfinished depth", true, json!([deep(60_000)]), End::Either),
        ("depth", true, json!([closed_deep]), End::Either),
        (
            "depth in the handshake",
            false,
            json!([{"before": "40{\"token\":", "repeat": "[", "times": 60_000}]),
            End::Closed,
        ),
        ("an event before the handshake", false, json!(["42[\"history\",{}]"]), End::Closed),
        ("nothing at all", false, json!([]), End::Closed),
        ("a refused token, then silence", false, json!([format!("40{{\"token\":\"{foreign}\"}}")]), End::Closed),
        (
            "a second company on one connection",
            true,
            json!([format!("40{{\"token\":\"{}\"}}", rif.token("m", json!({}))?)]),
            End::Either,
        ),
        ("acks of nothing", true, json!(["430[]", "43999999999[1]", "43[]", "43-1[]"]), End::Either),
        ("another namespace", true, json!(["40/rif,{}", "42/rif,[\"history\",{}]", "41/rif,"]), End::Either),
        ("attachments that never come", true, json!(["459-[\"x\",{\"_placeholder\":true,\"num\":0}]"]), End::Either),
        ("attachments beyond number", true, json!(["4599999999999-[\"x\"]"]), End::Either),
        ("no packets", true, json!(["", "9", "4", "42", "42[", "42[]", "42[5]", "42{}", "\u{0}"]), End::Either),
        (
            "a malformed history",
            true,
            json!([
                "421[\"history\",{\"before\":-1}]",
                "422[\"history\",{\"limit\":1e99}]",
                "423[\"history\",{\"contact_id\":{\"$ne\":1}}]",
                "424[\"history\"]",
                "425[\"reauth\",{\"token\":5}]"
            ]),
            End::Survived,
        ),
    ];
    for (name, with_token, frames, want) in table {
        let mut arguments = json!({"url": replica.url, "frames": frames, "binary": ["ff00", "00"]});
        if matches!(want, End::Survived | End::Closed) {
            arguments["binary"] = json!([]);
        }
        if want == End::Closed {
            arguments["wait"] = json!(15_000);
        }
        if with_token {
            arguments["auth"] = atlas.auth(name, json!({}))?;
        }
        let client = Client::start("hostile.mjs", arguments).await?;
        let end = client.after(0, name, |v| v["event"] == "closed" || v["event"] == "survived").await?;
        match want {
            End::Closed => assert_eq!(end["event"], "closed", "{name}"),
            End::Survived => assert_eq!(end["event"], "survived", "{name}"),
            End::Either => {}
        }
        assert!(!json!(client.said()).to_string().contains("only for rif"), "{name}");
        if name == "a malformed history" {
            let said = json!(client.said()).to_string();
            assert_eq!(said.matches("code\\\":\\\"malformed").count(), 5, "{said}");
        }
        // Everybody else goes on.
        let seq = atlas.hears(name).await?;
        good.has(seq).await?;
    }
    assert!(secret > 0);
    Ok(())
}

#[tokio::test]
async fn strangers_do_not_use_up_the_door() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-strangers")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|settings| settings.connects_per_second = 1.0).await?;
    let mut strangers = Vec::new();
    for _ in 0..6 {
        strangers.push(Client::raw(&replica.url, json!({"token": "let me in"})).await?);
    }
    for stranger in &strangers {
        let refused = stranger.after(0, "the refusal", |v| v["event"] == "connect_error").await?;
        assert_eq!(refused["message"], "unauthorized", "told how busy the door is");
    }
    let client = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    client.got(0, "welcome").await?;
    Ok(())
}
