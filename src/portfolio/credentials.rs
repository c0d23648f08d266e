//! Reading the Secrets that a Portfolio names: those and no others, in its own namespace.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::SecretString;

use super::accounts::Credentials;
use super::operator::TranscriberToken;
use crate::resources::Portfolio;
use crate::resources::portfolio::SecretKeyRef;

/// Why the Secrets can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Missing or empty.
    #[error("the Secret {name} in namespace {namespace} has no usable key {key}: create it (field {field})")]
    Missing {
        /// Namespace.
        namespace: String,
        /// Secret.
        name: String,
        /// Key.
        key: String,
        /// The Portfolio's field that names it.
        field: &'static str,
    },
    /// Kubernetes.
    #[error("the Secrets can't be read: {0}")]
    Kube(#[from] kube::Error),
}

/// Reads all that it names.
pub async fn read(client: &kube::Client, portfolio: &Portfolio) -> Result<Credentials, CredentialError> {
    let namespace = portfolio.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let spec = &portfolio.spec;
    Ok(Credentials {
        telnyx_key: one(&api, &namespace, &spec.telnyx.api_key_secret_ref, "telnyx.apiKeySecretRef").await?,
        access_token: one(&api, &namespace, &spec.meta.access_token_secret_ref, "meta.accessTokenSecretRef").await?,
        app_secret: one(&api, &namespace, &spec.meta.app_secret_secret_ref, "meta.appSecretSecretRef").await?,
        transcriber_token: transcriber_token(&api, &namespace, portfolio).await?,
    })
}

/// The token of the operator's transcriber. It is asked last and for some codes only: without its token all lines go on,
/// and whoever would ask it says what is missing.
async fn transcriber_token(
    api: &Api<Secret>,
    namespace: &str,
    portfolio: &Portfolio,
) -> Result<TranscriberToken, CredentialError> {
    let transcriber = portfolio.spec.telnyx.transcriber.as_ref();
    let Some(reference) = transcriber.and_then(|t| t.token_secret_ref.as_ref()) else {
        return Ok(TranscriberToken::None);
    };
    match one(api, namespace, reference, "telnyx.transcriber.tokenSecretRef").await {
        Ok(token) => Ok(TranscriberToken::Token(token)),
        Err(CredentialError::Missing { namespace, name, key, .. }) => {
            Ok(TranscriberToken::Missing(format!("the Secret {name} in namespace {namespace} has no usable key {key}")))
        }
        Err(error) => Err(error),
    }
}

async fn one(
    api: &Api<Secret>,
    namespace: &str,
    reference: &SecretKeyRef,
    field: &'static str,
) -> Result<SecretString, CredentialError> {
    let secret = api.get_opt(&reference.name).await?;
    secret
        .and_then(|s| s.data)
        .and_then(|mut data| data.remove(&reference.key))
        .and_then(|bytes| String::from_utf8(bytes.0).ok())
        // An editor's newline at the end is not part of a key.
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .map(SecretString::from)
        .ok_or_else(|| CredentialError::Missing {
            namespace: namespace.to_owned(),
            name: reference.name.clone(),
            key: reference.key.clone(),
            field,
        })
}
