//! A wish for a call that can't be granted: it rings no phone later, and the person is told. A code that nobody needs any
//! more: no later line of that name finds it.

use super::super::steps::{delete, patch};
use super::*;
use crate::support::{ApiProxy, ApiRule, Point};

const LATE: &str = "Meta was not asked, since the wish of 2026-10-01 22:00:00 UTC was seen too late and nobody may be there any more: when somebody is, run kubectl clientnumber verify rif --call-now again";

impl Person {
    async fn wishes(&self, at: &str) -> Result<()> {
        let wish = json!({"metadata": {"annotations": {"clientnumber.dev/call-requested-at": at}}});
        self.world.lines().patch("rif", &Default::default(), &kube::api::Patch::Merge(wish)).await?;
        Ok(())
    }
}

/// A wish of yesterday, seen only after work goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_of_long_ago_rings_no_phone() -> Result<()> {
    let mut person = Person::start("wish-late", 1.0, json!({}), json!({"codeRequests": {"perHour": 2}})).await?;
    patch(&person.world, "rif", json!({"suspend": true})).await?;
    person.reason("Suspended").await?;
    person.wishes("2026-10-01T22:00:00Z").await?;
    patch(&person.world, "rif", json!({"suspend": false})).await?;
    let line = person.says(LATE).await?;
    ensure!(stalled(&line), "nobody is told to act");
    person.looked_at().await?;
    person.says(LATE).await?;
    person.calls("meta.request_code", 0).await?;
    let said = person.works(&["rif", "--call-now"], "").await?;
    ensure!(said.contains("Meta was asked to call the number: hand the code in"), "{said}");
    let (code, _) = person.hears().await?;
    person.works(&["rif", "--code", &code], "").await?;
    person.ends_well().await
}

/// Meta's time to wait for another call of the line does not keep the person at the phone waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_waits_for_no_other_call_s_time() -> Result<()> {
    let mut person = Person::start("wish-gate", 1.0, json!({}), json!({})).await?;
    let deleting = json!({"error": {"message": "(#133015) Please try again in 5 minutes", "type": "OAuthException", "code": 133015, "fbtrace_id": "A"}});
    let fault = json!({"operation": "meta.verify_code", "nth": 1, "when": "before", "action": "status", "status": 400, "body": deleting});
    person.world.sandbox.fault(fault).await?;
    let early = person.wrong("000000")?;
    person.works(&["rif", "--code", &early], "").await?;
    let lines = person.world.lines();
    wait::until(LONG, "the line to wait for Meta's time", async || match lines.get("rif").await {
        Ok(line) => {
            let retry = line.status.and_then(|status| status.retry).unwrap_or_default();
            wait::seen(retry.next_retry_at.is_some(), retry.last_error.unwrap_or_default())
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    person.secrets().delete("rif-code", &Default::default()).await?;
    person.works(&["rif", "--call-now"], "").await?;
    let (code, _) = person.hears().await?;
    person.works(&["rif", "--code", &code], "").await?;
    person.ends_well().await
}

/// The plugin says what Meta says, and that wish is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_that_meta_refuses() -> Result<()> {
    let mut person = Person::start("wish-refused", 1.0, json!({}), json!({"codeRequests": {"perHour": 2}})).await?;
    let body = json!({"error": {"message": "(#136024) Request code error", "type": "OAuthException", "code": 136024,
        "error_data": {"details": "Too many codes were asked for"}, "fbtrace_id": "A"}});
    let fault = json!({"operation": "meta.request_code", "nth": 1, "when": "before", "action": "status", "status": 400, "body": body});
    let fault = person.world.sandbox.fault(fault).await?;
    person.fails(&["rif", "--call-now"], 1, "kubectl clientnumber verify rif --call-now").await?;
    ensure!(person.printed.contains("Meta did not call: "), "{}", person.printed);
    person.world.sandbox.met(&fault, LONG).await?;
    person.looked_at().await?;
    person.calls("meta.request_code", 1).await
}

/// The Secret goes before it is recorded that none is needed: whoever dies in between leaves none.
#[tokio::test(flavor = "multi_thread")]
async fn no_code_is_left_by_a_kill_after_meta_accepted_it() -> Result<()> {
    let mut person = Person::start("code-left", 0.2, json!({}), json!({})).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?).await?;
    person.world.controller()?.kill().await?;
    person.world.control(Some(proxy.kubeconfig_path()), None).await?;
    let recorded = ApiRule::put()
        .path_ends("/clientnumbers/rif/status")
        .body(|body| body["status"]["verification"]["verifiedAt"].is_string());
    let held = proxy.hold(recorded, Point::BeforeEffect);
    person.works(&["rif", "--call-now"], "").await?;
    let (code, _) = person.hears().await?;
    person.puts("clientnumber.dev/code", "code", code.as_bytes()).await?;
    held.wait(LONG).await?;
    ensure!(person.secrets().get_opt("rif-code").await?.is_none(), "a kill now would leave the code for ever");
    person.world.controller()?.kill().await?;
    held.release();
    person.world.control(None, None).await?;
    person.ends_well().await
}

/// A line that goes takes a code along that nobody has read; what is not ours is left.
#[tokio::test(flavor = "multi_thread")]
async fn no_code_is_left_by_a_line_that_is_deleted() -> Result<()> {
    for (name, type_, stays) in [("code-deleted", "clientnumber.dev/code", false), ("code-foreign", "Opaque", true)] {
        let mut person = Person::start(name, 0.2, json!({}), json!({})).await?;
        patch(&person.world, "rif", json!({"suspend": true})).await?;
        person.reason("Suspended").await?;
        person.puts(type_, "code", b"314159").await?;
        delete(&person.world, "rif").await?;
        let there = person.secrets().get_opt("rif-code").await?.is_some();
        ensure!(there == stays, "{type_}: {there}");
    }
    Ok(())
}
