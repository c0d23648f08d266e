//! What a person does to one line: `verify`, `retry`, `suspend`, `resume`. With this binary on the PATH as
//! `kubectl-clientnumber` they are `kubectl clientnumber verify NAME` and so on.
//!
//! They only write what anybody could write with kubectl: a Secret, an annotation, one field. The controller decides.
//! A code is refused here if it can't be one, and is never printed.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{Failure, block_on};
use crate::domain::OtpCode;
use crate::resources::ClientNumber;
use crate::resources::client_number::Carrier;
use crate::resources::names::{ANNOTATION_CALL, ANNOTATION_RETRY, SECRET_TYPE_CODE, code_secret};

/// Which line.
#[derive(Debug, clap::Args)]
pub struct Line {
    /// Name of the ClientNumber.
    name: String,
    /// Its namespace. Default: the current context's.
    #[arg(short, long)]
    namespace: Option<String>,
}

/// Arguments of `verify`.
#[derive(clap::Args)]
#[group(id = "how", required = true, multiple = false, args = ["code", "call_now"])]
pub struct VerifyArgs {
    #[command(flatten)]
    line: Line,
    /// Hand in the six digits that were heard or read; - reads them from standard input, which keeps them out of the
    /// shell's history.
    #[arg(long)]
    code: Option<String>,
    /// Let Meta call or text the number now (carrier External): be at the phone.
    #[arg(long)]
    call_now: bool,
}

/// Hands a code in, or lets Meta call.
pub fn verify(args: VerifyArgs) -> Result<(), Failure> {
    let code = match args.code.as_deref() {
        None => None,
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().take(64).read_to_string(&mut text).map_err(Failure::failed)?;
            Some(OtpCode::parse(&text).map_err(|e| Failure::Usage(format!("--code: {e}")))?)
        }
        Some(text) => Some(OtpCode::parse(text).map_err(|e| Failure::Usage(format!("--code: {e}")))?),
    };
    block_on(async move {
        let (client, namespace) = connect(&args.line).await?;
        let line = get(&client, &namespace, &args.line.name).await?;
        match code {
            Some(code) => hand_in(&client, &namespace, &args.line.name, &code).await,
            None => call_now(&client, &namespace, &line).await,
        }
    })
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

async fn connect(line: &Line) -> anyhow::Result<(Client, String)> {
    let client = Client::try_default().await.context("no Kubernetes API server is configured: set KUBECONFIG")?;
    let namespace = line.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    Ok((client, namespace))
}

async fn get(client: &Client, namespace: &str, name: &str) -> anyhow::Result<ClientNumber> {
    let api: Api<ClientNumber> = Api::namespaced(client.clone(), namespace);
    api.get_opt(name)
        .await?
        .with_context(|| format!("there is no ClientNumber {name} in namespace {namespace}: see kubectl get cn -A"))
}

async fn call_now(client: &Client, namespace: &str, line: &ClientNumber) -> anyhow::Result<()> {
    let name = line.metadata.name.as_deref().unwrap_or_default();
    let external = line.spec.number.existing.as_ref().is_some_and(|e| e.carrier == Carrier::External);
    if !external {
        bail!("{name} has a number at Telnyx, whose code is caught by itself: --call-now is for carrier External");
    }
    annotate(client, namespace, name, ANNOTATION_CALL).await?;
    println!(
        "Meta is asked to call or text {name}'s number; then: kubectl clientnumber verify {name} -n {namespace} --code -"
    );
    Ok(())
}

/// The code goes into a Secret that the controller reads once and deletes; then the line is looked at.
async fn hand_in(client: &Client, namespace: &str, name: &str, code: &OtpCode) -> anyhow::Result<()> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret_name = code_secret(name);
    let secret = Secret {
        metadata: ObjectMeta { name: Some(secret_name.clone()), ..ObjectMeta::default() },
        type_: Some(SECRET_TYPE_CODE.into()),
        string_data: Some(BTreeMap::from([("code".to_owned(), code.expose().to_owned())])),
        ..Secret::default()
    };
    if let Some(there) = api.get_opt(&secret_name).await? {
        if there.type_.as_deref() != Some(SECRET_TYPE_CODE) {
            bail!("a Secret {secret_name} of another type is in the way: rename or delete it");
        }
        // An older code that was not read yet: the newer one counts.
        api.delete(&secret_name, &kube::api::DeleteParams::default()).await?;
    }
    api.create(&PostParams::default(), &secret).await?;
    annotate(client, namespace, name, ANNOTATION_RETRY).await?;
    println!("the code is handed in: kubectl get cn {name} -n {namespace} -w");
    Ok(())
}

async fn annotate(client: &Client, namespace: &str, name: &str, annotation: &str) -> anyhow::Result<()> {
    let now = Timestamp::now().to_string();
    patch(client, namespace, name, json!({"metadata": {"annotations": {annotation: now}}})).await
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
