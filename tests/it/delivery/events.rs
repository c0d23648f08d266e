//! What a client may ask for, and what happens when it asks for something else.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::bed::Bed;
use crate::support::client::Client;
use crate::support::run_dir;

#[tokio::test]
async fn history_reauth_and_everything_else() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-events")?).await?;
    let (atlas, rif) = (bed.company("atlas", 101).await?, bed.company("rif", 102).await?);
    let replica = bed.replica(|settings| settings.first_time_items = 1).await?;
    let texts = |who: &str| (0..30).map(|n| format!("{who} {n}")).collect::<Vec<_>>();
    atlas.candidate_writes("Amina", &texts("a")).await?;
    let newest = atlas.candidate_writes("Brahim", &texts("b")).await?;
    let foreign = rif.candidate_writes("Chama", &texts("c")).await?;
    assert_eq!((newest, foreign), (61, 31));
    let mut client = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    client.got(0, "caught_up").await?;
    assert_eq!(client.seqs(), [61]);

    let seqs = |answer: &Value| -> Vec<i64> {
        answer["items"].as_array().into_iter().flatten().filter_map(|i| i["seq"].as_i64()).collect()
    };
    let page = client.ask("history", json!([{"before": 61, "limit": 10}])).await?;
    assert_eq!(seqs(&page), (51..=60).collect::<Vec<_>>());
    assert_eq!(page["more"], true);
    let first = client.ask("history", json!([{"before": 3, "limit": 200}])).await?;
    assert_eq!((seqs(&first), &first["more"]), (vec![1, 2], &json!(false)));
    let contact = page["items"][0]["contact"]["id"].clone();
    let of_one = client.ask("history", json!([{"contact_id": contact, "limit": 200}])).await?;
    assert_eq!(seqs(&of_one), (32..=61).collect::<Vec<_>>());
    // A contact of another company is nobody here.
    let stranger = rif.db.log().entry(20).await?.and_then(|entry| entry.contact_id);
    let nobody = client.ask("history", json!([{"contact_id": stranger}])).await?;
    assert_eq!((seqs(&nobody), &nobody["more"]), (vec![], &json!(false)));

    // Malformed and unknown ones: an error each, the connection stays. Slowly enough not to be limited.
    let asked = [
        ("history", json!([{"limit": 0}]), "malformed"),
        ("history", json!([{"limit": 201}]), "malformed"),
        ("history", json!([{"limit": -1}]), "malformed"),
        ("history", json!([{"before": 0}]), "malformed"),
        ("history", json!([{"before": "61"}]), "malformed"),
        ("history", json!([{"contact_id": 5}]), "malformed"),
        ("history", json!([{"contact_id": {"$ne": null}}]), "malformed"),
        ("history", json!(["rif"]), "malformed"),
        ("history", json!([]), "malformed"),
        ("reauth", json!([{}]), "malformed"),
        ("reauth", json!([{"token": "x"}]), "unauthorized"),
        ("join", json!(["rif"]), "unknown_event"),
        ("subscribe", json!([{"company_id": "rif"}]), "unknown_event"),
        ("send", json!([{"text": "salam"}]), "unknown_event"),
        ("messages", json!([{"items": []}]), "unknown_event"),
    ];
    for (name, args, code) in asked {
        let answer = client.ask(name, args.clone()).await?;
        assert_eq!(answer["ok"], false, "{name} {args}");
        assert_eq!(answer["error"]["code"], code, "{name} {args}");
        assert!(answer["error"]["message"].as_str().is_some_and(|m| m.len() > 10), "{answer}");
    }
    // Of a company in the payload nothing changes: the answer is still of the own company.
    let own = client.ask("history", json!([{"company_id": "rif", "company": "rif", "limit": 3}])).await?;
    assert_eq!(own["items"][0]["line"]["phone_number_id"], "101");

    // A token of the same person prolongs; another's, or another company's, does not.
    let until = Timestamp::now().as_second() + 1200;
    let answer = client.ask("reauth", json!([{"token": atlas.token("fatima", json!({"exp": until}))?}])).await?;
    assert_eq!(answer, json!({"ok": true, "expires_at": Timestamp::from_second(until)?.to_string()}));
    for token in [atlas.token("omar", json!({}))?, rif.token("fatima", json!({}))?] {
        let answer = client.ask("reauth", json!([{ "token": token }])).await?;
        assert_eq!(answer["error"]["code"], "unauthorized");
    }

    // Too many are answered with an error; a flood ends the connection.
    let mark = client.mark();
    for n in 0..60 {
        client.tell(json!({"cmd": "emit", "name": "history", "args": [{"limit": 1}], "id": n})).await?;
    }
    client.after(mark, "being limited", |v| v["args"][0]["error"]["code"] == "rate_limited").await?;
    assert!(client.said().iter().all(|v| v["event"] != "disconnect"));
    let seq = atlas.hears("still connected").await?;
    client.has(seq).await?;
    client.tell(json!({"cmd": "flood", "name": "history", "times": 2000})).await?;
    client.after(mark, "being cut", |v| v["event"] == "disconnect").await?;

    // So does a frame above 64 KiB.
    let mut large = Client::raw(&replica.url, atlas.auth("large", json!({}))?).await?;
    large.got(0, "caught_up").await?;
    large.ask("history", json!([{"contact_id": "x".repeat(60_000)}])).await?;
    large.tell(json!({"cmd": "emit", "name": "history", "args": ["x".repeat(70_000)], "id": "big"})).await?;
    large.after(0, "being cut", |v| v["event"] == "disconnect").await?;
    assert!(rif.db.log().head().await? == foreign, "nothing was written anywhere");
    Ok(())
}
