//! Whether a number at the carrier is free for us: active, its calls not led elsewhere, connected to nothing of somebody
//! else's. Asked when a number is taken and again before it is armed. Pure; what is said of it is the steps'.

use crate::portfolio::accounts::Applications;
use crate::providers::telnyx::{Diversion, OwnedNumber, OwnedStatus};

/// What keeps a number from being ours to use as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherUse {
    /// Telnyx's status of it.
    NotActive(String),
    /// Its calls go elsewhere.
    Diverted(Diversion),
    /// To another application than ours.
    Connected(String),
}

/// The first of them. `settings`: what its voice settings say, where they were read.
pub fn other_use(owned: &OwnedNumber, settings: Option<Diversion>, ours: &Applications) -> Option<OtherUse> {
    if owned.status != Some(OwnedStatus::Active) {
        let status = owned.status.as_ref().map_or("unknown".to_owned(), ToString::to_string);
        return Some(OtherUse::NotActive(status));
    }
    let forwards = (owned.call_forwarding_enabled == Some(true)).then_some(Diversion::Forwarded);
    if let Some(diversion) = forwards.or(settings) {
        return Some(OtherUse::Diverted(diversion));
    }
    let foreign = |id: &&str| !id.is_empty() && *id != ours.capture && *id != ours.reject;
    owned.connection_id.as_deref().filter(foreign).map(|id| OtherUse::Connected(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn table() {
        let ours = Applications { capture: "11".into(), reject: "22".into() };
        let owned = |status: &str, connection: Option<&str>, forwarding: bool| -> OwnedNumber {
            serde_json::from_value(json!({"id": "7", "phone_number": "+212612345678", "status": status,
                "connection_id": connection, "call_forwarding_enabled": forwarding}))
            .unwrap()
        };
        let (forwarded, screened) = (Some(Diversion::Forwarded), Some(Diversion::Screened));
        for (name, number, settings, expected) in [
            ("as it is bought", owned("active", None, false), None, None),
            ("connected to nothing", owned("active", Some(""), false), None, None),
            ("ours, rejecting", owned("active", Some("22"), false), None, None),
            ("ours, recording after a crash", owned("active", Some("11"), false), None, None),
            ("another application", owned("active", Some("33"), false), None, Some(OtherUse::Connected("33".into()))),
            ("forwarded", owned("active", None, true), None, Some(OtherUse::Diverted(Diversion::Forwarded))),
            (
                "by its settings",
                owned("active", None, false),
                forwarded,
                Some(OtherUse::Diverted(Diversion::Forwarded)),
            ),
            ("screened", owned("active", Some("22"), false), screened, Some(OtherUse::Diverted(Diversion::Screened))),
            ("not active", owned("port-pending", None, true), None, Some(OtherUse::NotActive("port-pending".into()))),
        ] {
            assert_eq!(other_use(&number, settings, &ours), expected, "{name}");
        }
    }
}
