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
