//! A wrapper for candidates' data: prints as `***`, so that a struct which holds it can derive `Debug` without harm.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Personal data of a candidate. `Debug` and `Display` print `***`; serialising writes the value, since the company's
/// database is where it belongs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pii<T>(pub T);

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> Pii<T> {
    /// The value, for the place that may see it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}
