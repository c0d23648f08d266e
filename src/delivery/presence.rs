//! Which devices are connected to this replica, so that one which connects again replaces its older connection, and so
//! that no recruiter has more of them than one may have, and no device more connections.
//! Numbers decide, not the order in which news arrives: a connection is replaced by a higher number and by nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::domain::CompanyId;
use crate::store::{Claim, DeviceKey};

/// A recruiter of a company.
pub(super) type Person = (CompanyId, String);
/// A recruiter's devices by their names.
type Devices = HashMap<String, Device>;

/// The devices connected here.
#[derive(Default)]
pub struct Local {
    recruiters: Mutex<HashMap<Person, Devices>>,
}

/// A device that is connected here, or about to be.
#[derive(Default)]
struct Device {
    /// Connections of it, those that were replaced and have not ended yet among them.
    connections: usize,
    /// The newest one's number, and what tells it that it was replaced.
    newest: Option<(i64, CancellationToken)>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The recruiter has as many other devices here as one may have.
    Devices,
    /// The device has as many connections here as one may have.
    Connections,
}

/// Room for one connection of a device, taken before the store is asked for anything; given up when dropped.
pub struct Room {
    local: Arc<Local>,
    key: DeviceKey,
}

/// A connection's place; it is given up when dropped.
pub struct Seat {
    room: Room,
    number: i64,
    replaced: CancellationToken,
}

pub(super) fn person(key: &DeviceKey) -> Person {
    (key.company.clone(), key.recruiter.clone())
}

impl Local {
    /// Room for a connection of this device, unless its recruiter has `devices` other ones here. A device that is here
    /// already takes the place of its older connection, which goes on for a moment: `connections` at most at once, those
    /// on their way in among them.
    pub fn room(self: &Arc<Self>, key: &DeviceKey, devices: usize, connections: usize) -> Result<Room, Full> {
        let mut recruiters = self.lock();
        if let Some(here) = recruiters.get(&person(key)) {
            match here.get(&key.device) {
                Some(device) if device.connections >= connections => return Err(Full::Connections),
                None if here.len() >= devices => return Err(Full::Devices),
                _ => {}
            }
        }
        recruiters.entry(person(key)).or_default().entry(key.device.clone()).or_default().connections += 1;
        Ok(Room { local: self.clone(), key: key.clone() })
    }

    /// A connection was claimed somewhere.
    pub fn claimed(&self, claim: &Claim) {
        let recruiters = self.lock();
        let device = recruiters.get(&person(&claim.key)).and_then(|devices| devices.get(&claim.key.device));
        if let Some(Device { newest: Some((number, replaced)), .. }) = device
            && *number < claim.number
        {
            replaced.cancel();
        }
    }

    /// Whether nobody is connected here.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Person, Devices>> {
        self.recruiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Seats the connection that got this number; an older one of the same device is replaced at once. A number that is
    /// already outdated is seated as replaced.
    pub fn seat(self, number: i64) -> Seat {
        let replaced = CancellationToken::new();
        self.with_device(|device| match &device.newest {
            Some((newest, _)) if *newest > number => replaced.cancel(),
            older => {
                if let Some((_, older)) = older {
                    older.cancel();
                }
                device.newest = Some((number, replaced.clone()));
            }
        });
        Seat { room: self, number, replaced }
    }

    fn with_device(&self, change: impl FnOnce(&mut Device)) {
        let mut recruiters = self.local.lock();
        let devices = recruiters.get_mut(&person(&self.key));
        if let Some(device) = devices.and_then(|devices| devices.get_mut(&self.key.device)) {
            change(device);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut recruiters = self.local.lock();
        let Some(devices) = recruiters.get_mut(&person(&self.key)) else { return };
        if let Some(device) = devices.get_mut(&self.key.device) {
            device.connections -= 1;
            if device.connections == 0 {
                devices.remove(&self.key.device);
            }
        }
        if devices.is_empty() {
            recruiters.remove(&person(&self.key));
        }
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
        self.room.with_device(|device| {
            if device.newest.as_ref().is_some_and(|(number, _)| *number == self.number) {
                device.newest = None;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICES: usize = 20;
    const CONNECTIONS: usize = 3;

    fn key(recruiter: &str, device: &str) -> DeviceKey {
        DeviceKey { company: CompanyId::parse("atlas").unwrap(), recruiter: recruiter.into(), device: device.into() }
    }

    fn claim(device: &str, number: i64) -> Claim {
        Claim { key: key("fatima", device), number }
    }

    fn seat(local: &Arc<Local>, device: &str, number: i64) -> Seat {
        local.room(&key("fatima", device), DEVICES, CONNECTIONS).ok().unwrap().seat(number)
    }

    #[test]
    fn the_higher_number_stays() {
        let local = Arc::new(Local::default());
        let first = seat(&local, "a", 1);
        let other = seat(&local, "b", 1);
        let second = seat(&local, "a", 2);
        assert!(first.replaced().is_cancelled());
        assert!(!second.replaced().is_cancelled() && !other.replaced().is_cancelled());
        drop(first);
        local.claimed(&claim("a", 1));
        local.claimed(&claim("a", 2));
        assert!(!second.replaced().is_cancelled(), "its own and older claims replace nobody");
        local.claimed(&claim("a", 3));
        assert!(second.replaced().is_cancelled());
        assert!(seat(&local, "a", 1).replaced().is_cancelled(), "a late seat of an older claim");
        drop((second, other));
        assert!(local.is_empty());
    }

    #[test]
    fn a_recruiter_has_so_many_devices() {
        let local = Arc::new(Local::default());
        let room = |recruiter: &str, device: &str| local.room(&key(recruiter, device), 2, CONNECTIONS);
        let one = room("fatima", "a").ok().unwrap().seat(1);
        // On its way in counts too, or many at one moment would all find room.
        let two = room("fatima", "b").ok().unwrap();
        assert_eq!(room("fatima", "c").err(), Some(Full::Devices));
        assert!(room("omar", "c").is_ok(), "a colleague has room of his own");
        let again = room("fatima", "a").ok().unwrap().seat(2);
        assert!(one.replaced().is_cancelled() && !again.replaced().is_cancelled());
        drop(again);
        assert!(room("fatima", "c").is_err(), "the replaced connection has not ended yet");
        drop(one);
        let three = room("fatima", "c").ok().unwrap();
        drop((two, three));
        assert!(local.is_empty());
    }

    #[test]
    fn a_device_has_so_many_connections() {
        let local = Arc::new(Local::default());
        let room = |device: &str| local.room(&key("fatima", device), DEVICES, CONNECTIONS);
        // The older ones were replaced and have not ended yet, the newest is on its way in.
        let (one, two) = (seat(&local, "a", 1), seat(&local, "a", 2));
        let three = room("a").ok().unwrap();
        assert_eq!(room("a").err(), Some(Full::Connections));
        assert!(room("b").is_ok(), "another device has its own");
        drop(one);
        let four = room("a").ok().unwrap();
        assert!(room("a").is_err());
        drop((two, three, four));
        assert!(local.is_empty());
    }
}
