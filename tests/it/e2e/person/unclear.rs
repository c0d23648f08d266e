//! What a person handed in when Meta's answers are unclear.

use anyhow::Result;
use serde_json::json;

use super::{LONG, Person, Seen, wait};

/// Meta fails at each code: it is handed in twice, looked up each time, and then the person is told to do it again; the
/// next time Meta answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_s_code_is_handed_in_twice_at_most() -> Result<()> {
    let mut person = Person::start("person-unclear", 0.1, json!({}), json!({})).await?;
    person.works(&["rif", "--call-now"], "").await?;
    let (code, _) = person.hears().await?;
    let fails =
        json!({"operation": "meta.verify_code", "when": "before", "action": "status", "status": 500, "count": 2});
    person.world.sandbox.fault(fails).await?;
    person.works(&["rif", "--code", &code], "").await?;
    person.no_secret().await?;
    person.calls("meta.verify_code", 2).await?;
    person.looked_at().await?;
    person.calls("meta.verify_code", 2).await?;
    let words = "Meta did not say whether it takes the code that was handed in, and does not show the number as verified: hand it in once more with kubectl clientnumber verify rif --code 123456";
    person.says(words).await?;
    person.looked_at().await?;
    person.says(words).await?;
    person.works(&["rif", "--code", &code], "").await?;
    person.ends_well().await
}

/// Meta's list of numbers is held back, perhaps for an hour; the code that a person heard is good for minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_s_code_does_not_wait_for_meta_s_list() -> Result<()> {
    let mut person = Person::start("person-list", 0.05, json!({}), json!({})).await?;
    person.works(&["rif", "--call-now"], "").await?;
    let (code, _) = person.hears().await?;
    let away = json!({"operation": "meta.list_numbers", "when": "before", "action": "status", "status": 503, "count": 100_000});
    let away = person.world.sandbox.fault(away).await?;
    // Until no older list is good enough any more.
    wait::until(LONG, "the list to be refused again and again", async || {
        match person.world.sandbox.get(&format!("/faults/{away}")).await {
            Ok(fault) => wait::seen(fault["hits"].as_u64() >= Some(3), fault),
            Err(error) => Seen::Never(error.to_string()),
        }
    })
    .await?;
    person.reason("CodeNeeded").await?;
    person.works(&["rif", "--code", &code], "").await?;
    person.no_secret().await?;
    person.calls("meta.verify_code", 1).await?;
    person.world.sandbox.delete(&format!("/faults/{away}")).await?;
    person.ends_well().await
}
