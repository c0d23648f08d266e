//! The commands about companies' data and recruiters' tokens as they are called: `replay`, `erase`, `export`, `revoke`.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::domain::{Pii, WabaId};
use clientnumber::store::{
    ContactHint, Extent, Kind, NewEntry, Piece, QuarantineKeys, QuarantineReason, Route, RouteState, Signer, Store,
    StoreOptions,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::store::bed::*;
use crate::support::wait;
use crate::support::{Mongo, MongoOptions, MongoProxy, MongoRule, Point, run_dir};
use crate::webhook::{Router, SECRET, body, change, ids, portfolio, quarantined, sold, text, texts};

const KEY: &str = "1111111111111111111111111111111111111111111111111111111111111111";

async fn run(mongo: &Mongo, args: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_clientnumber"));
    command.args(args).env("MONGODB_URI", mongo.uri()).env("QUARANTINE_KEY", KEY).env("RUST_LOG", "warn");
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    Ok(tokio::time::timeout(Duration::from_secs(60), run).await.context("it does not end")??)
}

/// What it said, and how it ended.
pub async fn said(mongo: &Mongo, args: &[&str]) -> Result<(String, i32)> {
    let Output { status, stdout, stderr } = run(mongo, args).await?;
    let text = String::from_utf8(stdout)? + &String::from_utf8(stderr)?;
    Ok((text, status.code().context("it was killed")?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quarantine_is_listed_and_brought_back_by_hand() -> Result<()> {
    let bed = Bed::start("commands-replay").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let router = Router::start(&bed.mongo).await?;
    let old = Timestamp::now().as_second() - 9 * 24 * 3600;
    let of = |wamid: &str| change("1", &format!(r#""messages":[{}]"#, text(wamid, old)));
    router.taken(&body("104", &[of("o1"), of("o2"), texts("7", &["u1"]), "42".into()])).await?;
    router.taken(&body("999", &[texts("1", &["foreign"])])).await?;
    assert_eq!(quarantined(&bed).await?, ["foreign_account", "malformed", "too_old", "too_old", "unknown_number"]);

    let (list, code) = said(&bed.mongo, &["replay"]).await?;
    assert_eq!(code, 0, "{list}");
    let words: Vec<Vec<&str>> = list.lines().skip(1).map(|row| row.split_whitespace().take(3).collect()).collect();
    assert_eq!(
        words,
        [["foreign_account", "1", "1"], ["malformed", "-", "1"], ["too_old", "1", "2"], ["unknown_number", "7", "1"]]
    );
    ensure!(!list.contains("Salam"), "content is shown: {list}");

    // Of all as they would be by themselves, nothing.
    let (all, code) = said(&bed.mongo, &["replay", "--all", "--dry-run"]).await?;
    assert_eq!(code, 0, "{all}");
    assert_eq!(all.matches("would stay: too_old").count(), 3, "two changes and their sum: {all}");
    assert!(
        ["foreign_account", "malformed", "unknown_number"]
            .iter()
            .all(|reason| all.contains(&format!("would stay: {reason}")))
    );
    let (all, code) = said(&bed.mongo, &["replay", "--all"]).await?;
    assert_eq!(code, 1, "{all}");
    assert_eq!((ids(&whole(&atlas).await?), quarantined(&bed).await?.len()), (vec![], 5));

    // By hand, first one, then the rest.
    let (dry, _) = said(&bed.mongo, &["replay", "--reason", "too_old", "--dry-run"]).await?;
    assert_eq!(dry.matches("would go to its company").count(), 3, "{dry}");
    let first = dry.split_whitespace().next().context("no id")?;
    let (one, code) = said(&bed.mongo, &["replay", "--id", first]).await?;
    assert_eq!((one.trim(), code), ("1 brought back", 0));
    assert_eq!(ids(&whole(&atlas).await?), ["o1"]);
    let (rest, code) = said(&bed.mongo, &["replay", "--line", "1", "--reason", "too_old"]).await?;
    assert_eq!((rest.trim(), code), ("1 brought back", 0));
    assert_eq!(ids(&whole(&atlas).await?), ["o1", "o2"]);
    assert_eq!(quarantined(&bed).await?, ["foreign_account", "malformed", "unknown_number"]);
    let (none, code) = said(&bed.mongo, &["replay", "--reason", "too_old"]).await?;
    assert_eq!((none.trim(), code), ("no change in quarantine fits", 0));

    // Whose secret signed it is no matter of choice.
    let foreign = ["replay", "--reason", "foreign_account"];
    for more in [&[][..], &["--meta-app-secret", "another"]] {
        let (stayed, code) = said(&bed.mongo, &[&foreign[..], more].concat()).await?;
        assert!(code == 1 && stayed.starts_with("1 stayed: foreign_account"), "{more:?}: {stayed}");
    }
    let (back, code) = said(&bed.mongo, &[&foreign[..], &["--meta-app-secret", SECRET]].concat()).await?;
    assert_eq!((back.trim(), code), ("1 brought back", 0));
    assert_eq!(ids(&whole(&atlas).await?), ["o1", "o2", "foreign"]);

    for wrong in [&["replay", "--dry-run"][..], &["replay", "--reason", "old"], &["replay", "--all", "--line", "1"]] {
        assert_eq!(said(&bed.mongo, wrong).await?.1, 2, "{wrong:?}");
    }
    Ok(())
}

/// What a version could not take apart comes back by one that can: each change by itself, and as far as its signer goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_whole_is_brought_back_change_by_change() -> Result<()> {
    let bed = Bed::start("commands-whole").await?;
    let (atlas, rif) = (sold(&bed, "atlas", "1").await?, bed.company("rif", "2").await?);
    bed.store.routes().put(&Route { waba_id: WabaId::parse("105")?, ..route("rif", "2") }, None).await?;
    let quarantine = bed.store.quarantine(QuarantineKeys::parse(KEY)?);
    let ours = Signer::of(&SECRET.into());
    let put = async |extent, text: &str, signer| {
        let (reason, at) = (QuarantineReason::Malformed, Timestamp::now());
        let entry_time = None;
        quarantine
            .put(&Piece { extent, entry_id: "", entry_time, text, reason, line: None, signer, at, place: 0 })
            .await
    };
    let entry = |id: &str, changes: &[String]| format!(r#"{{"id":"{id}","changes":[{}]}}"#, changes.join(","));
    let whole_body = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{},{}]}}"#,
        entry("104", &[texts("1", &["a"]), texts("7", &["of nobody"]), "42".into()]),
        entry("105", &[texts("2", &["of another account"])]),
    );
    put(Extent::Body, &whole_body, Some(&ours)).await?;
    put(Extent::Entry, &entry("104", &[texts("1", &["b"])]), Some(&ours)).await?;
    put(Extent::Entry, &entry("104", &[texts("1", &["by nobody knows whom"])]), None).await?;
    put(Extent::Body, "{}", Some(&ours)).await?;

    let folder = run_dir("commands-whole-portfolios")?;
    std::fs::write(folder.join("main.yaml"), portfolio("104", "secret"))?;
    std::fs::write(folder.join("secret"), SECRET)?;
    let command = ["replay", "--reason", "malformed", "--portfolios-dir", folder.to_str().context("the folder")?];
    let told = |text: &str| text.lines().filter(|line| line.contains("stay")).count();
    let (dry, _) = said(&bed.mongo, &[&command[..], &["--dry-run"]].concat()).await?;
    assert_eq!((told(&dry), dry.matches("would go to its company").count()), (6, 2), "each, and the sums: {dry}");
    let (done, code) = said(&bed.mongo, &command).await?;
    assert!(code == 1 && done.contains("1 brought back"), "{done}");
    assert!(done.contains("1 stayed: unknown_number") && done.contains("1 stayed: foreign_account"), "{done}");
    assert!(done.contains("1 stayed: malformed"), "{done}");
    let mut stored = ids(&whole(&atlas).await?).iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    stored.sort();
    assert_eq!((stored, ids(&whole(&rif).await?)), (vec!["a".to_owned(), "b".to_owned()], vec![]));
    let left = ["foreign_account", "foreign_account", "malformed", "malformed", "unknown_number"];
    assert_eq!(quarantined(&bed).await?, left);
    // What of it names a line that is sold later goes on by itself.
    let sahara = sold(&bed, "sahara", "7").await?;
    let _router = Router::start(&bed.mongo).await?;
    wait::until(SOON, "the message to come back", async || match whole(&sahara).await {
        Ok(entries) => wait::seen(ids(&entries) == ["of nobody"], format!("{:?}", ids(&entries))),
        Err(error) => wait::Seen::Never(error.to_string()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_and_a_company_are_erased_by_command() -> Result<()> {
    let bed = Bed::start("commands-erase").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let mut appender = atlas.log().appender(clock());
    appender.append(vec![message("1", "a1", "MA.1"), message("1", "b1", "MA.2")], soon()).await?;
    let amina = atlas.log().entry(2).await?.and_then(|entry| entry.contact_id).context("no contact")?;
    // What waits for the line: hers, somebody else's, both people's.
    let router = Router::start(&bed.mongo).await?;
    let old =
        |user: &str, n: u32| text(&format!("w{n}"), Timestamp::now().as_second() - 9 * 24 * 3600).replace("MA.1", user);
    let of = |messages: &[String]| change("1", &format!(r#""messages":[{}]"#, messages.join(",")));
    let changes = [
        of(&[old("MA.1", 1)]),
        of(&[old("MA.2", 2)]),
        of(&[old("MA.1", 3), old("MA.2", 4)]),
        // And of somebody whom the log does not know.
        of(&[old("MA.3", 5), old("MA.2", 6)]),
    ];
    router.taken(&body("104", &changes)).await?;
    assert_eq!(quarantined(&bed).await?.len(), 4);

    let one = ["erase", "--company", "atlas", "--user-id", "MA.1"];
    let (refused, code) = said(&bed.mongo, &one).await?;
    assert_eq!(code, 2, "without a terminal nobody can be asked: {refused}");
    assert_eq!(whole(&atlas).await?.iter().filter(|entry| entry.kind == Kind::Erased).count(), 0);
    let (done, code) = said(&bed.mongo, &[&one[..], &["--yes"]].concat()).await?;
    assert_eq!(code, 0, "{done}");
    assert!(done.contains("erased: 1 items") && done.contains("1 changes; 1 that also"), "{done}");
    assert!(!done.contains("MA.1"), "{done}");
    assert_eq!(quarantined(&bed).await?.len(), 3);
    assert_eq!(
        atlas.log().entry(2).await?.map(|entry| (entry.kind, entry.contact_id)),
        Some((Kind::Erased, Some(amina.clone())))
    );
    assert_eq!(atlas.log().entry(3).await?.map(|entry| entry.kind), Some(Kind::Message));
    let (again, code) = said(&bed.mongo, &[&one[..], &["--yes"]].concat()).await?;
    assert!(code == 1 && again.contains("knows nobody"), "{again}");
    let stranger = ["erase", "--company", "atlas", "--user-id", "MA.3", "--yes"];
    let (unknown, code) = said(&bed.mongo, &stranger).await?;
    assert!(
        code == 1 && unknown.contains("0 changes; 1 that also") && unknown.contains("don't come back: 1"),
        "{unknown}"
    );
    // Of what was both people's only the other one's comes back, and what Meta sends again does not either.
    let (back, code) = said(&bed.mongo, &["replay", "--line", "1", "--reason", "too_old"]).await?;
    assert_eq!((back.trim(), code), ("3 brought back", 0));
    assert_eq!(ids(&whole(&atlas).await?), ["b1", "w2", "w4", "w6"]);
    let once_more = appender.append(vec![message("1", "w1", "MA.1")], soon()).await?;
    assert_eq!(once_more, [clientnumber::store::Outcome::Duplicate]);

    let all = ["erase", "--company", "atlas", "--whole-company", "--yes"];
    let (used, code) = said(&bed.mongo, &all).await?;
    assert!(code == 1 && used.contains("lines in use (1)"), "{used}");
    bed.store.routes().set_state(&line_ref("1").phone_number_id, 1, RouteState::Disabled, Timestamp::now()).await?;
    // The log was closed long ago, so the command need not wait for writers.
    let raw = raw_log(&bed, &atlas).await?;
    let head = atlas.log().head().await?;
    let at = mongodb::bson::DateTime::from_millis(Timestamp::now().as_millisecond() - 3_600_000);
    raw.insert_one(mongodb::bson::doc! { "_id": head + 1, "kind": "closed", "meta_id": "closed", "at": at, "fp": "0a", "ours": true }).await?;
    let (done, code) = said(&bed.mongo, &all).await?;
    assert!(code == 0 && done.ends_with("dropped: nothing is left\n"), "{done}");
    assert!(done.contains("waiting 0 s") && done.contains("from quarantine: 0"), "{done}");
    assert_eq!(bed.mongo.client().await?.database(atlas.name()).list_collection_names().await?, [""; 0]);
    Ok(())
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    std::fs::read_to_string(path)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_whole_and_goes_on_where_it_was_cut() -> Result<()> {
    let bed = Bed::start("commands-export").await?;
    let atlas = bed.company("atlas", "1").await?;
    let raw = |n: usize| format!("{{\"n\":1e999, \"x\" : \"\\ud83d\u{e9}\\/\", \"i\":{n}}}");
    let whom = |n: usize| {
        let (user, name) = (Some(Pii(format!("MA.{}", n % 7))), Some(Pii(format!("name {}", n % 7))));
        ContactHint { user_id: user, name, ..ContactHint::default() }
    };
    let item =
        |n: usize| NewEntry { contact: Some(whom(n)), raw: Some(Pii(raw(n))), ..message("1", &format!("w{n}"), "") };
    let mut appender = atlas.log().appender(clock());
    appender.append((0..1200).map(item).collect(), soon()).await?;
    let folder = run_dir("commands-export-files")?;
    let path = folder.join("atlas.jsonl");
    let file = path.display().to_string();
    let export = ["export", "--company", "atlas", "--output", &file];
    let (told, code) = said(&bed.mongo, &export).await?;
    assert_eq!(code, 0, "{told}");
    let all = lines(&path)?;
    assert_eq!(all.len(), 1 + 1201 + 7 + 1);
    assert_eq!(all[0], json!({"record": "export", "company": "atlas", "items_to": 1201}));
    for (n, line) in all[2..1202].iter().enumerate() {
        assert_eq!((line["record"].as_str(), line["seq"].as_u64()), (Some("item"), Some(n as u64 + 2)));
        assert_eq!(line["raw"].as_str(), Some(raw(n).as_str()), "byte for byte");
    }
    let contacts = &all[1202..1209];
    assert!(contacts.windows(2).all(|pair| pair[0]["id"].as_str() < pair[1]["id"].as_str()));
    assert!(
        contacts.iter().all(|c| c["record"] == "contact" && c["name"].as_str().is_some_and(|n| n.starts_with("name ")))
    );
    assert_eq!(all[1209]["record"], "end");
    let (again, code) = said(&bed.mongo, &export).await?;
    assert!(code == 1 && again.contains("is complete"), "{again}");

    // Cut anywhere it becomes the same again.
    let whole_text = std::fs::read(&path)?;
    let lengths: Vec<usize> =
        whole_text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    for cut in [
        0,
        5,
        lengths[0],
        lengths[1],
        lengths[601] + 30,
        lengths[1201],
        lengths[1204],
        lengths[1205] + 9,
        lengths[1208],
    ] {
        std::fs::write(&path, &whole_text[..cut])?;
        let (told, code) = said(&bed.mongo, &export).await?;
        assert_eq!(code, 0, "{told}");
        ensure!(std::fs::read(&path)? == whole_text, "cut at {cut} it became another");
    }

    // What comes in while it is cut is for another export, and another company's for another file.
    std::fs::write(&path, &whole_text[..lengths[1204]])?;
    appender.append(vec![item(1200)], soon()).await?;
    bed.company("rif", "2").await?;
    let (told, code) = said(&bed.mongo, &["export", "--company", "rif", "--output", &file]).await?;
    assert!(code == 1 && told.contains("of company atlas"), "{told}");
    assert_eq!(said(&bed.mongo, &export).await?.1, 0);
    let again = lines(&path)?;
    assert_eq!((again.len(), &again[1209]["items_to"]), (1210, &json!(1201)));

    // One candidate.
    let one = contacts[3]["id"].as_str().context("no id")?;
    let Output { stdout, status, .. } = run(&bed.mongo, &["export", "--company", "atlas", "--contact", one]).await?;
    assert!(status.success());
    let told: Vec<Value> = String::from_utf8(stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let items: Vec<&Value> = told.iter().filter(|line| line["record"] == "item").collect();
    assert!(items.len() > 170 && items.iter().all(|line| line["contact_id"] == one));
    assert_eq!((told.len(), &told[items.len() + 1]["id"]), (items.len() + 3, &contacts[3]["id"]));
    for wrong in [["--contact", "c00"], ["--company", "nobody"]] {
        let args = if wrong[0] == "--company" {
            vec!["export", wrong[0], wrong[1]]
        } else {
            vec!["export", "--company", "atlas", wrong[0], wrong[1]]
        };
        assert_eq!(said(&bed.mongo, &args).await?.1, 1, "{wrong:?}");
    }
    Ok(())
}

/// What was signed before counts by the database server's clock, not by that of whoever revokes.
#[tokio::test]
async fn a_revocation_begins_when_the_server_says_so() -> Result<()> {
    let dir = run_dir("cli-revoke")?;
    let mongo = Mongo::start(&dir, MongoOptions::default()).await?;
    let proxy = MongoProxy::start(&mongo).await?;
    let asked = proxy.hold(MongoRule::command("hello").database("clientnumber"), Point::BeforeEffect);
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_clientnumber"));
    command.args(["revoke", "--company", "atlas", "--recruiter", "leaver"]).env("MONGODB_URI", proxy.uri());
    let running = tokio::spawn(async move { command.kill_on_drop(true).output().await });
    asked.wait(Duration::from_secs(20)).await?;
    // The program has begun, and its clock has gone on.
    let released = Timestamp::now();
    asked.release();
    let output = running.await??;
    assert!(output.status.success(), "{output:?}");
    let store = Store::connect(&mongo.uri().into(), StoreOptions::default()).await?;
    let active = store.revocations().active(Timestamp::now()).await?;
    let [revocation] = active.revocations.as_slice() else { anyhow::bail!("{active:?}") };
    assert_eq!(revocation.recruiter.as_deref(), Some("leaver"));
    assert!(revocation.at.as_millisecond() >= released.as_millisecond(), "{} {released}", revocation.at);
    assert!(revocation.at <= Timestamp::now(), "{}", revocation.at);
    Ok(())
}
