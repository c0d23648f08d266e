//! `clientnumber revoke`: cuts a company's, a recruiter's or one token's connections on every replica, and refuses the
//! tokens until they have expired. Tokens that are issued afterwards are good again. "Afterwards" is by the database
//! server's clock: this machine's may be anything.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;

use super::settings::StoreArgs;
use super::{Failure, block_on};
use crate::domain::CompanyId;
use crate::store::{Revocation, Store, StoreOptions};

/// Cuts connections and refuses their tokens. All that is named must match; at least one must be named.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tokens of this company.
    #[arg(long)]
    company: Option<CompanyId>,
    /// Tokens of this recruiter (of this company, if one is named).
    #[arg(long)]
    recruiter: Option<String>,
    /// The one token with this `jti`.
    #[arg(long)]
    jti: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Writes the revocation and says what it does.
pub fn run(args: Args) -> Result<(), Failure> {
    let uri = args.store.required()?;
    let (company, recruiter, jti) = (args.company, args.recruiter, args.jti);
    let revocation = Revocation::new(company, recruiter, jti, Timestamp::now(), &mut rand::rng()).ok_or_else(|| {
        Failure::Usage("nothing is named, which would cut everybody: give --company, --recruiter or --jti".into())
    })?;
    block_on(async move {
        let options = StoreOptions { app_name: "clientnumber revoke".into(), ..StoreOptions::default() };
        let store = Store::connect(&uri, options).await?;
        let revocations = store.revocations();
        // Whose machine this is does not matter then.
        let now = store.hello(Duration::from_secs(5)).await.context("nothing was revoked")?;
        let revocation = revocation.from_moment(now);
        revocations.insert(&revocation).await.context("nothing was revoked")?;
        let connections = "connections end within a second (5 s where there is no change stream)";
        match &revocation.jti {
            Some(_) => println!("revoked: the token is refused, its {connections}"),
            None => println!(
                "revoked: tokens issued up to {now} are refused, their {connections}; tokens issued later are good"
            ),
        }
        Ok(())
    })
}
