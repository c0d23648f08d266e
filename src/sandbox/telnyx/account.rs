//! The account's money: what is left after what the ledger says was spent.

use serde_json::json;

use super::data;
use crate::domain::Usd;
use crate::sandbox::world::{Answer, Ctx, World};

/// What is left: the configured balance minus upfront prices and the first month of each number bought, and of those that
/// open orders are about to bring: two orders can't spend the same money.
pub fn available(world: &World) -> Usd {
    let months = world.ledger.entries().iter().filter(|entry| entry.kind == crate::sandbox::ledger::Kind::RentStart);
    let rent = months.fold(rust_decimal::Decimal::ZERO, |sum, entry| sum + entry.usd.0);
    let open = world.telnyx.orders.iter().filter(|order| order.is_open()).flat_map(|order| &order.items);
    let ordered = open
        .fold(rust_decimal::Decimal::ZERO, |sum, item| sum + item.offer.price.upfront.0 + item.offer.price.monthly.0);
    Usd(world.settings.telnyx.balance.0 - world.ledger.upfront() - rent - ordered)
}

/// GET /balance
pub fn balance(world: &mut World, _: &Ctx<'_>) -> Answer {
    let left = format!("{:.2}", available(world).0);
    data(
        200,
        &json!({"record_type": "balance", "balance": left, "pending": "0.00", "credit_limit": "0.00",
                "available_credit": left, "currency": "USD"}),
    )
}
