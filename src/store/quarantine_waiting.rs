//! What in quarantine may go to its company by itself: by its reason, or because the secret that signed it speaks for its
//! account by now.

use mongodb::bson::{Document, doc};

use crate::domain::{PhoneNumberId, WabaId};

use super::error::StoreError;
use super::quarantine::{Quarantine, QuarantineReason};
use super::signer::{Accounts, Signer};

/// The reasons that pass by themselves.
pub(super) fn by_itself() -> Vec<&'static str> {
    QuarantineReason::ALL
        .into_iter()
        .filter(|reason| reason.replays_by_itself())
        .map(QuarantineReason::as_str)
        .collect()
}

/// With these secrets and accounts. What was signed by any other stays.
fn waiting(speakers: &[(Signer, Accounts)]) -> Document {
    let foreign = |(signer, accounts): &(Signer, Accounts)| {
        let mut of = doc! { "reason": QuarantineReason::ForeignAccount.as_str(), "signer": signer.as_str() };
        if let Accounts::Only(accounts) = accounts {
            of.insert("entry_id", doc! { "$in": accounts.iter().map(WabaId::as_str).collect::<Vec<_>>() });
        }
        of
    };
    let mut any = vec![doc! { "reason": { "$in": by_itself() } }];
    any.extend(speakers.iter().map(foreign));
    doc! { "$or": any }
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the quarantine", error)
}

impl Quarantine {
    /// The lines with changes that may go to their company by themselves, while these secrets speak for these accounts.
    pub async fn waiting_lines(&self, speakers: &[(Signer, Accounts)]) -> Result<Vec<PhoneNumberId>, StoreError> {
        let ids = self.records().distinct("phone_number_id", waiting(speakers)).await.map_err(driver)?;
        Ok(ids.iter().filter_map(|id| id.as_str()?.parse().ok()).collect())
    }

    /// The ids of a line's changes that may go by themselves, in the order in which they came; without a line, of those that
    /// name none.
    pub async fn waiting_of(
        &self,
        line: Option<&PhoneNumberId>,
        speakers: &[(Signer, Accounts)],
    ) -> Result<Vec<String>, StoreError> {
        let mut filter = waiting(speakers);
        filter.insert("phone_number_id", line.map(PhoneNumberId::as_str));
        self.ids(filter).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go() {
        assert_eq!(by_itself(), ["unknown_number", "disabled", "not_held", "not_writable"]);
        let (one, any) = (Signer::of(&"one".into()), Signer::of(&"any".into()));
        let only = Accounts::only(WabaId::parse("104").unwrap());
        let filter = waiting(&[(one.clone(), only), (any.clone(), Accounts::Any)]);
        let of = |signer: &Signer| doc! { "reason": "foreign_account", "signer": signer.as_str() };
        let mut one = of(&one);
        one.insert("entry_id", doc! { "$in": ["104"] });
        assert_eq!(filter, doc! { "$or": [{ "reason": { "$in": by_itself() } }, one, of(&any)] });
    }
}
