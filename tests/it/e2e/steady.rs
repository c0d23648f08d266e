//! A thousand lines that work, and nothing happens: what a round costs both providers and the API server; then somebody
//! changes a few of them by hand, and each shows it on its own line within one round while the others are not touched.
//!
//! One line is onboarded for real; the others are made in its image: their numbers in the sandbox, their objects with the
//! status that onboarding would have left. Companies' databases and PINs, which no round looks at, they have not.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Event;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use crate::support::wait::{self, Seen};
use crate::support::{ApiProxy, ControlPlane, World, WorldOptions, run_dir};

const LINES: usize = 1000;
const AT_ONCE: usize = 24;
const LONG: Duration = Duration::from_secs(120);
/// What one round may cost, of both providers together: eleven pages of Meta's numbers, four of Telnyx's, the orders of a
/// day, what the account is, and two numbers that a list lacks.
const CALLS: usize = 22;

fn name(n: usize) -> String {
    format!("line-{n:04}")
}

fn company(n: usize) -> String {
    format!("company-{n:04}")
}

fn number(n: usize) -> String {
    format!("+2126510{n:05}")
}

fn tags(n: usize) -> Value {
    json!(["clientnumber:owner=world", format!("clientnumber:company={}", company(n))])
}

/// The numbers 1 to 999 at both providers; Meta's ids.
async fn numbers(world: &World) -> Result<BTreeMap<usize, String>> {
    let wish = |n: usize| {
        json!({
            "phone_number": number(n), "tags": tags(n), "name": format!("{} by Recruto", company(n)),
            "customer_reference": format!("world/{}/{}", world.clients, name(n)),
        })
    };
    let lines: Vec<Value> = (1..LINES).map(wish).collect();
    let made = world.sandbox.post("/lines", json!({ "lines": lines })).await?;
    let ids = made["lines"].as_array().into_iter().flatten().filter_map(|line| line["meta"].as_str());
    Ok((1..LINES).zip(ids.map(str::to_owned)).collect())
}

/// The objects 1 to 999, in the image of the first.
async fn objects(world: &World, template: &ClientNumber, ids: &BTreeMap<usize, String>) -> Result<()> {
    let api = world.lines();
    let status = serde_json::to_string(template.status.as_ref().context("no status")?)?;
    let of = |get: fn(&clientnumber::resources::ClientNumberStatus) -> Option<String>| {
        template.status.as_ref().and_then(get).context("the first line is not finished")
    };
    let (first_number, first_id) = (of(|s| s.phone_number.clone())?, of(|s| s.phone_number_id.clone())?);
    let one = async |(n, id): (&usize, &String)| -> Result<()> {
        let mut object = world.line(&name(*n), &company(*n), |_| ());
        object["metadata"]["finalizers"] = json!(["clientnumber.dev/line"]);
        object["metadata"]["annotations"] = json!({"clientnumber.dev/phone-number": number(*n)});
        let mut made = api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        let status = status
            .replace(&first_number, &number(*n))
            .replace(&first_id, id)
            .replace(&name(0), &name(*n))
            .replace(&company(0), &company(*n));
        made.status = Some(serde_json::from_str(&status)?);
        api.replace_status(&name(*n), &PostParams::default(), &made).await?;
        Ok(())
    };
    futures::stream::iter(ids.iter().map(one)).buffer_unordered(AT_ONCE).try_collect().await
}

/// A round that has asked nothing yet, and the one after it: held at their first calls.
struct OneRound {
    first: String,
    second: String,
    /// Where the first begins in the journal.
    begin: u64,
    /// The lines before it.
    before: BTreeMap<String, Option<String>>,
}

/// A thousand lines, and a controller behind a proxy that counts.
struct Bed {
    world: World,
    api: ApiProxy,
    ids: BTreeMap<usize, String>,
}

impl Bed {
    async fn start() -> Result<Bed> {
        let plane = ControlPlane::shared().await?;
        let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
        let options = WorldOptions { speed: 0.0, scale: 0.05, log: "info".into(), ..WorldOptions::default() };
        let mut world = World::start(plane, binary, &run_dir("steady")?, options).await?;
        // So that the first line is like the others, but for its number and its names.
        let alike = json!({"meta": {"name_status": "APPROVED", "absent_fields": ["last_onboarded_time"]}});
        world.sandbox.post("/settings", alike).await?;
        world.control(None, None).await?;
        let portfolio = world.portfolio(|spec| {
            spec["checkInterval"] = json!("1m");
            spec["limits"] = json!({"maxNumbers": 2000});
        });
        world.apply(portfolio).await?;
        wait_portfolio(&world).await?;
        world.apply(world.line(&name(0), &company(0), |_| ())).await?;
        world.wait_line(&name(0), "True", "Ready", LONG).await?;
        let api = world.lines();
        let template = wait::until(LONG, "the first line to be seen by a round", async || {
            let line = api.get(&name(0)).await?;
            let seen = line.status.as_ref().and_then(|s| s.line.as_ref()).is_some_and(|l| l.carrier_status.is_some());
            if seen { Ok(line) } else { Err(anyhow::anyhow!("{:?}", line.status)) }
        })
        .await?;
        world.controller()?.stop().await?;
        let since = Instant::now();
        let ids = numbers(&world).await?;
        println!("{LINES} numbers at both providers after {:?}", since.elapsed());
        objects(&world, &template, &ids).await?;
        println!("{LINES} objects after {:?}", since.elapsed());
        let api = ApiProxy::start(plane).await?;
        let mut bed = Bed { world, api, ids };
        bed.control().await?;
        Ok(bed)
    }

    async fn control(&mut self) -> Result<()> {
        let kubeconfig = self.api.kubeconfig_path().to_owned();
        self.world.control(Some(&kubeconfig), None).await
    }

    /// The providers' journal after call `n`: number and operation of each call.
    async fn calls(&self, after: u64) -> Result<Vec<(u64, String)>> {
        let journal = self.world.sandbox.get(&format!("/journal?after={after}")).await?;
        let entry = |e: &Value| Some((e["n"].as_u64()?, e["operation"].as_str()?.to_owned()));
        Ok(journal["entries"].as_array().into_iter().flatten().filter_map(entry).collect())
    }

    /// Where the newest rounds begin in the journal; each asks for the balance once.
    async fn rounds(&self, after: u64) -> Result<Vec<u64>> {
        let balance = |(n, operation): (u64, String)| (operation == "telnyx.get_balance").then_some(n);
        Ok(self.calls(after).await?.into_iter().filter_map(balance).collect())
    }

    async fn last(&self) -> Result<u64> {
        self.world.sandbox.get("/journal?operation=none").await?["last"].as_u64().context("no last call")
    }

    /// Waits until `more` rounds have begun after call `n`; where they begin.
    async fn wait_rounds(&mut self, after: u64, more: usize) -> Result<Vec<u64>> {
        wait::until(LONG, &format!("{more} rounds after call {after}"), async || {
            if let Some(end) = self.world.controller.as_mut().and_then(|c| c.ended()) {
                return Seen::Never(end);
            }
            match self.rounds(after).await {
                Ok(rounds) if rounds.len() >= more => Seen::Done(rounds),
                Ok(rounds) => Seen::NotYet(format!("{rounds:?}")),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            }
        })
        .await
    }

    /// All lines by name.
    async fn lines(&self) -> Result<BTreeMap<String, ClientNumber>> {
        let all = self.world.lines().list(&ListParams::default()).await?.items;
        Ok(all.into_iter().map(|line| (line.name_any(), line)).collect())
    }

    async fn versions(&self) -> Result<BTreeMap<String, Option<String>>> {
        Ok(self.lines().await?.into_iter().map(|(name, line)| (name, line.resource_version())).collect())
    }

    /// Writes to the API server since `mark`, by what they were to.
    fn writes(&self, mark: usize) -> BTreeMap<String, usize> {
        let mut writes = BTreeMap::new();
        for entry in self.api.journal().iter().skip(mark).filter(|e| e.method != "GET") {
            let kind = entry.path.split('/').find(|part| ["clientnumbers", "portfolios", "events"].contains(part));
            *writes.entry(format!("{} {}", entry.method, kind.unwrap_or("other"))).or_insert(0) += 1;
        }
        writes
    }

    /// One whole quiet round: calls to the providers, writes to the API server.
    async fn quiet_round(&mut self, what: &str) -> Result<()> {
        let from = self.last().await?;
        let begin = self.wait_rounds(from, 1).await?[0];
        let (mark, before, lines) = (self.api.journal().len(), self.versions().await?, self.lines().await?);
        let end = self.wait_rounds(begin, 1).await?[0];
        let (calls, writes) = (self.calls(begin - 1).await?, self.writes(mark));
        let reads = self.api.journal().len() - mark;
        let round: Vec<&str> = calls.iter().filter(|(n, _)| *n < end).map(|(_, o)| o.as_str()).collect();
        println!("{what}: {} calls {:?}; API writes {writes:?}, requests {reads}", round.len(), counted(&round));
        ensure!((10..=CALLS).contains(&round.len()), "{what}: {} calls in one round: {round:?}", round.len());
        let differs = self
            .lines()
            .await?
            .into_iter()
            .find(|(name, line)| lines.get(name).map(|l| &l.status) != Some(&line.status));
        let differs = differs.map(|(name, line)| (lines[&name].status.clone(), line.status));
        let written = writes.keys().any(|kind| kind.ends_with("clientnumbers"));
        ensure!(!written && differs.is_none(), "{what}: lines were written: {writes:?}: {differs:#?}");
        let portfolio = writes.get("PUT portfolios").copied().unwrap_or(0);
        ensure!((1..=3).contains(&portfolio), "{what}: the Portfolio was written {portfolio} times");
        ensure!(self.versions().await? == before, "{what}: a line changed");
        Ok(())
    }

    async fn change(&self, n: usize, change: Value) -> Result<()> {
        self.world.sandbox.post(&format!("/numbers/{}", number(n)), change).await.map(|_| ())
    }

    /// Waits until the one before is over. Then one whole round, once [`OneRound::first`] is let go, and no second one.
    async fn one_round_more(&self) -> Result<OneRound> {
        let hold = json!({"operation": "telnyx.get_balance", "nth": 1, "when": "before", "action": "hold"});
        let from = self.last().await?;
        let first = self.world.sandbox.fault(hold.clone()).await?;
        self.world.sandbox.holding(&first, LONG).await?;
        let begin = *self.rounds(from).await?.last().context("a round is held, and none began")?;
        let second = self.world.sandbox.fault(hold).await?;
        Ok(OneRound { first, second, begin, before: self.versions().await? })
    }

    /// Lets the round go and waits until lines show what is expected, without a second one; the others are as they were.
    async fn shown_within_a_round(&self, what: &str, round: OneRound, expected: &[(usize, &[&str])]) -> Result<()> {
        let api = self.world.lines();
        self.world.sandbox.release(&round.first).await?;
        for (n, wanted) in expected {
            wait::until(LONG, &format!("{what}: {} to show {wanted:?}", name(*n)), async || {
                let shown = match api.get(&name(*n)).await {
                    Ok(line) => conditions(&line),
                    Err(error) => return Seen::NotYet(error.to_string()),
                };
                wait::seen(wanted.iter().all(|w| shown.iter().any(|s| s == w)), format!("{shown:?}"))
            })
            .await?;
        }
        self.world.sandbox.holding(&round.second, LONG).await?;
        let rounds = self.rounds(round.begin).await?;
        ensure!(rounds.len() == 1, "{what}: took more than a round: {rounds:?}");
        let asked = self.calls(round.begin - 1).await?.into_iter().filter(|(n, _)| *n < rounds[0]);
        let calls: Vec<String> = asked.map(|(_, operation)| operation).collect();
        let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
        println!("{what}: shown by one round of {} calls {:?}", calls.len(), counted(&calls));
        ensure!(calls.len() <= CALLS, "{what}: {} calls in one round: {calls:?}", calls.len());
        let touched: Vec<String> = changed(&round.before, &self.versions().await?);
        let all: Vec<String> = expected.iter().map(|(n, _)| name(*n)).collect();
        ensure!(touched == all, "{what}: written were {touched:?}");
        self.world.sandbox.release(&round.second).await
    }
}

fn counted<'a>(calls: &[&'a str]) -> BTreeMap<&'a str, usize> {
    calls.iter().fold(BTreeMap::new(), |mut counted, call| {
        *counted.entry(*call).or_insert(0) += 1;
        counted
    })
}

/// `Ready=True/Ready` and so on.
fn conditions(line: &ClientNumber) -> Vec<String> {
    let status = line.status.as_ref();
    let mut shown: Vec<String> =
        status.iter().flat_map(|s| &s.conditions).map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect();
    if !shown.iter().any(|c| c.starts_with("Degraded")) {
        shown.push("Degraded=-".into());
    }
    shown
}

/// Peak memory of a process, in MiB.
fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_lines_in_steady_state() -> Result<()> {
    let begun = Instant::now();
    let mut bed = Bed::start().await?;
    let from = bed.last().await?;
    bed.wait_rounds(from, 2).await?;
    println!("the controller is through its first round after {:?}; API writes {:?}", begun.elapsed(), bed.writes(0));
    bed.quiet_round("nothing happens").await?;
    println!("after {:?}", begun.elapsed());

    let round = bed.one_round_more().await?;
    let elsewhere = json!({"meta": {"override_callback_uri": "https://other.example/hook?token=not-to-be-shown"}});
    bed.change(101, json!({"meta": {"verified_name": "Casino Royal"}})).await?;
    bed.change(202, json!({"meta": {"quality_rating": "RED"}})).await?;
    bed.change(303, elsewhere).await?;
    bed.change(404, json!({"meta": {"remove": true}})).await?;
    bed.change(505, json!({"telnyx": {"remove": true}})).await?;
    bed.change(606, json!({"telnyx": {"tags": []}})).await?;
    let drifted: &[(usize, &[&str])] = &[
        (101, &["Ready=True/Ready", "DisplayNameApproved=False/NameDiffers"]),
        (202, &["Ready=True/Ready", "Degraded=True/QualityLow"]),
        (303, &["Ready=False/WebhookOverridden", "Stalled=True/WebhookOverridden"]),
        (404, &["Ready=False/LineNotConnected", "LinkedToWhatsApp=False/LineNotConnected"]),
        (505, &["Ready=False/NumberLost", "NumberAcquired=False/NumberLost"]),
        (606, &["Ready=True/Ready", "Degraded=True/NumberUntagged"]),
    ];
    bed.shown_within_a_round("six numbers changed by hand", round, drifted).await?;
    told(&bed, &[(101, "NameDiffers"), (202, "QualityLow"), (303, "WebhookOverridden"), (404, "LineNotConnected")])
        .await?;
    told(&bed, &[(505, "NumberLost"), (606, "NumberUntagged")]).await?;
    println!("after {:?}", begun.elapsed());

    // A lost page and a bad hour are no drift: nobody's status moves.
    let (before, mark) = (bed.versions().await?, bed.last().await?);
    let mut faults = Vec::new();
    for operation in ["meta.list_numbers", "telnyx.list_numbers"] {
        let (when, action, body) = ("before", "status", json!({"data": []}));
        let page =
            json!({"operation": operation, "nth": 2, "when": when, "action": action, "status": 200, "body": body});
        faults.push(bed.world.sandbox.fault(page).await?);
    }
    for fault in &faults {
        bed.world.sandbox.met(fault, LONG).await?;
    }
    let rounds = bed.wait_rounds(mark, 1).await?;
    bed.wait_rounds(*rounds.last().context("no round")?, 1).await?;
    ensure!(
        bed.versions().await? == before,
        "a lost page changed lines: {:?}",
        changed(&before, &bed.versions().await?)
    );
    println!("after {:?}", begun.elapsed());

    let round = bed.one_round_more().await?;
    bed.change(101, json!({"meta": {"verified_name": format!("{} by Recruto", company(101))}})).await?;
    bed.change(202, json!({"meta": {"quality_rating": "GREEN"}})).await?;
    bed.change(303, json!({"meta": {"override_callback_uri": ""}})).await?;
    let back = json!({"phone_number": number(505), "tags": tags(505)});
    bed.world.sandbox.post("/existing-numbers", back).await?;
    bed.change(606, json!({"telnyx": {"tags": tags(606)}})).await?;
    let well: &[&str] =
        &["Ready=True/Ready", "NumberAcquired=True/Acquired", "DisplayNameApproved=True/NameApproved", "Degraded=-"];
    let undone = [101, 202, 303, 505, 606].map(|n| (n, well));
    bed.shown_within_a_round("five changes undone", round, &undone).await?;
    println!("after {:?}", begun.elapsed());

    // A restart asks hardly more, and writes no line.
    let before = bed.versions().await?;
    let pid = bed.world.controller()?.pid().await?;
    println!("peak memory of the controller: {} MiB", peak(pid)?);
    bed.world.controller()?.stop().await?;
    let (mark, writes) = (bed.last().await?, bed.api.journal().len());
    bed.control().await?;
    let second = bed.wait_rounds(mark, 2).await?[1];
    let first: Vec<String> = bed.calls(mark).await?.into_iter().filter(|(n, _)| *n < second).map(|(_, o)| o).collect();
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    println!("the first round after a restart: {} calls {:?}", first.len(), counted(&first));
    ensure!(first.len() <= CALLS, "{} calls in the first round: {first:?}", first.len());
    let writes = bed.writes(writes);
    ensure!(!writes.contains_key("PUT clientnumbers"), "the restart wrote lines: {writes:?}");
    ensure!(bed.versions().await? == before, "the restart changed {:?}", changed(&before, &bed.versions().await?));
    println!("{} lines, after {:?}", bed.ids.len() + 1, begun.elapsed());
    Ok(())
}

fn changed(before: &BTreeMap<String, Option<String>>, after: &BTreeMap<String, Option<String>>) -> Vec<String> {
    after.iter().filter(|(name, version)| before.get(*name) != Some(*version)).map(|(name, _)| name.clone()).collect()
}

/// Each flip was told in an event of its line that says what to do.
async fn told(bed: &Bed, expected: &[(usize, &str)]) -> Result<()> {
    let events: Api<Event> = Api::namespaced(bed.world.client.clone(), &bed.world.clients);
    for (n, reason) in expected {
        let of = ListParams::default().fields(&format!("involvedObject.name={}", name(*n)));
        let what = format!("the event {reason} of {}", name(*n));
        let event = wait::until(LONG, &what, async || match events.list(&of).await {
            Ok(list) => match list.items.iter().find(|e| e.reason.as_deref() == Some(reason)) {
                Some(event) => Seen::Done(event.clone()),
                None => Seen::NotYet(format!("{:?}", list.items.iter().map(|e| &e.reason).collect::<Vec<_>>())),
            },
            Err(error) => Seen::NotYet(error.to_string()),
        })
        .await?;
        let note = event.message.unwrap_or_default();
        ensure!(event.type_.as_deref() == Some("Warning"), "{what} is no warning");
        ensure!(note.contains(": ") && !note.contains("not-to-be-shown"), "{what}: {note}");
    }
    Ok(())
}
