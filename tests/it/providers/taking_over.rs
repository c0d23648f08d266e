//! The claim on an owner id, at the carrier: two clusters that take over from the same third at once.

use anyhow::Result;
use clientnumber::domain::{ClusterId, OwnerId};
use clientnumber::portfolio::applications::{Claimed, ensure, lost_to};
use clientnumber::resources::Portfolio;
use serde_json::json;

fn portfolio(from: &str) -> Result<Portfolio> {
    let secret = |name| json!({"name": name, "key": "k"});
    Ok(serde_json::from_value(json!({
        "apiVersion": "clientnumber.dev/v1alpha1", "kind": "Portfolio", "metadata": {"name": "main"},
        "spec": {"ownerId": "prod", "takeOverFrom": from, "telnyx": {"apiKeySecretRef": secret("t")},
            "meta": {"businessId": "1", "wabaId": "2", "appId": "3", "webhookUrl": "https://wa.example.ma/webhook",
                "accessTokenSecretRef": secret("a"), "appSecretSecretRef": secret("s")}},
    }))?)
}

/// Nobody acts on a take-over that was not looked at again: the other one's names may be written a moment later.
#[tokio::test]
async fn who_takes_an_owner_id_over_looks_again() -> Result<()> {
    let providers = super::start("taking-over").await?;
    let (telnyx, owner) = (&providers.telnyx, OwnerId::parse("prod")?);
    let claim = async |cluster: &str, from: &str| {
        anyhow::Ok(ensure(&portfolio(from)?, telnyx, &owner, &ClusterId::parse(cluster)?).await?)
    };
    let lost = async |cluster: &str, from: &str| {
        anyhow::Ok(lost_to(&portfolio(from)?, telnyx, &owner, &ClusterId::parse(cluster)?).await?)
    };
    assert!(matches!(claim("a", "").await?, Claimed::Unconfirmed));
    assert!(matches!(claim("a", "").await?, Claimed::Ours(_)));

    assert!(matches!(claim("b", "a").await?, Claimed::Unconfirmed), "acts on a take-over after one look");
    assert_eq!(lost("a", "").await?.as_deref(), Some("b"));
    // The third had read the first one's names, and writes its own last.
    for application in telnyx.texml_applications().await? {
        let url = application.voice_url.unwrap_or_default();
        telnyx.update_texml_application(&application.id, &application.name.replace("/b/", "/c/"), &url).await?;
    }
    assert!(matches!(claim("b", "a").await?, Claimed::InUse(by) if by == "c"));
    assert_eq!(lost("b", "a").await?.as_deref(), Some("c"));
    assert!(matches!(claim("c", "a").await?, Claimed::Ours(_)));
    assert_eq!(lost("c", "a").await?, None);
    Ok(())
}
