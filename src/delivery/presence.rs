//! Which devices are connected to this replica, so that one which connects again replaces its older connection.
//! Numbers decide, not the order in which news arrives: a connection is replaced by a higher number and by nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::store::{Claim, DeviceKey};

/// The devices connected here.
#[derive(Default)]
pub struct Local {
    devices: Mutex<HashMap<DeviceKey, (i64, CancellationToken)>>,
}

/// A connection's place; it is given up when dropped.
pub struct Seat {
    local: Arc<Local>,
    claim: Claim,
    replaced: CancellationToken,
}

impl Local {
    /// Seats a connection; an older one of the same device is replaced at once. A claim that is already outdated is
    /// seated as replaced.
    pub fn seat(self: &Arc<Self>, claim: Claim) -> Seat {
        let replaced = CancellationToken::new();
        let mut devices = self.lock();
        match devices.get(&claim.key) {
            Some((number, _)) if *number > claim.number => replaced.cancel(),
            other => {
                if let Some((_, older)) = other {
                    older.cancel();
                }
                devices.insert(claim.key.clone(), (claim.number, replaced.clone()));
            }
        }
        drop(devices);
        Seat { local: self.clone(), claim, replaced }
    }

    /// A connection was claimed somewhere.
    pub fn claimed(&self, claim: &Claim) {
        if let Some((number, replaced)) = self.lock().get(&claim.key)
            && *number < claim.number
        {
            replaced.cancel();
        }
    }

    /// Whether nobody is connected here.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DeviceKey, (i64, CancellationToken)>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Cancelled once a newer connection of the device exists.
    pub fn replaced(&self) -> &CancellationToken {
        &self.replaced
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut devices = self.local.lock();
        if devices.get(&self.claim.key).is_some_and(|(number, _)| *number == self.claim.number) {
            devices.remove(&self.claim.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CompanyId;

    fn claim(device: &str, number: i64) -> Claim {
        let key = DeviceKey {
            company: CompanyId::parse("atlas").unwrap(),
            recruiter: "fatima".into(),
            device: device.into(),
        };
        Claim { key, number }
    }

    #[test]
    fn the_higher_number_stays() {
        let local = Arc::new(Local::default());
        let first = local.seat(claim("a", 1));
        let other = local.seat(claim("b", 1));
        let second = local.seat(claim("a", 2));
        assert!(first.replaced().is_cancelled());
        assert!(!second.replaced().is_cancelled() && !other.replaced().is_cancelled());
        drop(first);
        local.claimed(&claim("a", 1));
        local.claimed(&claim("a", 2));
        assert!(!second.replaced().is_cancelled(), "its own and older claims replace nobody");
        local.claimed(&claim("a", 3));
        assert!(second.replaced().is_cancelled());
        assert!(local.seat(claim("a", 1)).replaced().is_cancelled(), "a late seat of an older claim");
        drop((second, other));
        assert!(local.is_empty());
    }
}
