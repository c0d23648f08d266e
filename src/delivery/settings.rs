//! The limits of the delivery, each with its reason. Defaults are the documented contract; tests shorten times.

use std::time::Duration;

use super::auth::TokenPolicy;
use super::door::AllowedOrigins;

/// What a client's full buffer did not take is said again after this pause.
pub const AGAIN: Duration = Duration::from_millis(250);

/// What can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What a token must say.
    pub tokens: TokenPolicy,
    /// Which pages may connect.
    pub origins: AllowedOrigins,
    /// A page without an ack for so long is sent again; the third time the client is told `too_slow`.
    pub ack_timeout: Duration,
    /// A device that was never here starts with at most so many items ...
    pub first_time_items: usize,
    /// ... not older than this.
    pub first_time_window: Duration,
    /// Heads are polled so often while there is no change stream.
    pub poll: Duration,
    /// Logs with sockets are looked at so often also while the change stream lives: a lost piece of news costs this
    /// much, never a message.
    pub sweep: Duration,
    /// Revocations and devices connected elsewhere are polled so often beside their change stream.
    pub control_poll: Duration,
    /// A client's events per second; twice that in a burst; ten times that is a flood.
    pub events_per_second: f64,
    /// New connections per second of this replica; twice that in a burst.
    pub connects_per_second: f64,
    /// New connections per second of one recruiter, whatever device; ten times that in a burst, since all devices come
    /// back at once after a deployment.
    pub recruiter_connects_per_second: f64,
    /// Connections of this replica, admitted or not.
    pub max_connections: usize,
    /// Devices of one recruiter on this replica: one person's broken client must not fill the server.
    pub devices_per_recruiter: usize,
    /// Connections of one device on this replica, those that were replaced and have not ended yet among them.
    pub connections_per_device: usize,
    /// A connection that has not handed in its token after this time is cut.
    pub connect_timeout: Duration,
    /// The store's part of a handshake may take so long, then `retry_later`.
    pub handshake_store_limit: Duration,
    /// After `goodbye` a client has this long to leave by itself.
    pub farewell: Duration,
}

impl Settings {
    /// The defaults for tokens of this policy and pages of these origins.
    pub fn new(tokens: TokenPolicy, origins: AllowedOrigins) -> Self {
        Self {
            tokens,
            origins,
            ack_timeout: Duration::from_secs(10),
            first_time_items: 500,
            first_time_window: Duration::from_secs(30 * 24 * 3600),
            poll: Duration::from_secs(2),
            sweep: Duration::from_secs(15),
            control_poll: Duration::from_secs(2),
            events_per_second: 20.0,
            connects_per_second: 200.0,
            recruiter_connects_per_second: 2.0,
            max_connections: 20_000,
            devices_per_recruiter: 20,
            connections_per_device: 3,
            connect_timeout: Duration::from_secs(10),
            handshake_store_limit: Duration::from_secs(5),
            farewell: Duration::from_secs(2),
        }
    }
}
