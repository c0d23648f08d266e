//! From a company's log to its recruiters, with the official Socket.IO client: what arrives, in which order, what is
//! refused, and that nothing crosses.

mod bed;
mod chaos;
mod counts;
mod events;
mod goodbyes;
mod handshakes;
mod helper;
mod hostile;
mod keeping;
mod killed;
mod polling;
mod push;
