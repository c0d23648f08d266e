//! Timestamps as BSON dates (milliseconds), so that indexes, time-to-live and people's own queries work on them. The
//! rest of the crate sees `jiff::Timestamp`.

use jiff::Timestamp;
use mongodb::bson::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// To BSON, cut to milliseconds.
pub(super) fn to_bson(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millisecond())
}

/// From BSON; dates outside jiff's range become its ends.
pub(super) fn from_bson(at: DateTime) -> Timestamp {
    Timestamp::from_millisecond(at.timestamp_millis()).unwrap_or(if at.timestamp_millis() < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    to_bson(*at).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    DateTime::deserialize(deserializer).map(from_bson)
}

/// The same for a field that may be absent.
pub(super) mod option {
    use super::*;

    pub(in crate::store) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(to_bson).serialize(serializer)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<DateTime>::deserialize(deserializer)?.map(from_bson))
    }
}
