//! The words of the domain as types: phone numbers, ids, money, secrets, time. No I/O, no clients.
//!
//! Everything that crosses an edge (HTTP, Kubernetes, MongoDB, a command line) is parsed into these types there and
//! stays typed inside. What must not be seen (codes, PINs, candidates' data) has no readable `Debug`.

pub mod clock;
pub mod ids;
pub mod money;
pub mod phone;
pub mod pii;
pub mod policy;
pub mod secret;

pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use ids::{
    AppId, BusinessId, ClusterId, CompanyId, CustomerReference, NamespacedName, OwnerId, PhoneNumberId, WabaId,
};
pub use money::{Mad, Usd};
pub use phone::{Country, E164, NumberType};
pub use pii::Pii;
pub use policy::PolicyTime;
pub use secret::{OtpCode, Pin};

/// A value from outside that can't be what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {way_out}")]
pub struct Invalid {
    /// What the value should have been, e.g. `phone number`.
    pub what: &'static str,
    /// The value as it came, shortened to 80 characters.
    pub value: String,
    /// What to write instead.
    pub way_out: &'static str,
}

impl Invalid {
    /// Makes the error; `value` is shortened, since it ends up in messages.
    pub fn new(what: &'static str, value: &str, way_out: &'static str) -> Self {
        Self { what, value: value.chars().take(80).collect(), way_out }
    }
}
