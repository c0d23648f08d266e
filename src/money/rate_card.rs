//! A Portfolio's rate cards, parsed: which one holds on a day, and what it says.
//!
//! Decides the card of a day: validFrom inclusive, validTo exclusive, days of the WABA's time zone, which the caller
//! turns an instant into. A day without a card has no prices: that is "unknown", never 0. The API server refuses most
//! bad cards already (CEL); what is stored from before a rule existed is found here and named.

use jiff::civil::Date;
use rust_decimal::Decimal;

use crate::domain::Usd;
use crate::resources::rate_card::{MessageCategory, MessagePrice, RateCard};

/// A rate card that can't be used: which one, which field, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// A field that doesn't hold what it should.
    #[error("rateCards (validFrom {card}): {field} {value:?} is not valid: {way_out}")]
    Field {
        /// validFrom of the card.
        card: String,
        /// Path of the field in the card, for example `rentUsd.number`.
        field: String,
        /// The value, shortened to 80 characters.
        value: String,
        /// What to write instead.
        way_out: &'static str,
    },
    /// Two cards hold on the same day.
    #[error(
        "rateCards (validFrom {first}) and rateCards (validFrom {second}) both hold on {day}: end the first with validTo {second}"
    )]
    Overlap {
        /// validFrom of the earlier card.
        first: Date,
        /// validFrom of the later card.
        second: Date,
        /// The day that was asked for.
        day: Date,
    },
}

const DATE: &str = "write a day as YYYY-MM-DD, for example \"2026-10-01\"";
const AMOUNT: &str = "write a plain decimal as a string, for example \"1.10\"";
const ABOVE_0: &str = "write a decimal above 0 as a string, for example \"10.5\"";

/// A card in force, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// validFrom of the card, as the Portfolio writes it: what status.cost.rateCard names.
    pub card: String,
    /// Price of one USD in MAD, above 0.
    pub usd_mad: Decimal,
    /// Rent a month of a number whose real price is not known: number and voice capability together.
    pub rent: Option<Usd>,
    /// Prices of messages.
    pub messages: Vec<Message>,
}

/// The price of one delivered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Meta's category.
    pub category: MessageCategory,
    /// The candidate's country, ISO 3166.
    pub country: String,
    /// Price of one message.
    pub price: Decimal,
    /// ISO 4217.
    pub currency: String,
    /// Free messages for each number in each month.
    pub free: u32,
}

/// The card that holds on `day`, a day in the WABA's time zone; None where no card does.
///
/// The dates of all cards must be right, since a date that can't be read might be the one that counts; amounts are read
/// from the card in force only, so that a slip in an old card doesn't hide today's prices.
pub fn prices_on(cards: &[RateCard], day: Date) -> Result<Option<Prices>, CardError> {
    let mut found: Option<(Date, &RateCard)> = None;
    for card in cards {
        let from = date(card, "validFrom", &card.valid_from)?;
        let to = card.valid_to.as_deref().map(|to| date(card, "validTo", to)).transpose()?;
        if from > day || to.is_some_and(|to| to <= day) {
            continue;
        }
        if let Some((other, _)) = found {
            return Err(CardError::Overlap { first: other.min(from), second: other.max(from), day });
        }
        found = Some((from, card));
    }
    found.map(|(_, card)| parse(card)).transpose()
}

fn parse(card: &RateCard) -> Result<Prices, CardError> {
    let usd_mad = amount(card, "usdMad".into(), &card.usd_mad, ABOVE_0)?;
    if usd_mad.is_zero() {
        return Err(bad(card, "usdMad".into(), &card.usd_mad, ABOVE_0));
    }
    let rent = match &card.rent_usd {
        None => None,
        Some(rent) => {
            let number = amount(card, "rentUsd.number".into(), &rent.number, AMOUNT)?;
            let capability = amount(card, "rentUsd.capability".into(), &rent.capability, AMOUNT)?;
            Some(Usd(number) + Usd(capability))
        }
    };
    let messages = card.messages.iter().enumerate().map(|(i, m)| message(card, i, m)).collect::<Result<_, _>>()?;
    Ok(Prices { card: card.valid_from.clone(), usd_mad, rent, messages })
}

fn message(card: &RateCard, index: usize, message: &MessagePrice) -> Result<Message, CardError> {
    let MessagePrice { category, country, price, currency, free_per_number_and_month } = message;
    let field = |name: &str| format!("messages[{index}].{name}");
    Ok(Message {
        category: *category,
        country: country.clone(),
        price: amount(card, field("price"), price, AMOUNT)?,
        currency: currency.clone(),
        free: u32::try_from(*free_per_number_and_month).map_err(|_| {
            bad(card, field("freePerNumberAndMonth"), &free_per_number_and_month.to_string(), "use 0 or more")
        })?,
    })
}

fn date(card: &RateCard, field: &str, text: &str) -> Result<Date, CardError> {
    // jiff reads more forms than the one that the schema allows, `20260101` for example
    let plain = text.len() == 10 && text.bytes().all(|c| c.is_ascii_digit() || c == b'-');
    text.parse().ok().filter(|_| plain).ok_or_else(|| bad(card, field.into(), text, DATE))
}

/// At most six digits on either side of the point, as the schema says: sums and products then stay exact.
fn amount(card: &RateCard, field: String, text: &str, way_out: &'static str) -> Result<Decimal, CardError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| (1..=6).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits(whole) && digits(fraction));
    value.ok_or_else(|| bad(card, field, text, way_out))
}

fn bad(card: &RateCard, field: String, value: &str, way_out: &'static str) -> CardError {
    let shorten = |text: &str| text.chars().take(80).collect();
    CardError::Field { card: shorten(&card.valid_from), field, value: shorten(value), way_out }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::resources::rate_card::RentUsd;

    /// The card that the platform starts with.
    pub(in crate::money) fn seed() -> RateCard {
        let price = |category, price: &str| MessagePrice {
            category,
            country: "MA".into(),
            price: price.into(),
            currency: "MAD".into(),
            free_per_number_and_month: 0,
        };
        RateCard {
            valid_from: "2026-01-01".into(),
            valid_to: Some("2026-10-01".into()),
            usd_mad: "10.5".into(),
            rent_usd: Some(RentUsd { number: "1.00".into(), capability: "0.10".into() }),
            messages: vec![price(MessageCategory::Utility, "0.05"), price(MessageCategory::Service, "0")],
        }
    }

    pub(in crate::money) fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn the_card_of_a_day() {
        let autumn = RateCard { valid_from: "2026-10-01".into(), valid_to: Some("2026-11-01".into()), ..seed() };
        let open = RateCard { valid_from: "2027-01-01".into(), valid_to: None, ..seed() };
        for cards in [vec![seed(), autumn.clone(), open.clone()], vec![open, seed(), autumn]] {
            for (on, want) in [
                ("2025-12-31", None),
                ("2026-01-01", Some("2026-01-01")), // inclusive
                ("2026-09-30", Some("2026-01-01")),
                ("2026-10-01", Some("2026-10-01")), // exclusive
                ("2026-10-31", Some("2026-10-01")),
                ("2026-11-01", None), // the gap
                ("2026-12-31", None),
                ("2027-01-01", Some("2027-01-01")),
                ("2099-12-31", Some("2027-01-01")), // open-ended
            ] {
                let prices = prices_on(&cards, day(on)).unwrap();
                assert_eq!(prices.map(|p| p.card).as_deref(), want, "{on}");
            }
        }
        assert_eq!(prices_on(&[], day("2026-05-05")), Ok(None));
    }

    #[test]
    fn the_seed_card_means() {
        let prices = prices_on(&[seed()], day("2026-05-05")).unwrap().unwrap();
        assert_eq!(prices.rent, Some(Usd::parse("1.10").unwrap()));
        assert_eq!(prices.usd_mad.to_string(), "10.5");
        let messages: Vec<_> = prices.messages.iter().map(|m| (m.category, m.price.to_string(), m.free)).collect();
        assert_eq!(
            messages,
            [(MessageCategory::Utility, "0.05".to_owned(), 0), (MessageCategory::Service, "0".to_owned(), 0)]
        );
    }

    #[test]
    fn a_bad_field_is_named_with_its_card() {
        type Spoil = fn(&mut RateCard);
        let table: [(&str, Spoil); 16] = [
            (r#"usdMad "" is not valid: write a decimal above 0"#, |c| c.usd_mad = String::new()),
            (r#"usdMad "0" is not valid: write a decimal above 0"#, |c| c.usd_mad = "0".into()),
            (r#"usdMad "0.00" is not valid: write a decimal above 0"#, |c| c.usd_mad = "0.00".into()),
            (r#"usdMad "10,5" is not valid"#, |c| c.usd_mad = "10,5".into()),
            (r#"usdMad "-10.5" is not valid"#, |c| c.usd_mad = "-10.5".into()),
            (r#"usdMad "1e1" is not valid"#, |c| c.usd_mad = "1e1".into()),
            (r#"usdMad "10." is not valid"#, |c| c.usd_mad = "10.".into()),
            (r#"usdMad "1_0" is not valid"#, |c| c.usd_mad = "1_0".into()),
            (r#"usdMad "1234567" is not valid"#, |c| c.usd_mad = "1234567".into()),
            (r#"rentUsd.number "one" is not valid: write a plain decimal"#, |c| {
                c.rent_usd.as_mut().unwrap().number = "one".into();
            }),
            (r#"rentUsd.capability "+0.1" is not valid"#, |c| {
                c.rent_usd.as_mut().unwrap().capability = "+0.1".into();
            }),
            (r#"messages[1].price "free" is not valid"#, |c| c.messages[1].price = "free".into()),
            (r#"messages[0].freePerNumberAndMonth "-1" is not valid: use 0 or more"#, |c| {
                c.messages[0].free_per_number_and_month = -1;
            }),
            (r#"validTo "2026-13-01" is not valid: write a day"#, |c| c.valid_to = Some("2026-13-01".into())),
            (r#"validTo "2026-02-29" is not valid"#, |c| c.valid_to = Some("2026-02-29".into())),
            (r#"validTo "20261001" is not valid"#, |c| c.valid_to = Some("20261001".into())),
        ];
        for (want, spoil) in table {
            let mut card = seed();
            spoil(&mut card);
            let error = prices_on(&[card], day("2026-05-05")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("rateCards (validFrom 2026-01-01): {want}")), "{error}");
        }
        let card = RateCard { valid_from: "soon".into(), ..seed() };
        let error = prices_on(&[card], day("2026-05-05")).unwrap_err().to_string();
        assert!(error.starts_with(r#"rateCards (validFrom soon): validFrom "soon" is not valid"#), "{error}");
    }

    #[test]
    fn a_slip_in_another_period_hides_nothing() {
        let old = RateCard {
            valid_from: "2025-01-01".into(),
            valid_to: Some("2026-01-01".into()),
            usd_mad: "x".into(),
            ..seed()
        };
        assert!(prices_on(&[old.clone(), seed()], day("2026-05-05")).is_ok_and(|p| p.is_some()));
        assert!(prices_on(&[old, seed()], day("2025-05-05")).is_err());
    }

    #[test]
    fn two_cards_on_one_day_are_refused() {
        let other = RateCard { valid_from: "2026-09-01".into(), valid_to: None, ..seed() };
        let error = prices_on(&[other, seed()], day("2026-09-10")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rateCards (validFrom 2026-01-01) and rateCards (validFrom 2026-09-01) both hold on 2026-09-10: end the first with validTo 2026-09-01"
        );
    }
}
