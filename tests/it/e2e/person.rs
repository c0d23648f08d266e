//! A person and their code: right, wrong, malformed, too late, by the plugin and as a Secret made by hand; calls and texts
//! that go out on a wish only. What is said is compared word by word, and no code is anywhere afterwards. `machine`: the same
//! beside the machine that listens. `unclear`: Meta's answers are. `wishes`: what becomes of a wish that can't be granted,
//! and of a code nobody needs.

mod machine;
mod unclear;
mod wishes;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use clientnumber::resources::conditions::{ConditionType, is_true};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::leaks::places;
use super::steps::{LONG, begun_with, binary, message_of, reason_of, world_at};
use crate::support::leaks::{Markers, none_in_logs, search};
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World};

/// What the plugin said, and how it ended.
struct Said {
    code: Option<i32>,
    text: String,
}

/// A person at the phone of the line rif.
struct Person {
    world: World,
    number: String,
    /// All that the plugin ever printed.
    printed: String,
    /// All codes that were heard, read, or given.
    codes: Markers,
}

impl Person {
    /// With a line of another operator, which waits for a wish.
    async fn start(name: &str, scale: f64, verification: Value, limits: Value) -> Result<Person> {
        let mut person = Person::prepare(name, scale, limits).await?;
        let number = "+212661000001";
        let line = person.world.line("rif", "rif-foods", |spec| {
            spec["number"] = json!({"existing": {"phoneNumber": number, "carrier": "External"}});
            spec["verification"] = verification;
        });
        person.number = number.to_owned();
        person.world.apply(line).await?;
        person.reason("CodeNeeded").await?;
        Ok(person)
    }

    /// Without a line.
    async fn prepare(name: &str, scale: f64, limits: Value) -> Result<Person> {
        let world = begun_with(world_at(name, scale).await?, |spec| spec["limits"] = limits).await?;
        // Meta's code lives as long as the controller takes it to.
        world.sandbox.post("/settings", json!({"meta": {"code_life_s": (600.0 * scale) as u64}})).await?;
        Ok(Person { world, number: String::new(), printed: String::new(), codes: Markers::new() })
    }

    async fn plugin(&mut self, args: &[&str], input: &str) -> Result<Said> {
        let mut command = tokio::process::Command::new(binary());
        command.args(["verify", "-n", &self.world.clients]).args(args).env("KUBECONFIG", self.world.kubeconfig());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        child.stdin.take().context("no stdin")?.write_all(input.as_bytes()).await?;
        let done = child.wait_with_output().await?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        self.printed += &text;
        Ok(Said { code: done.status.code(), text })
    }

    async fn works(&mut self, args: &[&str], input: &str) -> Result<String> {
        let said = self.plugin(args, input).await?;
        ensure!(said.code == Some(0), "{:?}: {}", said.code, said.text);
        Ok(said.text)
    }

    async fn fails(&mut self, args: &[&str], code: i32, says: &str) -> Result<()> {
        let said = self.plugin(args, "").await?;
        ensure!(
            said.code == Some(code) && said.text.contains(says),
            "{:?} instead of {code}: {}",
            said.code,
            said.text
        );
        Ok(())
    }

    /// Waits for a reason of Ready; the line.
    async fn reason(&mut self, reason: &str) -> Result<ClientNumber> {
        self.world.wait_line("rif", "False", reason, LONG).await
    }

    /// Waits for exactly these words in Ready.
    async fn says(&self, words: &str) -> Result<ClientNumber> {
        let lines = self.world.lines();
        wait::until(LONG, &format!("rif to say {words:?}"), async || match lines.get("rif").await {
            Ok(line) if message_of(&line) == words => Seen::Done(line),
            Ok(line) => Seen::NotYet(format!("{}: {}", reason_of(&line), message_of(&line))),
            Err(error) => Seen::NotYet(error.to_string()),
        })
        .await
    }

    /// The code that Meta sent last, as it is heard or read.
    async fn hears(&mut self) -> Result<(String, Value)> {
        let path = format!("/codes?all=1&to={}", self.number.trim_start_matches('+'));
        let sent = wait::until(LONG, "a code to be sent", async || match self.world.sandbox.get(&path).await {
            Ok(codes) if codes["codes"][0]["valid"] == true => Seen::Done(codes["codes"][0].clone()),
            Ok(codes) => Seen::NotYet(codes.to_string()),
            Err(error) => Seen::NotYet(error.to_string()),
        })
        .await?;
        let code = sent["code"].as_str().context("no code")?.to_owned();
        self.knows(&code);
        Ok((code, sent))
    }

    /// Waits until Meta takes the code that it sent last no more: it was sent a moment after it was asked for.
    async fn too_late(&self) -> Result<()> {
        let path = format!("/codes?all=1&to={}", self.number.trim_start_matches('+'));
        wait::until(LONG, "the code to be too old", async || match self.world.sandbox.get(&path).await {
            Ok(codes) => wait::seen(codes["codes"][0]["valid"] == false, codes),
            Err(error) => Seen::NotYet(error.to_string()),
        })
        .await
    }

    fn knows(&mut self, code: &str) {
        self.codes.insert(format!("a code ({})", self.codes.len()), code.to_owned());
    }

    /// Another code than this one.
    fn wrong(&mut self, code: &str) -> Result<String> {
        let wrong = format!("{:06}", (code.parse::<u32>()? + 111_111) % 1_000_000);
        self.knows(&wrong);
        Ok(wrong)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), &self.world.clients)
    }

    /// A Secret as a person or a program makes it, without a word to the line.
    async fn puts(&self, type_: &str, key: &str, value: &[u8]) -> Result<()> {
        let secret = Secret {
            type_: Some(type_.to_owned()),
            data: Some(BTreeMap::from([(key.to_owned(), k8s_openapi::ByteString(value.to_vec()))])),
            metadata: kube::api::ObjectMeta { name: Some("rif-code".to_owned()), ..Default::default() },
            ..Secret::default()
        };
        self.secrets().create(&Default::default(), &secret).await?;
        Ok(())
    }

    async fn no_secret(&self) -> Result<()> {
        let secrets = self.secrets();
        wait::until(LONG, "the Secret to be gone", async || match secrets.get_opt("rif-code").await {
            Ok(None) => Seen::Done(()),
            Ok(Some(_)) => Seen::NotYet("it is there".into()),
            Err(error) => Seen::NotYet(error.to_string()),
        })
        .await
    }

    async fn calls(&self, operation: &str, expected: usize) -> Result<()> {
        let calls = self.world.sandbox.calls(operation).await?;
        ensure!(calls == expected, "{calls} times {operation} instead of {expected}");
        Ok(())
    }

    /// Lets the controller look at the line, and waits until it did.
    async fn looked_at(&mut self) -> Result<()> {
        let mut command = tokio::process::Command::new(binary());
        let env = ("KUBECONFIG", self.world.kubeconfig());
        let done = command.args(["retry", "rif", "-n", &self.world.clients]).env(env.0, env.1).output().await?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let lines = self.world.lines();
        wait::until(LONG, "the line to be looked at", async || match lines.get("rif").await {
            Ok(line) => {
                let asked =
                    line.metadata.annotations.as_ref().and_then(|a| a.get("clientnumber.dev/retry-requested-at"));
                let done = line.status.as_ref().and_then(|s| s.retry.as_ref()?.handled_request.as_ref());
                wait::seen(asked.is_some() && asked == done, format!("{asked:?} {done:?}"))
            }
            Err(error) => Seen::NotYet(error.to_string()),
        })
        .await
    }

    /// The line works; no code is in what was printed, in logs, status, events or metrics, nor in a Secret.
    async fn ends_well(mut self) -> Result<()> {
        self.world.wait_line("rif", "True", "Ready", LONG).await?;
        self.no_secret().await?;
        none_in_logs(&self.world, &self.codes).await?;
        let mut places = places(ControlPlane::shared().await?, &self.world).await?;
        places.insert("what the plugin printed".into(), self.printed.clone());
        let found = search(&places, &self.codes);
        ensure!(!self.codes.is_empty() && found.is_empty(), "leaks: {found:#?}");
        Ok(())
    }
}

fn stalled(line: &ClientNumber) -> bool {
    line.status.as_ref().is_some_and(|s| is_true(&s.conditions, ConditionType::Stalled))
}

/// Until when the code is good, as it is said.
fn until(line: &ClientNumber) -> Result<String> {
    let verification = line.status.as_ref().and_then(|s| s.verification.as_ref());
    let expires = verification.and_then(|v| v.code_expires_at.as_ref()).context("no code is awaited")?;
    Ok(expires.0.strftime("%H:%M:%S UTC").to_string())
}

/// Ten minutes of a code, as in real life: only what a person does moves the line, not the time of its next look.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_on_a_wish_and_codes_wrong_malformed_and_right() -> Result<()> {
    let limits = json!({"codeRequests": {"perHour": 2}});
    let mut person = Person::start("person", 1.0, json!({"method": "Voice", "language": "fr_FR"}), limits).await?;
    let call =
        "Meta will call the number when somebody is there to listen: run kubectl clientnumber verify rif --call-now";
    let waits = person.says(call).await?;
    ensure!(stalled(&waits), "nobody is told to act");
    person.looked_at().await?;
    person.calls("meta.request_code", 0).await?;

    // A code of Meta's may have come another way.
    let early = person.wrong("000000")?;
    person.works(&["rif", "--code", &early], "").await?;
    person.says("Meta refused the code that was handed in: it is wrong, or came too late; let Meta call again with kubectl clientnumber verify rif --call-now").await?;
    person.calls("meta.verify_code", 1).await?;

    let said = person.works(&["rif", "--call-now"], "").await?;
    let (code, sent) = person.hears().await?;
    ensure!(sent["method"] == "VOICE" && sent["language"] == "fr_FR", "{sent}");
    let hand_in = async |person: &Person, before: &str| -> Result<String> {
        let line = person.world.lines().get("rif").await?;
        Ok(format!("{before} with kubectl clientnumber verify rif --code 123456 until {}", until(&line)?))
    };
    let asked = hand_in(&person, "Meta was asked to call the number in fr_FR: hand the code in").await?;
    ensure!(said.contains(&asked), "the plugin says {said}");
    person.says(&asked).await?;
    person.fails(&["rif", "--call-now"], 1, "no other is asked for before that").await?;
    person.calls("meta.request_code", 1).await?;

    for wrong in ["31415", "3141592", "abcdef", "-27182", "", "31 41 59"] {
        person.fails(&["rif", "--code", wrong], 2, "--code: verification code").await?;
        ensure!(wrong.is_empty() || !person.printed.contains(wrong), "repeated: {}", person.printed);
    }
    person.fails(&["rif", "--code", "987", "654"], 2, "as one word").await?;
    ensure!(!person.printed.contains("987") && !person.printed.contains("654"), "repeated: {}", person.printed);

    let wrong = person.wrong(&code)?;
    person.works(&["rif", "--code", &wrong], "").await?;
    let refused =
        hand_in(&person, "Meta refused the code that was handed in: read it again and hand the code in").await?;
    ensure!(stalled(&person.says(&refused).await?), "nobody is told to act");
    person.no_secret().await?;
    person.looked_at().await?;
    person.says(&refused).await?;
    person.calls("meta.verify_code", 2).await?;

    let again = "and was deleted: hand the code in with kubectl clientnumber verify rif --code 123456";
    for (key, value, why) in [
        ("otp", code.as_bytes(), "has no key code"),
        ("code", b"3141592".as_slice(), "does not hold six digits"),
        ("code", b"\xff\xfe\xfd", "does not hold six digits"),
    ] {
        person.puts("clientnumber.dev/code", key, value).await?;
        person.no_secret().await?;
        person.says(&format!("the Secret rif-code {why} {again}")).await?;
    }
    person.puts("Opaque", "code", code.as_bytes()).await?;
    person.looked_at().await?;
    person.fails(&["rif", "--code", &code], 1, "of another type is in the way").await?;
    let foreign = person.secrets().get("rif-code").await?;
    ensure!(foreign.data.is_some_and(|data| data.contains_key("code")), "a Secret of another type was touched");
    person.calls("meta.verify_code", 2).await?;
    person.secrets().delete("rif-code", &Default::default()).await?;

    person.puts("clientnumber.dev/code", "code", format!("{code}\n").as_bytes()).await?;
    person.world.wait_line("rif", "True", "Ready", Duration::from_secs(50)).await?;
    person.calls("meta.verify_code", 3).await?;
    person.fails(&["rif", "--code", &code], 1, "none is needed").await?;
    person.fails(&["rif", "--call-now"], 1, "none is needed").await?;
    person.ends_well().await
}

/// Texts, a code that comes too late, a budget that is used up: nothing is sent by itself when it is free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_too_late_and_the_next_one() -> Result<()> {
    let limits = json!({"codeRequests": {"perHour": 1}});
    let mut person = Person::start("person-late", 0.02, json!({"method": "Sms"}), limits).await?;
    person
        .says("Meta will text the number when somebody is there to read it: run kubectl clientnumber verify rif --call-now")
        .await?;
    let said = person.works(&["rif", "--call-now"], "").await?;
    ensure!(said.contains("Meta was asked to text the number: hand the code in"), "{said}");
    let (old, sent) = person.hears().await?;
    ensure!(sent["method"] == "SMS" && sent["language"] == "en_US", "{sent}");

    let line = person.reason("CodeRateLimited").await?;
    let first = line.status.as_ref().and_then(|s| s.verification.as_ref()?.requests.first()).context("not counted")?;
    let free = (first.0 + Duration::from_secs(72)).strftime("%Y-%m-%d %H:%M:%S UTC");
    let then = format!("Meta may be asked to text at {free}: then run kubectl clientnumber verify rif --call-now");
    let limit = "1 code was asked for within an hour, which is limits.codeRequests.perHour";
    person.says(&format!("no right code was handed in while it was good; {limit}: {then}")).await?;
    person.fails(&["rif", "--call-now"], 1, &then).await?;
    person.too_late().await?;
    person.works(&["rif", "--code", &old], "").await?;
    person.says(&format!("Meta refused the code that was handed in: it is wrong, or came too late; {then}")).await?;
    person.fails(&["rif", "--call-now"], 1, &then).await?;

    // The hour is over, and the wishes of before with it.
    let again = "no right code was handed in while it was good; Meta will text the number when somebody is there to read it: run kubectl clientnumber verify rif --call-now";
    person.says(again).await?;
    person.looked_at().await?;
    person.calls("meta.request_code", 1).await?;
    person.works(&["rif", "--call-now"], "").await?;
    let (code, _) = person.hears().await?;
    let written = format!("{}-{}\n", &code[..3], &code[3..]);
    person.works(&["rif", "--code", "-"], &written).await?;
    person.ends_well().await
}

/// A code is not lost because Meta can't take it at that moment, nor because work was stopped meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_waits_for_meta_and_for_work_to_go_on() -> Result<()> {
    let mut person = Person::start("person-waits", 0.2, json!({}), json!({})).await?;
    person.works(&["rif", "--call-now"], "").await?;
    let (code, _) = person.hears().await?;
    let world = &person.world;
    let away =
        json!({"operation": "meta.verify_code", "nth": 1, "when": "before", "action": "throttle", "retry_after_s": 1});
    let away = world.sandbox.fault(away).await?;
    super::steps::patch(world, "rif", json!({"suspend": true})).await?;
    person.reason("Suspended").await?;
    person.fails(&["rif", "--code", &code], 1, "resume rif").await?;
    person.fails(&["rif", "--call-now"], 1, "resume rif").await?;
    person.puts("clientnumber.dev/code", "code", code.as_bytes()).await?;
    super::steps::patch(&person.world, "rif", json!({"suspend": false})).await?;
    person.world.sandbox.met(&away, LONG).await?;
    person.ends_well().await
}
