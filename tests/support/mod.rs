//! The test bed: real programs around the code under test, for integration tests and the demo.
//!
//! `control_plane` is a Kubernetes API server, `mongo` the MongoDB double, `program` runs our own binary; `api_proxy`
//! and `mongo_proxy` stand in front of the first two and can count, hold and cut. `run` gives folders and ports, `wait`
//! is the one way to wait, `keep` ends what was started whatever happens to us.
//! Must never leave a process behind and never sleep and hope.

// The tests and the demo each use a part of this.
#![allow(dead_code, unused_imports)]

pub mod api_proxy;
pub mod balancer;
pub mod client;
pub mod control_plane;
pub mod crowd;
pub mod echo;
pub mod flock;
pub mod gateway;
pub mod keep;
pub mod leaks;
pub mod load;
pub mod mongo;
pub mod mongo_proxy;
pub mod program;
pub mod report;
pub mod router;
pub mod run;
pub mod sandbox;
mod switch;
pub mod transcriber;
pub mod traps;
pub mod wait;
pub mod wire;
pub mod world;

pub use api_proxy::{ApiProxy, ApiRule};
pub use balancer::Balancer;
pub use control_plane::{ControlPlane, User};
pub use mongo::{Mongo, MongoOptions};
pub use mongo_proxy::{MongoProxy, MongoRule};
pub use program::Program;
pub use router::Router;
pub use run::{free_port, root, run_dir, tool};
pub use sandbox::Sandbox;
pub use traps::{Hit, Point};
pub use wait::Seen;
pub use world::{World, WorldOptions};
