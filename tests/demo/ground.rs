//! Where the demo runs: on an API server and a store of its own, or on somebody's (`CLUSTER=mine`).
//!
//! On somebody's cluster it says beforehand what it will create and afterwards how to clean up. It must never touch an
//! installation: a cluster that holds a Portfolio, and a store that holds routes, are refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clientnumber::resources::Portfolio;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, Resource};
use mongodb::bson::{Document, doc};

use crate::screen::{command, heading, say};
use crate::support::control_plane::client_of;
use crate::support::{ControlPlane, Mongo, MongoOptions, mongo, run_dir};

/// Namespaces of the demo: the Portfolio's and the lines'.
pub const NAMESPACES: [&str; 2] = ["demo-platform", "demo-clients"];

/// An API server and a folder for logs.
pub struct Ground {
    /// Leads to the API server.
    pub kubeconfig: PathBuf,
    /// Manifests and logs.
    pub dir: PathBuf,
    /// None: the cluster is somebody's.
    plane: Option<ControlPlane>,
    brought_crds: bool,
    mongodb_uri: String,
}

impl Ground {
    /// Starts what is missing.
    pub async fn prepare(mine: bool, dir: PathBuf) -> Result<(Ground, Mongo)> {
        if mine { theirs(dir).await } else { own(dir).await }
    }

    /// Whether the cluster is somebody's.
    pub fn theirs(&self) -> bool {
        self.plane.is_none()
    }

    /// Says how to remove what the demo left on somebody's cluster.
    pub async fn cleaning(&self) -> Result<()> {
        if !self.theirs() {
            return Ok(());
        }
        heading("Cleaning up");
        let [platform, clients] = NAMESPACES;
        say("The controller of the demo is gone, so finalizers are taken off by hand; nothing real was bought.");
        for (kind, namespace) in [("cn", clients), ("pf", platform)] {
            say(&format!(
                "  kubectl -n {namespace} get {kind} -o name | xargs -r -I{{}} kubectl -n {namespace} patch {{}} \
                 --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'"
            ));
        }
        say(&format!("  kubectl delete namespace {clients} {platform}"));
        if self.brought_crds {
            say("  kubectl delete crd clientnumbers.clientnumber.dev portfolios.clientnumber.dev");
        }
        let store = mongo::client_of(&self.mongodb_uri).await?;
        let names: Vec<String> = store.list_database_names().await?.into_iter().filter(|name| ours(name)).collect();
        command("Databases to drop in MongoDB:", &names.join(" "));
        Ok(())
    }
}

fn ours(database: &str) -> bool {
    database == "clientnumber" || database.starts_with("co_")
}

async fn own(dir: PathBuf) -> Result<(Ground, Mongo)> {
    let plane = ControlPlane::start(&run_dir("control-plane")?).await?;
    let mongo = Mongo::start(&dir, MongoOptions::default()).await?;
    let kubeconfig = plane.kubeconfig_path().to_owned();
    let ground = Ground { kubeconfig, dir, plane: Some(plane), brought_crds: true, mongodb_uri: mongo.uri() };
    Ok((ground, mongo))
}

async fn theirs(dir: PathBuf) -> Result<(Ground, Mongo)> {
    let variable = |name: &str| {
        let value = std::env::var(name).unwrap_or_default();
        ensure!(!value.is_empty(), "CLUSTER=mine needs {name}: set it and run again");
        Ok(value)
    };
    let kubeconfig = PathBuf::from(variable("KUBECONFIG")?);
    let mongodb_uri = variable("MONGODB_URI")?;
    ensure!(
        kubeconfig.is_file(),
        "KUBECONFIG names no file ({}): give the path of one kubeconfig, not a list",
        kubeconfig.display()
    );
    let client = client_of(&kubeconfig).await?;
    let brought_crds = free_cluster(&client).await?;
    free_store(&mongodb_uri).await?;
    say(&format!("It uses the current context of {}, and MONGODB_URI.", kubeconfig.display()));
    say("It will create there, and leave at the end:");
    let definitions =
        if brought_crds { "two custom resource definitions" } else { "(updates) the definitions that are there" };
    say(&format!("  in Kubernetes: {definitions}, the namespaces {}", NAMESPACES.join(" and ")));
    say("  in MongoDB: the database clientnumber, and one database co_... for each of two companies");
    let mongo = Mongo::elsewhere(&mongodb_uri);
    Ok((Ground { kubeconfig, dir, plane: None, brought_crds, mongodb_uri }, mongo))
}

/// Refuses a cluster with an installation; whether the definitions are missing.
async fn free_cluster(client: &Client) -> Result<bool> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{}.clientnumber.dev", Portfolio::plural(&()));
    if definitions.get_opt(&name).await.context("the cluster of KUBECONFIG does not answer")?.is_none() {
        return Ok(true);
    }
    let portfolios: Api<Portfolio> = Api::all(client.clone());
    if let Some(found) = portfolios.list(&Default::default()).await?.items.first() {
        bail!(
            "this cluster holds the Portfolio {}/{}: run the demo on a cluster without an installation, or clean up \
             after an earlier demo as it told",
            found.metadata.namespace.as_deref().unwrap_or_default(),
            found.metadata.name.as_deref().unwrap_or_default()
        );
    }
    Ok(false)
}

async fn free_store(uri: &str) -> Result<()> {
    let store = mongo::client_of(uri).await.context("MONGODB_URI can't be used")?;
    let routes = store.database("clientnumber").collection::<Document>("routes");
    let found = routes.find_one(doc! {}).await.context("the store of MONGODB_URI does not answer")?;
    ensure!(
        found.is_none(),
        "the store of MONGODB_URI holds routes: give an empty one, or clean up after an earlier demo as it told"
    );
    Ok(())
}

/// Shortens a path for the screen.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
