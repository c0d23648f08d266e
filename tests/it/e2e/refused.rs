//! Meta refuses to send a code, and the controller is killed before the number rejects calls again: it does so all the same,
//! long before the next code may be asked for.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::onboarding::wait_portfolio;
use super::steps::{LONG, answered_by, number_of, world_at};
use crate::support::{ApiProxy, ApiRule, ControlPlane, Point};

#[tokio::test(flavor = "multi_thread")]
async fn a_number_rejects_calls_again_when_the_controller_dies_after_a_refusal() -> Result<()> {
    // The gap is twelve minutes, out of reach.
    let mut world = world_at("refused", 0.2).await?;
    let api = ApiProxy::start(ControlPlane::shared().await?).await?;
    world.control(Some(api.kubeconfig_path()), None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    let body = json!({"error": {"message": "Request code error", "type": "OAuthException", "code": 136_024,
        "error_subcode": 2_388_367, "fbtrace_id": "A"}});
    let refuse =
        json!({"operation": "meta.request_code", "when": "before", "action": "status", "status": 400, "body": body});
    world.sandbox.fault(refuse).await?;
    let refused = ApiRule::put()
        .path_ends("/clientnumbers/atlas/status")
        .body(|body| body["status"]["verification"]["notBefore"].is_string());
    let held = api.hold(refused, Point::AfterEffect);
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    held.wait(LONG).await?;
    let controller = world.controller()?;
    controller.kill().await?;
    held.cut();
    controller.restart().await?;
    let line = world.lines().get("atlas").await?;
    let number = number_of(&line)?;
    let verification = line.status.as_ref().and_then(|s| s.verification.clone()).context("no verification")?;
    ensure!(verification.armed_at.is_some(), "{} was killed too late", line.name_any());
    answered_by(&world, &number, "/reject", LONG).await?;
    world.wait_line("atlas", "False", "CodeRateLimited", LONG).await?;
    let codes = world.sandbox.calls("meta.request_code").await?;
    ensure!(codes == 1, "{codes} codes were asked for");
    Ok(())
}
