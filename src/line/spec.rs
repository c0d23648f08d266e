//! A ClientNumber's spec as domain types: the one place where its text is parsed. Everything after it is typed.
//!
//! CEL refuses most of what is refused here; an object that was stored under older rules must still not bring the
//! controller down, so each error becomes the condition InvalidSpec.

use kube::ResourceExt;

use crate::domain::{CompanyId, Country, CustomerReference, E164, Invalid, NamespacedName, NumberType, OwnerId};
use crate::resources::ClientNumber;
use crate::resources::client_number::{Carrier, CodeMethod, DeletionPolicy};

/// The only language that spoken codes are read in.
const MACHINE_LANGUAGE: &str = "en_US";

/// Where the number comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Bought at Telnyx.
    Acquire {
        /// Country.
        country: Country,
        /// Kinds, in order of preference.
        types: Vec<NumberType>,
    },
    /// In the Telnyx account already.
    ExistingTelnyx(E164),
    /// Another operator's; a person hands the code in.
    External(E164),
}

impl Source {
    /// The number, where the spec names it.
    pub fn number(&self) -> Option<&E164> {
        match self {
            Self::Acquire { .. } => None,
            Self::ExistingTelnyx(number) | Self::External(number) => Some(number),
        }
    }

    /// Whether the number is in the Telnyx account, and so the code can be caught.
    pub fn at_carrier(&self) -> bool {
        !matches!(self, Self::External(_))
    }
}

/// What the line is to be.
#[derive(Debug, Clone)]
pub struct LineSpec {
    /// The object.
    pub name: NamespacedName,
    /// Its uid.
    pub uid: String,
    /// The company.
    pub company: CompanyId,
    /// The name that candidates see.
    pub display_name: String,
    /// Its Portfolio.
    pub portfolio: NamespacedName,
    /// Where the number comes from.
    pub source: Source,
    /// How the code is delivered.
    pub method: CodeMethod,
    /// Language of the code's delivery.
    pub language: String,
    /// What happens to the number at the end.
    pub deletion_policy: DeletionPolicy,
    /// Days that messages are kept.
    pub retention_days: i64,
}

impl LineSpec {
    /// Parses the spec.
    pub fn of(line: &ClientNumber) -> Result<Self, Invalid> {
        let spec = &line.spec;
        let namespace = line.namespace().unwrap_or_default();
        let source = match (&spec.number.acquire, &spec.number.existing) {
            (Some(acquire), None) => {
                Source::Acquire { country: Country::parse(&acquire.country)?, types: acquire.types.clone() }
            }
            (None, Some(existing)) => {
                let number = E164::parse(&existing.phone_number)?;
                match existing.carrier {
                    Carrier::Telnyx => Source::ExistingTelnyx(number),
                    Carrier::External => Source::External(number),
                }
            }
            _ => {
                return Err(Invalid::new("spec.number", "", "write exactly one of acquire and existing"));
            }
        };
        // The machine hears calls and reads English; what a rule of the CRD refuses may have been stored before that rule.
        let (method, language) = if source.at_carrier() {
            (CodeMethod::Voice, MACHINE_LANGUAGE.to_owned())
        } else {
            (spec.verification.method, spec.verification.language.clone())
        };
        Ok(Self {
            portfolio: NamespacedName::new(
                spec.portfolio_ref.namespace.clone().unwrap_or_else(|| namespace.clone()),
                spec.portfolio_ref.name.clone(),
            ),
            name: NamespacedName::new(namespace, line.name_any()),
            uid: line.uid().unwrap_or_default(),
            company: CompanyId::parse(spec.company_id.clone())?,
            display_name: spec.display_name.clone(),
            source,
            method,
            language,
            deletion_policy: spec.deletion_policy,
            retention_days: spec.retention_days.into(),
        })
    }

    /// What stands on its orders and its number at the carrier.
    pub fn reference(&self, owner: &OwnerId) -> CustomerReference {
        CustomerReference::new(owner.clone(), self.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_machine_is_spoken_to_in_english_and_a_person_as_they_wish() {
        for (carrier, method, language) in
            [("Telnyx", CodeMethod::Voice, "en_US"), ("External", CodeMethod::Sms, "fr_FR")]
        {
            let line: ClientNumber = serde_json::from_value(json!({
                "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
                "metadata": {"name": "rif", "namespace": "clients"},
                "spec": {
                    "companyId": "rif", "displayName": "Rif", "portfolioRef": {"name": "main"},
                    "number": {"existing": {"phoneNumber": "+212661000001", "carrier": carrier}},
                    "verification": {"method": "Sms", "language": "fr_FR"},
                },
            }))
            .unwrap();
            let spec = LineSpec::of(&line).unwrap();
            assert_eq!((spec.method, spec.language.as_str()), (method, language), "{carrier}");
        }
    }
}
