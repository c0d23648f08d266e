//! The end of a line's PIN: its Secret outlives the object and goes only with the number. `register` makes it.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;

use super::error::StepError;
use super::pass::Pass;
use crate::domain::E164;
use crate::resources::names::{SECRET_TYPE_PIN, pin_secret};

/// Deletes the Secret with the number's PIN. One of another type is somebody else's.
pub async fn delete(pass: &Pass<'_>, number: &E164) -> Result<(), StepError> {
    let api: Api<Secret> = Api::namespaced(pass.ctx.client.clone(), &pass.spec.portfolio.namespace);
    let name = pin_secret(number.digits());
    match api.get_opt(&name).await? {
        Some(secret) if secret.type_.as_deref() == Some(SECRET_TYPE_PIN) => {
            match api.delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                other => other.map(|_| ()).map_err(StepError::Kube),
            }
        }
        _ => Ok(()),
    }
}
