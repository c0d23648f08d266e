//! The store on a real server: the log under several writers, and what the controller and the router rely on.

pub mod bed;
mod double;
mod erasing;
mod hanging;
mod interleavings;
mod keeping;
mod log;
mod people;
mod progress;
mod tables;
