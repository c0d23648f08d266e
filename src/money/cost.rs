//! A line's fixed cost a month, as it stands in status.cost.
//!
//! Decides from the rate card of the day and the number's real price, which was kept from the search that it was bought
//! by; the card's rent is used only where the real price is not known. Where no card covers the day, or nobody knows the
//! price, the display is `unknown`, never 0: a zero would be read as free.

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::rate_card::{CardError, prices_on};
use crate::domain::{Mad, Usd};
use crate::resources::client_number::CostStatus;
use crate::resources::rate_card::RateCard;

/// What status.cost.display says where the cost is not known.
pub const UNKNOWN: &str = "unknown";

/// The fixed cost of a line on `day` (in the WABA's time zone). `price` is the number's real price a month; None where
/// it is not known, as with a number of another operator.
///
/// A card that can't be read is an error, so that nobody takes a slip of the pen for a missing card.
pub fn cost(cards: &[RateCard], day: Date, price: Option<Usd>) -> Result<CostStatus, CardError> {
    let Some(card) = prices_on(cards, day)? else {
        // Dollars are what the carrier charges, card or not; only their value in MAD is unknown.
        let monthly_usd = price.map(|usd| usd.to_string());
        return Ok(CostStatus { monthly_usd, monthly_mad: None, rate_card: None, display: UNKNOWN.into() });
    };
    let usd = price.or(card.rent);
    let mad = usd.and_then(|usd| in_mad(usd, card.usd_mad));
    Ok(CostStatus {
        monthly_usd: usd.map(|usd| usd.to_string()),
        monthly_mad: mad.map(|mad| mad.to_string()),
        rate_card: Some(card.card),
        display: mad.map_or_else(|| UNKNOWN.into(), |mad| mad.display()),
    })
}

/// None only for amounts beyond what a decimal holds, which no carrier charges.
fn in_mad(usd: Usd, usd_mad: Decimal) -> Option<Mad> {
    usd.0.checked_mul(usd_mad).map(Mad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::rate_card::tests::{day, seed};

    fn line(on: &str, price: Option<&str>) -> (Option<String>, Option<String>, Option<String>, String) {
        let price = price.map(|p| Usd::parse(p).unwrap());
        let CostStatus { monthly_usd, monthly_mad, rate_card, display } = cost(&[seed()], day(on), price).unwrap();
        (monthly_usd, monthly_mad, rate_card, display)
    }

    #[test]
    fn what_a_line_costs() {
        let some = |text: &str| Some(text.to_owned());
        for (on, price, usd, mad, display) in [
            ("2026-05-05", None, "1.1", "11.55", "11.55 MAD"), // the card's rent: number 1.00 + capability 0.10
            ("2026-05-05", Some("1.10"), "1.1", "11.55", "11.55 MAD"),
            ("2026-05-05", Some("1.00"), "1", "10.5", "10.50 MAD"), // the real price wins over the card's
            ("2026-05-05", Some("3.00000"), "3", "31.5", "31.50 MAD"),
            ("2026-05-05", Some("0"), "0", "0", "0.00 MAD"), // a number that is really free
            ("2026-05-05", Some("0.333333"), "0.333333", "3.4999965", "3.50 MAD"), // exact inside, rounded for people
            ("2026-01-01", None, "1.1", "11.55", "11.55 MAD"),
            ("2026-09-30", None, "1.1", "11.55", "11.55 MAD"),
        ] {
            assert_eq!(
                line(on, price),
                (some(usd), some(mad), some("2026-01-01"), display.to_owned()),
                "{on} {price:?}"
            );
        }
    }

    #[test]
    fn a_day_without_a_card_is_unknown_and_never_0() {
        for on in ["2025-12-31", "2026-10-01", "2026-11-24"] {
            assert_eq!(line(on, None), (None, None, None, "unknown".into()), "{on}");
            assert_eq!(line(on, Some("1.10")), (Some("1.1".into()), None, None, "unknown".into()), "{on}");
        }
        assert_eq!(cost(&[], day("2026-05-05"), None).unwrap().display, "unknown");
    }

    #[test]
    fn a_card_without_rent_knows_no_price() {
        let card = RateCard { rent_usd: None, ..seed() };
        let known = cost(std::slice::from_ref(&card), day("2026-05-05"), Usd::parse("1.10").ok()).unwrap();
        assert_eq!(known.display, "11.55 MAD");
        let unknown = cost(&[card], day("2026-05-05"), None).unwrap();
        assert_eq!((unknown.display.as_str(), unknown.monthly_mad), ("unknown", None));
        assert_eq!(unknown.rate_card.as_deref(), Some("2026-01-01"));
    }

    #[test]
    fn a_bad_card_is_an_error_that_names_it() {
        let card = RateCard { usd_mad: "ten".into(), ..seed() };
        let error = cost(&[card], day("2026-05-05"), Usd::parse("1").ok()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rateCards (validFrom 2026-01-01): usdMad \"ten\" is not valid: write a decimal above 0 as a string, for example \"10.5\""
        );
    }

    #[test]
    fn an_absurd_price_is_unknown_and_no_panic() {
        let price = Usd::parse("79228162514264337593543950335").ok();
        assert!(price.is_some());
        assert_eq!(cost(&[seed()], day("2026-05-05"), price).unwrap().display, "unknown");
    }
}
