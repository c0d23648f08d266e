//! Webhooks that are hostile, or only very large, on a real store: what is signed is taken, whoever is slow holds up
//! nobody, and nothing deterministic is answered with 503.

use anyhow::{Context, Result};
use mongodb::bson::doc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::store::bed::*;
use crate::support::wait;
use crate::support::{MongoProxy, MongoRule, Point};
use crate::webhook::{Router, SECRET, body, change, ids, lately, quarantined, sold, text, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_updates_as_meta_sends_at_once() -> Result<()> {
    let bed = Bed::start("hostile-many").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let router = Router::start(&bed.mongo).await?;
    // Meta batches up to a thousand updates; here each is of a candidate who was never seen.
    let (mut messages, mut contacts) = (Vec::new(), Vec::new());
    for n in 0..1000 {
        let message = text(&format!("w{n}"), lately()).replace("MA.1", &format!("MA.{n}"));
        messages.push(message.replacen('{', &format!(r#"{{"from":"2126{n:08}","#), 1));
        contacts.push(format!(r#"{{"user_id":"MA.{n}","wa_id":"2126{n:08}","profile":{{"name":"Amina"}}}}"#));
    }
    let rest = format!(r#""contacts":[{}],"messages":[{}]"#, contacts.join(","), messages.join(","));
    let post = body("104", &[change("1", &rest)]);
    let began = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = router.post(&post).await?;
        answers.push((answer.status().as_u16(), began.elapsed()));
        if answer.status() == 200 {
            break;
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(ids(&whole(&atlas).await?).len(), 1000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_slowly_holds_up_nobody() -> Result<()> {
    let bed = Bed::start("hostile-slow").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let router = Router::start(&bed.mongo).await?;
    let address = router.url.trim_start_matches("http://").to_owned();
    let mut slow = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(&address).await?;
        let length = if n % 2 == 0 { "transfer-encoding: chunked" } else { "content-length: 4194304" };
        let head = format!("POST /webhook HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        slow.push(stream);
    }
    // All of them are being read once this one, which came last, is answered.
    let answer = router.post("{}").await?;
    assert_eq!(answer.status(), 200);
    router.taken(&body("104", &[texts("1", &["a"])])).await?;
    assert_eq!(ids(&whole(&atlas).await?), ["a"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_parts_than_anybody_sends() -> Result<()> {
    let bed = Bed::start("hostile-parts").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let router = Router::start(&bed.mongo).await?;
    let many = |element: &str| vec![element; 4_000_000 / (element.len() + 1)].join(",");
    let deep = format!(r#"{{"id":"deep","type":"text","text":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    for (name, post) in [
        ("entries", format!(r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#, many("1"))),
        ("changes", body("104", &[many("1")])),
        ("messages", body("104", &[change("1", &format!(r#""messages":[{}]"#, many("1")))])),
        ("deep", body("104", &[change("1", &format!(r#""messages":[{deep}]"#))])),
        (
            "contacts for each message",
            body(
                "104",
                &[change(
                    "1",
                    &format!(
                        r#""contacts":[{}],"messages":[{}]"#,
                        vec![r#"{"wa_id":"1","user_id":"x"}"#; 20_000].join(","),
                        (0..900).map(|n| text(&format!("q{n}"), lately())).collect::<Vec<_>>().join(",")
                    ),
                )],
            ),
        ),
    ] {
        // A busy machine's store may be late once; Meta comes again.
        wait::until(SOON, &format!("{name} to be taken"), async || match router.post(&post).await {
            Ok(answer) if answer.status() == 503 => wait::Seen::NotYet("503".to_owned()),
            Ok(answer) if answer.status() == 200 => wait::Seen::Done(()),
            Ok(answer) => wait::Seen::Never(answer.status().to_string()),
            Err(error) => wait::Seen::Never(format!("{error:#}")),
        })
        .await?;
    }
    assert_eq!(quarantined(&bed).await?, ["malformed"; 3]);
    assert_eq!(ids(&whole(&atlas).await?).len(), 901);
    Ok(())
}

/// One byte costs its own message that byte, and nobody else anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_that_is_not_utf_8() -> Result<()> {
    let bed = Bed::start("hostile-byte").await?;
    let (atlas, rif) = (sold(&bed, "atlas", "1").await?, sold(&bed, "rif", "2").await?);
    let router = Router::start(&bed.mongo).await?;
    let post = body("104", &[texts("1", &["a", "b"]), texts("2", &["hit"]), texts("2", &["r"])]);
    let (before, after) = post.split_once("Salam hit").context("the text")?;
    let bytes = [before.as_bytes(), b"Salam \xff hit", after.as_bytes()].concat();
    for _ in 0..2 {
        assert_eq!(router.post_signed(SECRET, &bytes).await?.status(), 200);
        let (a, r) = (whole(&atlas).await?, whole(&rif).await?);
        assert_eq!((ids(&a), ids(&r)), (vec!["a", "b"], vec!["hit", "r"]));
        let raw = |index: usize| r[index].raw.as_ref().map(|raw| raw.expose().clone()).unwrap_or_default();
        assert!(raw(1).contains("Salam \u{fffd} hit") && raw(2) == text("r", lately()), "{}", raw(1));
        assert_eq!(quarantined(&bed).await?, ["malformed"]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_one_post_come_back_in_their_order_and_only_their_own_line_looks_alive() -> Result<()> {
    let bed = Bed::start("hostile-order").await?;
    let router = Router::start(&bed.mongo).await?;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let changes: Vec<String> = names.iter().map(|name| texts("7", &[name])).collect();
    router.taken(&body("104", &changes)).await?;
    sold(&bed, "rif", "8").await?;
    router.taken(&body("105", &[texts("8", &["foreign"])])).await?;
    let atlas = sold(&bed, "atlas", "7").await?;
    wait::until(SOON, "the changes to come back", async || match whole(&atlas).await {
        Ok(entries) => wait::seen(ids(&entries).len() == names.len(), format!("{:?}", ids(&entries))),
        Err(error) => wait::Seen::Never(error.to_string()),
    })
    .await?;
    assert_eq!(ids(&whole(&atlas).await?), names);
    // This one is noted; what came before it and was no line's of ours is not.
    router.taken(&body("104", &[texts("7", &["i"])])).await?;
    let last = async |line: &str| bed.store.line_activity().last(&line_ref(line).phone_number_id).await;
    wait::until(SOON, "the line's activity", async || wait::seen(last("7").await.is_ok_and(|at| at.is_some()), "none"))
        .await?;
    assert_eq!(last("8").await?, None, "another account made the line look alive");
    Ok(())
}

/// POSTs that bring hundreds of changes of nobody's take no connection from those that a company waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_to_quarantine_leaves_room_for_what_does_not() -> Result<()> {
    let bed = Bed::start("hostile-room").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let router = Router::start_with(connect_to(&proxy.uri()).await?, clock()).await?;
    let inserts = MongoRule::command("insert").collection("quarantine").each();
    let held = proxy.hold(inserts, Point::BeforeEffect);
    let posts = (1..4).map(|post| body("104", &(0..100).map(|n| format!("{post}{n:02}")).collect::<Vec<_>>()));
    let posts: Vec<String> = posts.collect();
    let answers = async {
        let answers = futures::future::join_all(posts.iter().map(|post| router.post(post))).await;
        answers.into_iter().map(|answer| answer.map(|answer| answer.status().as_u16())).collect::<Result<Vec<_>>>()
    };
    let meanwhile = async {
        wait::until(SOON, "the inserts", async || wait::seen(held.count() >= 16, held.count().to_string())).await?;
        let taken = router.taken(&body("104", &[texts("1", &["a"])])).await;
        let count = held.count();
        held.release();
        taken?;
        assert_eq!((ids(&whole(&atlas).await?), count), (vec!["a"], 16));
        Ok::<(), anyhow::Error>(())
    };
    let (answers, meanwhile) = futures::join!(answers, meanwhile);
    meanwhile?;
    assert!(answers?.iter().all(|status| [200, 503].contains(status)));
    for post in &posts {
        wait::until(SOON, "the repeat to be taken", async || router.taken(post).await).await?;
    }
    assert_eq!(quarantined(&bed).await?.len(), 300);
    Ok(())
}

/// A line's log refuses more changes in a row than are tried at once: what came after them is stored all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_do_not_go_keep_none_back() -> Result<()> {
    let bed = Bed::start("hostile-stuck").await?;
    let atlas = bed.company("atlas", "1").await?;
    let rule = doc! { "collMod": "log", "validator": { "type": { "$ne": "refuse me" } } };
    bed.mongo.client().await?.database(atlas.name()).run_command(rule).await?;
    let router = Router::start(&bed.mongo).await?;
    let refused = |n| texts("1", &[&format!("no{n}")]).replace(r#""type":"text""#, r#""type":"refuse me""#);
    let mut changes: Vec<String> = (0..60).map(refused).collect();
    changes.push(texts("1", &["yes"]));
    router.taken(&body("104", &changes)).await?;
    assert_eq!(quarantined(&bed).await?.len(), 61);
    bed.store.routes().put(&route("atlas", "1"), None).await?;
    wait::until(SOON * 2, "the last one to be stored", async || match whole(&atlas).await {
        Ok(entries) => wait::seen(ids(&entries) == ["yes"], format!("{:?}", ids(&entries))),
        Err(error) => wait::Seen::Never(error.to_string()),
    })
    .await?;
    assert_eq!(quarantined(&bed).await?.len(), 60);
    Ok(())
}
