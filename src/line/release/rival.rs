//! Whose the number is that a line has which is being deleted. Two lines may have recorded one number: both were applied at
//! once, or a backup brought an object back whose number a successor has taken since. Of them only the one whose route it is
//! takes it out of service; when that one goes, the number is the other's, which goes on with it.
//!
//! Must never let a line touch at Meta or the carrier what another one is in service with, nor leave a number that both of
//! two lines leave to each other: who stays is asked of the API server.

use kube::{Api, ResourceExt};

use super::super::error::StepError;
use super::super::owner::still_ours;
use super::super::pass::Pass;
use super::super::route::{self, Held};
use crate::domain::{E164, NamespacedName};
use crate::resources::ClientNumber;

/// The other line whose the number is; None: this one's.
pub async fn of(pass: &Pass<'_>) -> Result<Option<NamespacedName>, StepError> {
    let Some(number) = pass.number() else { return Ok(None) };
    match route::held(pass).await? {
        Held::Ours => Ok(None),
        // The same object before it was restored; or in another cluster, which has the number now and writes to this store.
        Held::OursBefore => still_ours(pass).await.map(|()| None),
        Held::Anothers(route) if route::object_exists(pass.ctx, &route).await?.unwrap_or(true) => {
            Ok(route.object.parse().ok())
        }
        Held::Anothers(_) | Held::Nobodys => who_stays(pass, &number).await,
    }
}

/// Another line that has recorded the number and stays.
pub async fn who_stays(pass: &Pass<'_>, number: &E164) -> Result<Option<NamespacedName>, StepError> {
    let seen = pass.ctx.lines.state();
    for line in seen.iter().filter(|line| stays_with(line, number, &pass.spec.uid)) {
        let api: Api<ClientNumber> = Api::namespaced(pass.ctx.client.clone(), &line.namespace().unwrap_or_default());
        let live = api.get_opt(&line.name_any()).await?;
        if live.is_some_and(|live| stays_with(&live, number, &pass.spec.uid)) {
            return Ok(Some(crate::controller::context::name_of(&line.metadata)));
        }
    }
    Ok(None)
}

fn stays_with(line: &ClientNumber, number: &E164, uid: &str) -> bool {
    let recorded = line.status.as_ref().and_then(|status| status.phone_number.as_deref());
    line.metadata.uid.as_deref() != Some(uid)
        && line.metadata.deletion_timestamp.is_none()
        && recorded == Some(number.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn who_stays_with_a_number() {
        let number = E164::parse("+212612345678").unwrap();
        type Change = fn(&mut Value);
        let cases: [(&str, Change, bool); 5] = [
            ("another line that has it", |_| (), true),
            ("itself", |o| o["metadata"]["uid"] = json!("u1"), false),
            ("one that goes too", |o| o["metadata"]["deletionTimestamp"] = json!("2026-11-01T10:00:00Z"), false),
            ("one that has another number", |o| o["status"]["phoneNumber"] = json!("+212612345679"), false),
            ("one that only names it", |o| o["status"] = json!({"observedGeneration": 1}), false),
        ];
        for (name, change, expected) in cases {
            let mut object = json!({
                "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
                "metadata": {"name": "rif", "namespace": "clients", "uid": "u2"},
                "spec": {"companyId": "rif", "displayName": "Rif", "portfolioRef": {"name": "main"},
                    "number": {"existing": {"phoneNumber": "+212612345678"}}},
                "status": {"observedGeneration": 1, "conditions": [], "phoneNumber": "+212612345678"},
            });
            change(&mut object);
            let line: ClientNumber = serde_json::from_value(object).unwrap();
            assert_eq!(stays_with(&line, &number, "u1"), expected, "{name}");
        }
    }
}
