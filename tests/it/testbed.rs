//! The test bed itself: does what all other tests rely on work?

use crate::support::keep::{Launch, alive};
use crate::support::wait::seen;
use crate::support::*;
use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use mongodb::bson::{Document, doc};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn named<K: Default>(name: &str, put: impl FnOnce(&mut K, ObjectMeta)) -> K {
    let mut object = K::default();
    put(&mut object, ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() });
    object
}

fn config_map(name: &str) -> ConfigMap {
    named(name, |object: &mut ConfigMap, metadata| object.metadata = metadata)
}

async fn new_namespace(name: &str) -> Result<&'static ControlPlane> {
    let plane = ControlPlane::shared().await?;
    let namespaces: Api<Namespace> = Api::all(plane.client().await?);
    namespaces
        .create(&PostParams::default(), &named(name, |object: &mut Namespace, metadata| object.metadata = metadata))
        .await?;
    Ok(plane)
}

#[tokio::test]
async fn a_namespace_comes_and_goes() -> Result<()> {
    let plane = new_namespace("comes-and-goes").await?;
    let namespaces: Api<Namespace> = Api::all(plane.client().await?);
    let listed = plane.kubectl(["get", "namespaces", "-o", "name"]).await?;
    assert!(listed.contains("namespace/comes-and-goes"), "{listed}");

    namespaces.delete("comes-and-goes", &DeleteParams::default()).await?;
    // Only the real namespace controller takes the finalizer away.
    wait::until(SOON, "the namespace to be gone", async || match namespaces.get_opt("comes-and-goes").await {
        Ok(left) => seen(left.is_none(), format!("{:?}", left.map(|it| it.status))),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

#[tokio::test]
async fn a_service_account_has_no_more_rights_than_rbac_gives() -> Result<()> {
    let plane = new_namespace("rights").await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client().await?, "rights");
    let account = named("somebody", |object: &mut ServiceAccount, metadata| object.metadata = metadata);
    accounts.create(&PostParams::default(), &account).await?;
    let proxy = ApiProxy::start(plane).await?;
    let token = plane.service_account_token("rights", "somebody").await?;

    for kubeconfig in [plane.kubeconfig_for("somebody", &token)?, proxy.kubeconfig_for("somebody", &token)?] {
        let maps: Api<ConfigMap> = Api::namespaced(control_plane::client_of(&kubeconfig).await?, "rights");
        let refused = maps.list(&Default::default()).await.expect_err("nothing was granted");
        assert!(refused.to_string().contains("system:serviceaccount:rights:somebody"), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn the_api_proxy_counts_holds_and_cuts() -> Result<()> {
    let plane = new_namespace("api-proxy").await?;
    let direct: Api<ConfigMap> = Api::namespaced(plane.client().await?, "api-proxy");
    let proxy = ApiProxy::start(plane).await?;
    let through: Api<ConfigMap> = Api::namespaced(proxy.client().await?, "api-proxy");
    let posts = proxy.count(ApiRule::post().path_ends("/configmaps"));
    let create = |name: &'static str| {
        let through = through.clone();
        tokio::spawn(async move { through.create(&PostParams::default(), &config_map(name)).await })
    };
    let of = |name: &'static str| ApiRule::post().body(move |body| body["metadata"]["name"] == name);

    // Held before the effect: not there until released.
    let hit = proxy.hold(of("held-before"), Point::BeforeEffect);
    let made = create("held-before");
    hit.wait(SOON).await?;
    assert!(direct.get_opt("held-before").await?.is_none());
    assert!(!made.is_finished());
    hit.release();
    made.await??;
    assert!(direct.get_opt("held-before").await?.is_some());

    // Held after the effect: there, but the client does not know.
    let hit = proxy.hold(of("held-after"), Point::AfterEffect);
    let made = create("held-after");
    hit.wait(SOON).await?;
    assert!(direct.get_opt("held-after").await?.is_some());
    assert!(!made.is_finished());
    hit.cut();
    made.await?.expect_err("its answer was lost");

    // Cut before the effect: an error and nothing there. Only the second one that matches, as asked.
    let hit = proxy.cut(ApiRule::post().path_contains("/namespaces/api-proxy/").nth(2), Point::BeforeEffect);
    create("first").await??;
    assert!(!hit.is_there());
    create("second").await?.expect_err("it was cut");
    assert!(hit.is_there());
    assert!(direct.get_opt("first").await?.is_some());
    assert!(direct.get_opt("second").await?.is_none());

    // Cut after the effect: an error, and there.
    proxy.cut(of("answer-lost"), Point::AfterEffect);
    create("answer-lost").await?.expect_err("its answer was lost");
    assert!(direct.get_opt("answer-lost").await?.is_some());

    assert_eq!(posts.count(), 5);
    let statuses: Vec<_> = proxy.journal().iter().map(|entry| entry.status.map(|status| status.as_u16())).collect();
    assert_eq!(statuses, [Some(201), Some(201), Some(201), None, Some(201)]);
    Ok(())
}

#[tokio::test]
async fn watches_and_outages_pass_through_the_api_proxy() -> Result<()> {
    let plane = new_namespace("api-watch").await?;
    let direct: Api<ConfigMap> = Api::namespaced(plane.client().await?, "api-watch");
    let proxy = ApiProxy::start(plane).await?;
    let through: Api<ConfigMap> = Api::namespaced(proxy.client().await?, "api-watch");

    let mut watch = through.watch(&WatchParams::default(), "0").await?.boxed();
    direct.create(&PostParams::default(), &config_map("seen")).await?;
    let names = watch.by_ref().filter_map(async |event| match event {
        Ok(WatchEvent::Added(map)) => map.metadata.name,
        _ => None,
    });
    let first = tokio::time::timeout(SOON, std::pin::pin!(names).next()).await?;
    assert_eq!(first.as_deref(), Some("seen"));

    proxy.refuse(true);
    assert!(tokio::time::timeout(SOON, watch.next()).await?.is_none_or(|event| event.is_err()));
    through.list(&Default::default()).await.expect_err("there is an outage");
    proxy.refuse(false);
    assert_eq!(through.list(&Default::default()).await?.items.len(), 1);
    // kubectl sends no token over plain http.
    let listed =
        control_plane::kubectl(proxy.kubeconfig_path(), ["get", "cm", "-n", "api-watch", "-o", "name"]).await?;
    assert_eq!(listed.trim(), "configmap/seen");
    Ok(())
}

#[tokio::test]
async fn the_mongo_proxy_counts_holds_and_cuts() -> Result<()> {
    let store = Mongo::start(&run_dir("mongo-proxy")?, MongoOptions::default()).await?;
    let proxy = MongoProxy::start(&store).await?;
    let direct = store.client().await?.database("co_1").collection::<Document>("log");
    let through = proxy.client().await?.database("co_1").collection::<Document>("log");
    let inserts = proxy.count(MongoRule::command("insert").database("co_1").collection("log"));
    let insert = |id: i32| {
        let through = through.clone();
        tokio::spawn(async move { through.insert_one(doc! {"_id": id}).await })
    };
    let of = |id: i32| {
        let holds =
            move |row: &mongodb::bson::Bson| row.as_document().and_then(|row| row.get_i32("_id").ok()) == Some(id);
        MongoRule::command("insert")
            .body(move |body| body.get_array("documents").is_ok_and(|rows| rows.iter().any(holds)))
    };
    let there = async |id: i32| direct.count_documents(doc! {"_id": id}).await;

    // A change stream through the proxy sees what is written past it.
    through.insert_one(doc! {"_id": 0}).await?;
    let mut changes = through.watch().await?;
    direct.insert_one(doc! {"_id": 1}).await?;
    let change = tokio::time::timeout(SOON, changes.next()).await?.context("the change stream ended")??;
    assert_eq!(change.full_document, Some(doc! {"_id": 1}));

    let hit = proxy.hold(of(2), Point::BeforeEffect);
    let done = insert(2);
    assert_eq!(hit.wait(SOON).await?.collection, "log");
    assert_eq!(there(2).await?, 0);
    hit.release();
    done.await??;
    assert_eq!(there(2).await?, 1);

    let hit = proxy.hold(of(3), Point::AfterEffect);
    let done = insert(3);
    hit.wait(SOON).await?;
    assert_eq!(there(3).await?, 1);
    assert!(!done.is_finished());
    hit.release();
    done.await??;

    // The driver repeats a write whose connection broke once, so each try has to be cut.
    let before = inserts.count();
    let hit = proxy.cut(of(4).each(), Point::BeforeEffect);
    insert(4).await?.expect_err("it was cut");
    assert_eq!(there(4).await?, 0);
    assert_eq!(hit.count(), 2);
    assert_eq!(inserts.count() - before, 2);

    // Its answer lost once: the driver's repetition must not write it twice, nor fail on its own first try.
    let hit = proxy.cut(of(5), Point::AfterEffect);
    insert(5).await??;
    assert_eq!((hit.count(), there(5).await?), (2, 1));

    proxy.refuse(true);
    insert(6).await?.expect_err("there is an outage");
    proxy.refuse(false);
    insert(7).await??;
    assert_eq!((there(6).await?, there(7).await?), (0, 1));
    Ok(())
}

#[tokio::test]
async fn the_store_keeps_what_it_acknowledged_when_it_is_killed() -> Result<()> {
    let mut store =
        Mongo::start(&run_dir("mongo-kill")?, MongoOptions { sync_on_commit: true, ..MongoOptions::default() }).await?;
    let rows = store.client().await?.database("co_1").collection::<Document>("log");
    for id in 0..20 {
        rows.insert_one(doc! {"_id": id}).await?;
    }
    store.kill().await?;
    store.restart().await?;
    let rows = store.client().await?.database("co_1").collection::<Document>("log");
    assert_eq!(rows.count_documents(doc! {}).await?, 20);
    store.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_program_is_stopped_killed_frozen_and_read() -> Result<()> {
    let dir = run_dir("program")?;
    let script = "trap 'echo stopping; exit 7' TERM; echo started; while :; do sleep 0.05; done";
    let env = [("UNUSED", "1")];
    let mut program = Program::start("script", "bash", &dir, ["-c", script], env)?;
    program.wait_for_log("started", SOON).await?;
    program.stop_cont(async {}).await?;
    assert_eq!(program.stop().await?, 7);
    assert!(program.log().contains("stopping"));

    program.restart().await?;
    program.wait_for_log("started", SOON).await?;
    let pid = program.pid().await?;
    program.kill().await?;
    assert!(!alive(pid));
    let failure = program.wait_for_log("never written", SOON).await.expect_err("it has ended").to_string();
    assert!(failure.contains("script ended with") && failure.contains("started"), "{failure}");

    let mut missing = Program::start("missing", "/does/not/exist", &dir, [""], env)?;
    let failure = missing.wait_for_log("anything", SOON).await.expect_err("there is no such program").to_string();
    assert!(failure.contains("cannot start /does/not/exist"), "{failure}");
    Ok(())
}

/// What the test below does in the process that it kills: starts a program and waits to be killed.
fn be_killed(dir: &Path) -> Result<()> {
    // It ignores TERM and has a child of its own, so that only the KILL to the whole group ends both.
    let script = "trap '' TERM; sleep 1000 & echo $! >grandchild; wait; while :; do sleep 1; done";
    let script = format!("cd '{}'; {script}", dir.display());
    let _program = Launch::new("stubborn", "bash", dir).args(["-c", &script]).grace(0.3).start()?;
    let _ = std::io::stdin().read(&mut [0]);
    bail!("it should have been killed");
}

#[tokio::test]
async fn the_death_of_the_parent_ends_its_programs() -> Result<()> {
    if let Some(dir) = std::env::var_os("TESTBED_CHILD") {
        return be_killed(Path::new(&dir));
    }
    let dir = run_dir("parent-dies")?;
    let mut parent = Command::new(std::env::current_exe()?)
        .args(["--exact", "testbed::the_death_of_the_parent_ends_its_programs", "--nocapture"])
        .env("TESTBED_CHILD", &dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let pid = async |file: &str| {
        wait::until(SOON, file, async || anyhow::Ok(std::fs::read_to_string(dir.join(file))?.trim().parse::<u32>()?))
            .await
    };
    let pids = [pid("stubborn.pid").await?, pid("grandchild").await?];
    assert!(pids.iter().all(|&pid| alive(pid)));

    parent.kill()?;
    parent.wait()?;
    wait::until(SOON, "the killed process's programs to be gone", async || {
        seen(!pids.iter().any(|&pid| alive(pid)), format!("alive: {:?}", pids.map(alive)))
    })
    .await?;
    Ok(())
}
