//! Everything that costs money, in the order in which it took effect: what "bought exactly once" is proven by.
//!
//! Only effects are entered, never attempts: an order that was refused or is pending is not here.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::domain::Usd;

/// Why money is spent, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number order took effect: the upfront price.
    Order,
    /// A number's monthly rent begins.
    RentStart,
    /// A number's monthly rent ends.
    RentStop,
}

/// One entry.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Counts from 1.
    pub n: u64,
    /// When it took effect.
    pub time: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// The number in E.164.
    pub phone_number: String,
    /// The order's customer_reference; null for what was bought by hand.
    pub customer_reference: Option<String>,
    /// The order; null for what was bought by hand.
    pub order_id: Option<String>,
    /// Upfront price for `order`, price a month for the others, USD.
    pub usd: Usd,
}

/// The entries.
#[derive(Default)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// Enters one effect.
    pub fn enter(&mut self, mut entry: Entry) {
        entry.n = self.entries.len() as u64 + 1;
        self.entries.push(entry);
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is paid a month now.
    pub fn monthly(&self) -> Decimal {
        self.entries.iter().fold(Decimal::ZERO, |sum, entry| match entry.kind {
            Kind::Order => sum,
            Kind::RentStart => sum + entry.usd.0,
            Kind::RentStop => sum - entry.usd.0,
        })
    }

    /// What was paid upfront so far.
    pub fn upfront(&self) -> Decimal {
        self.entries.iter().filter(|entry| entry.kind == Kind::Order).map(|entry| entry.usd.0).sum()
    }
}
