//! The outcomes that callers must tell apart, one word each. What a word means for a condition is the caller's table.
//!
//! Which code of which provider gives which word stands in `telnyx/errors.rs` and `meta/errors.rs` and nowhere else.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Which outcome an error was.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

reasons! {
    // Transport, both providers.
    /// No connection, and so nothing was sent.
    Unreachable,
    /// No answer in time, or the connection broke in the middle.
    NoAnswer,
    /// HTTP 5xx or a code that says "try again".
    ProviderUnavailable,
    /// Not JSON, not the expected shape, or cut off.
    UnreadableAnswer,
    /// Larger than the bound for this call, or more pages than any account has.
    AnswerTooLarge,
    /// A redirect, which is never followed with a token.
    Redirected,
    /// Not sent: another replica leads.
    NotLeading,
    /// Too many requests.
    RateLimited,
    /// The token or key is not accepted.
    TokenInvalid,
    /// The token is good but may not do this.
    PermissionDenied,
    /// The request itself was not accepted.
    InvalidRequest,
    /// The object does not exist, or is not visible to the token.
    NotFound,
    /// The object exists already.
    AlreadyExists,
    /// The provider is still working on the same thing.
    BeingProcessed,
    /// The object is in use or locked.
    InUse,
    /// A code that no table knows.
    Unclassified,

    // Telnyx.
    /// Somebody else (or another of our lines) has the number.
    NumberTaken,
    /// The number was not in a recent search of this account.
    SearchNeeded,
    /// Telnyx sells no numbers there.
    NoCoverage,
    /// The number is locked against deletion.
    DeletionLocked,
    /// The account can't pay.
    InsufficientFunds,
    /// Documents or details are missing.
    RequirementsNeeded,
    /// The account is inactive, blocked or of too low a level.
    AccountRestricted,
    /// The TeXML application named in the order does not exist.
    InvalidConnection,
    /// Not a phone number for the provider.
    InvalidPhoneNumber,
    /// The call is over, has not begun, or is in another state than the command needs.
    CallState,

    // Meta.
    /// The number is verified already: no code is needed.
    AlreadyVerified,
    /// Too many codes were requested for this number.
    CodeVolumeLimit,
    /// Meta can't place the call or send the message now.
    CodeServersUnavailable,
    /// request_code was refused and the answer does not say why: read the number again.
    CodeRequestRefused,
    /// The number can't be verified this way.
    NotEligible,
    /// The code was wrong or too old.
    WrongCode,
    /// The two-step PIN differs from the one that is set.
    PinMismatch,
    /// Too many or too fast PIN attempts.
    PinBlocked,
    /// The number must be verified (again) before it can be registered.
    NeedsVerification,
    /// The number belongs to an existing WhatsApp account; it can't be used until that account is deleted.
    NumberBurnt,
    /// The display name is not provisioned yet.
    NameNotReady,
    /// The display name is refused.
    NameRefused,
    /// register or deregister was called too often.
    RegisterLimit,
    /// An earlier deregistration is incomplete.
    DeregisterIncomplete,
    /// The number was deleted a moment ago.
    RecentlyDeleted,
    /// The number is not registered.
    NotRegistered,
    /// The number is in the account already.
    AlreadyAdded,
    /// The account has all the numbers it may have.
    NumberCapReached,
    /// The number lives in the WhatsApp Business app.
    BusinessAppNumber,
    /// The WhatsApp account is locked or restricted.
    AccountLocked,
    /// No valid payment method, or payment overdue.
    PaymentNeeded,
    /// The business is not verified.
    BusinessUnverified,

    // Messages at Meta.
    /// The message does not reach this person.
    Undeliverable,
    /// Only a template may be sent: the person's last message is older than 24 hours.
    WindowClosed,
    /// The number may send less for its low quality.
    QualityLimited,
    /// The person wants no marketing.
    OptedOut,
    /// The kind of message can't be shown or sent this way.
    MessageUnsupported,
    /// The file can't be used.
    MediaUnusable,
    /// The template is missing, not approved, or filled wrongly.
    TemplateUnusable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
