//! All reasons of conditions and events, each with its meaning and with who must act. The one list: docs/conditions.md
//! is generated from it and compared by a test.

use std::fmt::Write as _;

/// Who must act for the line to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The controller goes on by itself.
    Nobody,
    /// The platform engineer.
    Engineer,
    /// The management that holds the accounts at Telnyx and Meta.
    Management,
    /// Whoever holds the phone of an External line.
    PersonWithPhone,
}

impl Actor {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Engineer => "platform engineer",
            Self::Management => "management",
            Self::PersonWithPhone => "the person with the phone",
        }
    }
}

macro_rules! reasons {
    ($($name:ident, $actor:ident, $meaning:literal;)*) => {
        /// Why a condition is what it is. API: renaming one breaks alerts and scripts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All reasons, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// As it stands in status.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// Who must act.
            pub fn actor(self) -> Actor {
                match self { $(Self::$name => Actor::$actor,)* }
            }
        }
    };
}

reasons! {
    NotStarted, Nobody, "the pipeline has not reached this step";
    InProgress, Nobody, "the step is being worked on";
    Ready, Nobody, "the line sends and receives; for a Portfolio: lines can be made";
    InvalidSpec, Engineer, "a value in the spec can't be used; the message names the field and what to write";
    Suspended, Engineer, "work is stopped by spec.suspend of the object";
    PortfolioSuspended, Engineer, "work is stopped by spec.suspend of the Portfolio";
    PortfolioNotFound, Engineer, "the Portfolio that the line names does not exist";
    PortfolioNotReady, Nobody, "the Portfolio is not Ready; its own conditions say what must be done there";
    NamespaceNotAllowed, Engineer, "the Portfolio's allowedNamespaces does not include the line's namespace";
    CapacityFull, Management, "all slots that Meta grants are in use or claimed; the line goes on when one is free or limits.maxNumbers is raised";
    PurchaseLimitReached, Nobody, "as many numbers were bought in the last hour or day as the limits allow; the message says when it goes on";
    PriceAboveLimit, Management, "every number found costs more than the Portfolio's limits allow";
    InsufficientFunds, Management, "the carrier's balance does not suffice, or would fall below limits.minBalanceUsd";
    NoCoverage, Management, "the carrier sells no such number in this country; use number.existing, also with carrier External";
    NoInventory, Nobody, "the carrier has no such number at the moment; the search is repeated";
    OrderPending, Nobody, "the number is ordered and the carrier has not delivered yet";
    OrderOverdue, Management, "an order has brought neither its number nor a refusal for an hour; it is looked up further, nothing else is ordered; look at it in the Telnyx portal";
    OrderVanished, Engineer, "Telnyx confirmed an order and does not show it any more; nothing is ordered until it is there again; look whether the key is the one of the account that ordered";
    RequirementsMissing, Management, "the carrier waits for documents before it delivers the number";
    OrderRejected, Nobody, "the carrier refused the candidate; another is chosen after the old one is proven not ours";
    PurchaseOutcomeUnknown, Nobody, "an order's outcome is being looked up; nothing is ordered until it is known";
    AwaitingRelease, Nobody, "a line of the same company is being deleted and leaves its number, which is taken next; nothing is bought";
    DuplicateNumber, Engineer, "another line claims this number";
    CompanyMismatch, Engineer, "the number that carries this line's reference belongs to another company";
    NumberNotFound, Engineer, "the number named in number.existing is not in the Telnyx account";
    NumberNotActive, Management, "the carrier has the number but it is not active";
    NumberBurnt, Engineer, "the number is paid for, but Meta will not take it; a person decides between trying again and another number";
    NumberReplacing, Nobody, "the burnt number is given back and another is bought, as a person asked by clientnumber.dev/replace";
    NumberInUse, Engineer, "the number has another use at the carrier, which is not changed silently";
    Acquired, Nobody, "the number was bought for this line";
    Adopted, Nobody, "a number that was there already was taken over";
    LinkPending, Nobody, "the number is being added to the WhatsApp Business Account";
    LinkRefused, Management, "Meta refuses to add the number";
    Linked, Nobody, "the WhatsApp Business Account lists the number";
    CaptureNotConfigured, Engineer, "neither telnyx.voiceUrl nor meta.webhookUrl is set, so calls can't be answered";
    CaptureNotReachable, Engineer, "the document that records the code can't be fetched, or is not the expected one";
    WaitingForTurn, Nobody, "as many lines await a code as concurrentOnboardings allows; oldest first";
    RehearsalFailed, Engineer, "a test call's digits did not come back out of the recording, so no code was asked for; the message says what was seen";
    CodeRequested, Nobody, "Meta was asked to call; the code is listened for";
    CallRang, Nobody, "Meta's call rang; an event only";
    CallAnswered, Nobody, "Meta's call was answered and is being recorded; an event only";
    CallRecorded, Nobody, "the recording of Meta's call is there; an event only";
    CallTranscribed, Nobody, "the carrier wrote down what was said; an event only";
    CodeRead, Nobody, "a code was read and is handed in; an event only";
    CodeUnread, Nobody, "what was said gives no code; an event only";
    CodeRateLimited, Nobody, "no further code may be asked for yet; the message names the time";
    CodeExpired, Nobody, "no code was caught within its life; the next attempt follows";
    CodeUnavailable, Nobody, "Meta could not send a code; the next attempt follows";
    CodeWrong, Nobody, "Meta refused the code; the next attempt follows, or the message says what the person with the phone does";
    CodeNeeded, PersonWithPhone, "a person must ask for the call or hand in the code";
    CodeMalformed, PersonWithPhone, "what was handed in is not a code of six digits";
    Verified, Nobody, "Meta accepted the code";
    StoreUnavailable, Engineer, "MongoDB can't be reached; what was bought stays known; one of the lines that met it tries again, at most 15 s apart";
    Routed, Nobody, "the routing table holds the line";
    NamePending, Nobody, "Meta has not reviewed the display name yet";
    NameDeclined, Management, "Meta declined the display name; change displayName, for example to Company by Platform";
    NameApproved, Nobody, "Meta approved the display name, or allows it without review";
    RegistrationLimited, Nobody, "as many registrations were tried in 72 hours as the limits allow, or Meta may not be asked again to deregister yet; the message names the time";
    Registering, Nobody, "the line is being registered at the Cloud API";
    PinMismatch, Engineer, "Meta knows another PIN for this number; it is never guessed";
    Registered, Nobody, "the line is registered at the Cloud API";
    LineNotConnected, Management, "Meta says that the line is not connected, although it was registered";
    WebhookOverridden, Engineer, "Meta sends the line's webhooks to another URL than the router's, so nothing arrives";
    NumberLost, Management, "the carrier's account does not hold the number any more, although it belonged to this line";
    NumberUntagged, Engineer, "the number's tags were taken away at the carrier; without them it counts as nobody's once its object is gone";
    NameDiffers, Engineer, "candidates see, or will see, another name than spec.displayName";
    QualityLow, Management, "Meta rates the line's quality YELLOW or RED; what candidates block or report lowers it";
    LimitLowered, Management, "Meta's messaging limit is lower than it was";
    LineRestricted, Management, "Meta restricts the line (FLAGGED, RESTRICTED, RATE_LIMITED, or account mode SANDBOX); it still receives";
    Recovered, Nobody, "what Degraded said is over; an event only";
    ProviderUnavailable, Nobody, "a provider can't be reached or fails; one of the lines that met it tries again, at most 15 s apart, and all go on when it gets through";
    RateLimited, Nobody, "a provider asks to slow down; its waiting time is honoured";
    RefusedByProvider, Management, "a provider refuses in a way that only a person can settle; its words are in the message";
    ReadOnly, Engineer, "the controller runs with --read-only; the message says what would be done";
    Releasing, Nobody, "the line is being taken out of service";
    DeletionLocked, Engineer, "the number is to be given back and Telnyx keeps it locked against deletion; unlock it in the Telnyx portal";
    Retained, Nobody, "the number is kept, tagged and listed in the Portfolio";
    Released, Nobody, "the number was given back";
    Abandoned, Engineer, "the finalizer was removed by clientnumber.dev/abandon; the Portfolio lists the number until it is given back or a line takes it";
    Orphaned, Engineer, "the number is paid for and no object accounts for it; never released by itself";
    NotRouted, Engineer, "the number is registered at Meta and routed to no company";
    NotRegistered, Management, "the number is routed to a company and not registered at Meta";
    RouteWithoutLine, Engineer, "the routing table holds a route whose ClientNumber is gone";
    AwaitingManualDeletion, Management, "the number holds a slot at Meta and no line uses it; only a person can delete it there";
    FindingSettled, Nobody, "what the audit had found is put right; an event only";
    StillPaid, Engineer, "the Portfolio is gone, and numbers that it listed stay paid for at the carrier; an event only";
    SecretMissing, Engineer, "a Secret or key that the Portfolio names does not exist";
    CredentialsInvalid, Engineer, "a provider refuses a key or token";
    CredentialsValid, Nobody, "keys and tokens work";
    OwnerIdInUse, Engineer, "the ownerId belongs to another cluster; nothing is touched until takeOverFrom names it";
    LinesInUse, Engineer, "the Portfolio can't go while lines use it";
    CapacityFree, Nobody, "slots are free";
    Funded, Nobody, "the carrier's balance is above limits.minBalanceUsd";
    BalanceLow, Management, "the carrier's balance is below limits.minBalanceUsd";
    Subscribed, Nobody, "the WhatsApp Business Account is subscribed to the app";
    NotSubscribed, Management, "the WhatsApp Business Account is not subscribed to the app, so nothing arrives";
    BusinessVerified, Nobody, "Meta verified the business";
    BusinessNotVerified, Management, "Meta has not verified the business: 2 numbers at most";
    NotRead, Nobody, "the provider does not tell; blocks nothing";
}

/// The table of docs/conditions.md.
pub fn table() -> String {
    let mut text = String::from("| reason | meaning | who must act |\n| --- | --- | --- |\n");
    for reason in Reason::ALL {
        // Writing to a String can't fail.
        let _ = writeln!(text, "| `{}` | {} | {} |", reason.as_str(), reason.meaning(), reason.actor().as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_holds_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conditions.md");
        let document = std::fs::read_to_string(path).unwrap();
        assert!(
            document.contains(&table()),
            "docs/conditions.md differs from src/resources/reasons.rs: paste this table\n{}",
            table()
        );
    }
}
