//! Telnyx's vocabularies. Its official file, its docs and its answers differ, so each enum keeps what it does not know.

open_enum! {
    /// Status of an order or sub-order. The docs have two more than the official file.
    OrderStatus {
        /// Not decided yet: seconds, or days with a manual review.
        Pending => "pending";
        /// The numbers are ours.
        Success => "success";
        /// Refused.
        Failure => "failure", "failed";
        /// Cancelled, by us or at the deadline.
        Cancelled => "cancelled", "canceled";
        /// Removed.
        Deleted => "deleted";
    }
}

open_enum! {
    /// Where an order's documents stand.
    RequirementsStatus {
        /// Not looked at.
        Pending => "pending";
        /// Accepted.
        Approved => "approved";
        /// Cancelled with the order.
        Cancelled => "cancelled", "canceled";
        /// Removed.
        Deleted => "deleted";
        /// Values are missing: somebody must hand them in.
        InfoPending => "requirement-info-pending";
        /// A person at Telnyx is looking: a few working days.
        UnderReview => "requirement-info-under-review";
        /// Rejected: somebody must correct them.
        Exception => "requirement-info-exception";
    }
}

open_enum! {
    /// Status of a number in the account.
    OwnedStatus {
        /// Usable.
        Active => "active";
        /// Being bought.
        PurchasePending => "purchase-pending";
        /// Not bought after all.
        PurchaseFailed => "purchase-failed";
        /// Being ported in.
        PortPending => "port-pending";
        /// Porting failed.
        PortFailed => "port-failed";
        /// Given back.
        Deleted => "deleted";
        /// Emergency calls only.
        EmergencyOnly => "emergency-only";
        /// Ported away.
        PortedOut => "ported-out";
        /// Being ported away.
        PortOutPending => "port-out-pending";
        /// Documents are missing: inbound calls stay off.
        RequirementInfoPending => "requirement-info-pending";
        /// Documents are looked at: inbound calls stay off.
        RequirementInfoUnderReview => "requirement-info-under-review";
        /// Documents were rejected.
        RequirementInfoException => "requirement-info-exception";
        /// Being set up.
        ProvisionPending => "provision-pending";
    }
}

open_enum! {
    /// Kind of a number; right after a purchase Telnyx may answer with legacy words, which are kept as Unknown.
    NumberKind {
        /// Mobile.
        Mobile => "mobile";
        /// National.
        National => "national";
        /// Geographic.
        Local => "local";
        /// Toll-free.
        TollFree => "toll_free", "tollfree";
        /// Shared cost.
        SharedCost => "shared_cost";
    }
}

open_enum! {
    /// Status of a transcription.
    TranscriptionStatus {
        /// Being made.
        InProgress => "in-progress";
        /// There.
        Completed => "completed";
        /// Not in the official file, but plausible.
        Failed => "failed", "error";
    }
}

open_enum! {
    /// What happened in a call.
    CallEventKind {
        /// It rings.
        Initiated => "call.initiated";
        /// Answered.
        Answered => "call.answered";
        /// Over.
        Hangup => "call.hangup";
        /// A recording was stored.
        RecordingSaved => "call.recording.saved";
        /// Recording failed.
        RecordingError => "call.recording.error";
    }
}

open_enum! {
    /// What kind of value a requirement wants. `address_id` and `document_id` stand in examples of the official file.
    FieldKind {
        /// A text.
        Textual => "textual", "text";
        /// A date or time.
        Datetime => "datetime";
        /// The id of an address.
        Address => "address", "address_id";
        /// The id of a document.
        Document => "document", "document_id";
        /// A check outside of Telnyx.
        Action => "action";
    }
}

open_enum! {
    /// Where a requirement's value, or a whole group, stands.
    RequirementStatus {
        /// Orders can use it.
        Approved => "approved", "verified";
        /// Not submitted.
        Unapproved => "unapproved";
        /// A person at Telnyx is looking.
        PendingApproval => "pending-approval", "pending", "requirement-info-under-review";
        /// Rejected: somebody must correct it.
        Declined => "declined", "denied", "requirement-info-exception";
        /// Too old.
        Expired => "expired";
        /// The rules have changed; in the docs only.
        NoLongerEligible => "no-longer-eligible";
        /// The value is missing.
        Missing => "requirement-info-pending";
    }
}

open_enum! {
    /// What requirements are for.
    RequirementAction {
        /// A new number.
        Ordering => "ordering";
        /// A number that is brought along.
        Porting => "porting";
    }
}

open_enum! {
    /// When a call is forwarded.
    Forwarding {
        /// Each call.
        Always => "always";
        /// When nobody answers.
        OnFailure => "on-failure";
    }
}

open_enum! {
    /// What becomes of calls that look like spam.
    Screening {
        /// Nothing.
        Disabled => "disabled";
        /// They are rejected: Meta's call could be one of them.
        RejectCalls => "reject_calls";
        /// They are marked.
        FlagCalls => "flag_calls";
    }
}

open_enum! {
    /// What a detail record is of. There is neither `call` nor `texml`.
    RecordKind {
        /// A call that an application took.
        CallControl => "call-control";
        /// A call without an application.
        SipTrunking => "sip-trunking";
        /// A text message.
        Messaging => "messaging";
        /// A recording.
        Recording => "recording";
        /// A transcription.
        SpeechToText => "stt";
    }
}

open_enum! {
    /// Direction of a call or message, seen from the account.
    Direction {
        /// To us.
        Inbound => "inbound", "incoming";
        /// From us.
        Outbound => "outbound", "outgoing";
    }
}
