//! The test bed itself: does what all other tests rely on work?

use crate::support::wait::seen;
use crate::support::*;
use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn namespace(name: &str) -> Namespace {
    Namespace {
        metadata: kube::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
        ..Default::default()
    }
}

#[tokio::test]
async fn a_namespace_comes_and_goes() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let namespaces: Api<Namespace> = Api::all(plane.client().await?);
    namespaces.create(&PostParams::default(), &namespace("comes-and-goes")).await?;
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
