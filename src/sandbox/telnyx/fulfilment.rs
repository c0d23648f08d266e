//! What becomes of an accepted order: success or failure some time later, by itself or by hand.
//!
//! An order that needs documents stays pending until they are there. The ledger is written when an order takes effect,
//! not when it is accepted; the number is listed some time after that.

use jiff::Timestamp;

use super::numbers::Number;
use super::orders::Order;
use crate::sandbox::delays;
use crate::sandbox::ledger;
use crate::sandbox::world::World;

/// When an order of this number that is accepted now takes effect.
pub fn due(world: &mut World, now: Timestamp, number: &str) -> Timestamp {
    let set = world.settings.telnyx.order_delay_ms;
    world.later_of(now, set, delays::ORDER, number)
}

/// Lets orders whose time has come take effect.
pub fn advance(world: &mut World, now: Timestamp) {
    let result = world.settings.telnyx.order_result.clone();
    for place in 0..world.telnyx.orders.len() {
        let order = &mut world.telnyx.orders[place];
        if order.is_open() && order.deadline.is_some_and(|deadline| deadline <= now) {
            order.status = "cancelled".to_owned();
            order.updated = now;
            continue;
        }
        if result == "pending" || !order.is_open() || order.due.is_none_or(|due| due > now) {
            continue;
        }
        order.status.clone_from(&result);
        order.updated = now;
        if result == "success" {
            let order = order.clone();
            deliver(world, &order, now);
        }
    }
}

/// Decides a pending order by hand, as Telnyx's staff would.
pub fn decide(world: &mut World, id: &str, status: &str, now: Timestamp) -> bool {
    let Some(order) = world.telnyx.orders.iter_mut().find(|order| order.id == id && order.is_open()) else {
        return false;
    };
    order.status = status.to_owned();
    order.updated = now;
    order.met |= status == "success";
    if status == "success" {
        let order = order.clone();
        deliver(world, &order, now);
    }
    true
}

fn deliver(world: &mut World, order: &Order, now: Timestamp) {
    for item in &order.items {
        let lag = world.settings.telnyx.list_lag_ms;
        let visible = world.later_of(now, lag, delays::NUMBER_LIST, &item.e164);
        let reference = order.reference.clone().filter(|_| world.settings.telnyx.copy_reference);
        let id = world.numeric_of(19, "number", &item.e164);
        let price = item.offer.price;
        world.telnyx.numbers.push(Number {
            connection: order.connection.clone(),
            reference,
            ..Number::new(id, &item.e164, &item.offer, now, visible)
        });
        for (kind, usd) in [(ledger::Kind::Order, price.upfront), (ledger::Kind::RentStart, price.monthly)] {
            world.ledger.enter(ledger::Entry {
                n: 0,
                time: now,
                kind,
                phone_number: item.e164.clone(),
                customer_reference: order.reference.clone(),
                order_id: Some(order.id.clone()),
                usd,
            });
        }
    }
}
