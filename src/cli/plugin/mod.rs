//! What a person does to one line: `verify`, `retry`, `replace`, `suspend`, `resume`; and what is kept without one:
//! `retained`. With this binary on the PATH as `kubectl-clientnumber` they are `kubectl clientnumber verify NAME` and so on.
//!
//! They only write what anybody could write with kubectl: a Secret, an annotation, one field. The controller decides.

mod replace;
mod retained;
mod verify;

pub use replace::{ReplaceArgs, replace};
pub use retained::{RetainedArgs, retained};
pub use verify::{VerifyArgs, verify};

use anyhow::{Context, bail};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{Failure, block_on};
use crate::resources::ClientNumber;
use crate::resources::names::ANNOTATION_RETRY;

/// Which line.
#[derive(Debug, clap::Args)]
pub struct Line {
    /// Name of the ClientNumber.
    name: String,
    /// Its namespace. Default: the current context's.
    #[arg(short, long)]
    namespace: Option<String>,
}

/// Lets the line be looked at now, whatever its next retry time is.
pub fn retry(line: Line) -> Result<(), Failure> {
    block_on(async move {
        let (client, namespace) = connect(&line).await?;
        annotate(&client, &namespace, &line.name, ANNOTATION_RETRY).await?;
        println!("{namespace}/{} is looked at now: kubectl get cn {} -n {namespace} -w", line.name, line.name);
        Ok(())
    })
}

/// Sets or clears `spec.suspend`.
pub fn suspend(line: Line, suspend: bool) -> Result<(), Failure> {
    block_on(async move {
        let (client, namespace) = connect(&line).await?;
        patch(&client, &namespace, &line.name, json!({"spec": {"suspend": suspend}})).await?;
        let what = if suspend { "suspended: its route stays as it is" } else { "resumed" };
        println!("{namespace}/{} is {what}", line.name);
        Ok(())
    })
}

async fn kubernetes() -> anyhow::Result<Client> {
    Client::try_default().await.context("no Kubernetes API server is configured: set KUBECONFIG")
}

async fn connect(line: &Line) -> anyhow::Result<(Client, String)> {
    let client = kubernetes().await?;
    let namespace = line.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    Ok((client, namespace))
}

async fn get(client: &Client, namespace: &str, name: &str) -> anyhow::Result<ClientNumber> {
    let api: Api<ClientNumber> = Api::namespaced(client.clone(), namespace);
    api.get_opt(name)
        .await?
        .with_context(|| format!("there is no ClientNumber {name} in namespace {namespace}: see kubectl get cn -A"))
}

/// Sets an annotation to a new value; that value.
async fn annotate(client: &Client, namespace: &str, name: &str, annotation: &str) -> anyhow::Result<String> {
    let now = Timestamp::now().to_string();
    patch(client, namespace, name, json!({"metadata": {"annotations": {annotation: now}}})).await?;
    Ok(now)
}

async fn patch(client: &Client, namespace: &str, name: &str, patch: Value) -> anyhow::Result<()> {
    let api: Api<ClientNumber> = Api::namespaced(client.clone(), namespace);
    match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            bail!("there is no ClientNumber {name} in namespace {namespace}: see kubectl get cn -A")
        }
        other => Ok(other.map(|_| ())?),
    }
}
