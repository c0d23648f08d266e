//! Meta's vocabularies. They grow without notice and differ between docs and official file, so each enum keeps what it
//! does not know.

open_enum! {
    /// Whether ownership was proven by a code. EXPIRED on a connected number is normal: never verify it again for that.
    CodeVerificationStatus {
        /// No code was handed in yet.
        NotVerified => "NOT_VERIFIED", "UNVERIFIED";
        /// Proven.
        Verified => "VERIFIED";
        /// Proven once.
        Expired => "EXPIRED";
    }
}

open_enum! {
    /// Review of a display name.
    NameStatus {
        /// Reviewed and accepted.
        Approved => "APPROVED";
        /// Usable, not reviewed yet.
        AvailableWithoutReview => "AVAILABLE_WITHOUT_REVIEW";
        /// Being reviewed.
        PendingReview => "PENDING_REVIEW";
        /// Refused.
        Declined => "DECLINED";
        /// Its certificate ran out.
        Expired => "EXPIRED";
        /// No name: the number can't be registered.
        None => "NONE", "NON_EXISTS";
    }
}

open_enum! {
    /// State of a number.
    NumberStatus {
        /// Usable.
        Connected => "CONNECTED";
        /// Verified, not registered.
        Pending => "PENDING";
        /// Not connected (any more).
        Disconnected => "DISCONNECTED";
        /// Quality is low.
        Flagged => "FLAGGED";
        /// Restricted.
        Restricted => "RESTRICTED";
        /// Too many messages.
        RateLimited => "RATE_LIMITED";
        /// Banned.
        Banned => "BANNED";
        /// Moved to another account.
        Migrated => "MIGRATED";
        /// Deleted.
        Deleted => "DELETED";
        /// Not verified yet.
        Unverified => "UNVERIFIED", "NOT_VERIFIED";
    }
}

open_enum! {
    /// Quality as candidates' reactions make it.
    QualityRating {
        /// Good.
        Green => "GREEN";
        /// Medium.
        Yellow => "YELLOW";
        /// Bad.
        Red => "RED";
        /// Not rated.
        NotRated => "NA", "UNKNOWN";
    }
}

open_enum! {
    /// Where a number lives.
    PlatformType {
        /// Cloud API: registered.
        CloudApi => "CLOUD_API";
        /// Not registered.
        NotApplicable => "NOT_APPLICABLE";
        /// On-premises.
        OnPremise => "ON_PREMISE";
    }
}

open_enum! {
    /// Whether messages can be sent.
    CanSend {
        /// Yes.
        Available => "AVAILABLE";
        /// With limits.
        Limited => "LIMITED";
        /// No.
        Blocked => "BLOCKED";
    }
}

open_enum! {
    /// How a code is given.
    CodeMethod {
        /// A call.
        Voice => "VOICE";
        /// A text message.
        Sms => "SMS";
    }
}

open_enum! {
    /// Review of a WhatsApp account.
    AccountReviewStatus {
        /// Fine.
        Approved => "APPROVED";
        /// Being reviewed.
        Pending => "PENDING";
        /// Rejected.
        Rejected => "REJECTED";
        /// Put off.
        Deferred => "DEFERRED";
        /// Restricted.
        Restricted => "RESTRICTED";
    }
}

open_enum! {
    /// Verification of a business; lower case in the docs, capitals in the official file.
    VerificationStatus {
        /// Verified.
        Verified => "verified";
        /// Not verified.
        NotVerified => "not_verified";
        /// Being looked at.
        Pending => "pending", "pending_submission", "pending_need_more_info";
        /// Failed.
        Failed => "failed", "rejected";
    }
}

open_enum! {
    /// How many users a portfolio may write to first in 24 hours.
    MessagingLimit {
        /// 50, in the older field only.
        Tier50 => "TIER_50";
        /// 250: where a portfolio begins.
        Tier250 => "TIER_250";
        /// 1,000, in the older field only.
        Tier1k => "TIER_1K";
        /// 2,000: the business is verified, or has written enough.
        Tier2k => "TIER_2K";
        /// 10,000.
        Tier10k => "TIER_10K";
        /// 100,000.
        Tier100k => "TIER_100K";
        /// No limit.
        Unlimited => "TIER_UNLIMITED";
    }
}

open_enum! {
    /// How fast a number may send.
    ThroughputLevel {
        /// 80 messages a second.
        Standard => "STANDARD";
        /// 1,000 messages a second.
        High => "HIGH";
        /// Not registered.
        NotApplicable => "NOT_APPLICABLE";
    }
}

open_enum! {
    /// A part of the chain that a message passes.
    HealthEntityKind {
        /// The number.
        PhoneNumber => "PHONE_NUMBER";
        /// The WhatsApp account.
        Waba => "WABA";
        /// The business behind it.
        Business => "BUSINESS";
        /// The app.
        App => "APP";
        /// A template.
        MessageTemplate => "MESSAGE_TEMPLATE";
    }
}

open_enum! {
    /// Whether messages are charged.
    PricingType {
        /// Charged.
        Regular => "REGULAR";
        /// Within the free tier.
        FreeCustomerService => "FREE_CUSTOMER_SERVICE";
        /// The same in groups.
        FreeGroupCustomerService => "FREE_GROUP_CUSTOMER_SERVICE";
        /// Free for 72 hours after an advertisement.
        FreeEntryPoint => "FREE_ENTRY_POINT";
    }
}

open_enum! {
    /// Kind of message, as it is priced.
    PricingCategory {
        /// Free text within 24 hours of the user's last message.
        Service => "SERVICE";
        /// Templates about something the user did.
        Utility => "UTILITY";
        /// All other templates.
        Marketing => "MARKETING";
        /// Marketing by the other API.
        MarketingLite => "MARKETING_LITE";
        /// Codes.
        Authentication => "AUTHENTICATION";
        /// Codes to other countries.
        AuthenticationInternational => "AUTHENTICATION_INTERNATIONAL";
    }
}
