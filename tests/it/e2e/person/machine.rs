//! A person's code beside the machine that listens at Telnyx: what it came to stands until something new happens, and is
//! not overwritten by what the machine does.

use super::super::steps::number_of;
use super::*;

const AGAIN: &str = "or hand a code in with kubectl clientnumber verify rif --code 123456";

/// A line at Telnyx whose recordings nobody can read.
async fn listens(name: &str, scale: f64) -> Result<Person> {
    let mut person = Person::prepare(name, scale, json!({"codeRequests": {"perHour": 1}})).await?;
    // What is asked for is good for longer than the controller takes it to: also while the next attempt is waited for.
    let settings =
        json!({"voice": {"transcription": "empty", "speech_to_text": "empty"}, "meta": {"code_life_s": 600}});
    person.world.sandbox.post("/settings", settings).await?;
    person.world.apply(person.world.line("rif", "rif-foods", |_| ())).await?;
    let line = person.reason("CodeRequested").await?;
    person.number = number_of(&line)?;
    Ok(person)
}

/// When the hour of this world is over that began with the only request.
fn next(line: &ClientNumber, scale: f64) -> Result<String> {
    let verification = line.status.as_ref().and_then(|s| s.verification.as_ref()).context("no verification")?;
    let asked = verification.requests.last().context("no request")?.0;
    Ok((asked + Duration::from_secs_f64(3600.0 * scale)).strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

impl Person {
    /// Says exactly this, and still does after the machine has looked again.
    async fn goes_on_saying(&mut self, words: &str) -> Result<()> {
        self.says(words).await?;
        self.no_secret().await?;
        self.looked_at().await?;
        let line = self.world.lines().get("rif").await?;
        ensure!(message_of(&line) == words, "{}\ninstead of\n{words}", message_of(&line));
        ensure!(!stalled(&line), "the machine needs nobody");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_listens() -> Result<()> {
    let scale = 0.2;
    let mut person = listens("person-listens", scale).await?;
    let (code, _) = person.hears().await?;
    let next = next(&person.world.lines().get("rif").await?, scale)?;
    let wrong = person.wrong(&code)?;
    person.works(&["rif", "--code", &wrong], "").await?;
    let refused = "Meta refused the code, which is not handed in again; the next attempt follows by itself at";
    person.goes_on_saying(&format!("{refused} {next}, {AGAIN}")).await?;
    person.puts("clientnumber.dev/code", "code", b"3141592").await?;
    person
        .goes_on_saying("the Secret rif-code does not hold six digits and was deleted: hand the code in with kubectl clientnumber verify rif --code 123456")
        .await?;
    person.calls("meta.verify_code", 1).await?;
    person.works(&["rif", "--code", &code], "").await?;
    person.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_next_attempt_is_waited_for() -> Result<()> {
    let scale = 0.05;
    let mut person = listens("person-held", scale).await?;
    let (code, _) = person.hears().await?;
    let line = person.reason("CodeRateLimited").await?;
    let next = next(&line, scale)?;
    let wrong = person.wrong(&code)?;
    person.works(&["rif", "--code", &wrong], "").await?;
    let refused = "Meta refused the code that was handed in: it is wrong, or came too late; the next attempt follows by itself at";
    person.goes_on_saying(&format!("{refused} {next}, {AGAIN}")).await?;
    person.puts("clientnumber.dev/code", "otp", code.as_bytes()).await?;
    person
        .goes_on_saying("the Secret rif-code has no key code and was deleted: hand the code in with kubectl clientnumber verify rif --code 123456")
        .await?;
    person.calls("meta.request_code", 1).await?;
    person.works(&["rif", "--code", &code], "").await?;
    person.ends_well().await
}
