//! The whole product on this machine: API server, store, sandbox, router and controller, wired as in a cluster.
//!
//! A world has namespaces of its own in the control plane that it is given, so that several can share one. Where the
//! controller talks to the API server and to MongoDB can be replaced by a proxy's address.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clientnumber::resources::conditions::{ConditionType, get};
use clientnumber::resources::{ClientNumber, Portfolio};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::control_plane::{ControlPlane, client_of};
use super::mongo::{Mongo, MongoOptions};
use super::program::Program;
use super::run::free_port;
use super::sandbox::Sandbox;
use super::wait::{self, Seen};

/// Signs webhooks and API calls.
pub const APP_SECRET: &str = "world-app-secret-7f2c1d";
/// Meta's challenge.
pub const VERIFY_TOKEN: &str = "world-verify-token-90ab";
/// The Telnyx key.
pub const TELNYX_KEY: &str = "KEYworldtelnyx55e1";
/// The Meta token.
pub const ACCESS_TOKEN: &str = "EAAworldtoken8c3f";
/// Signs recruiters' tokens.
pub const JWT_SECRET: &str = "world-jwt-secret-that-is-long-enough-4411";
const QUARANTINE_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How a world is made.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Delays of the sandbox; 0: none.
    pub speed: f64,
    /// The controller's `--policy-time-scale`.
    pub scale: f64,
    /// Seed of the sandbox.
    pub seed: u64,
    /// Log filter of all programs of ours.
    pub log: String,
    /// More environment for the controller.
    pub controller_env: Vec<(String, String)>,
    /// How the store is started.
    pub mongo: MongoOptions,
    /// Names of the two namespaces, for platform and clients; None: new ones.
    pub namespaces: Option<[String; 2]>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            speed: 0.05,
            scale: 0.05,
            seed: 1,
            log: "info,clientnumber=debug".into(),
            controller_env: Vec::new(),
            mongo: MongoOptions::default(),
            namespaces: None,
        }
    }
}

/// A running world.
pub struct World {
    binary: PathBuf,
    dir: PathBuf,
    options: WorldOptions,
    /// Where the Portfolio and its Secrets are.
    pub platform: String,
    /// Where the lines are.
    pub clients: String,
    /// Kubernetes, past any proxy.
    pub client: Client,
    kubeconfig: PathBuf,
    /// The store.
    pub mongo: Mongo,
    /// The providers.
    pub sandbox: Sandbox,
    /// The router, once started.
    pub router: Program,
    /// The controller, once started.
    pub controller: Option<Program>,
    /// The router's webhook port.
    pub webhook_url: String,
    /// Where recruiters connect.
    pub socket_url: String,
    /// The router's admin port.
    pub router_admin: String,
    /// The controller's admin port.
    pub controller_admin: String,
    ports: [u16; 4],
}

impl World {
    /// Starts store, sandbox and router, and makes the namespaces. The controller is started by [`World::control`].
    pub async fn start(plane: &ControlPlane, binary: &Path, dir: &Path, options: WorldOptions) -> Result<World> {
        let mongo = Mongo::start(dir, options.mongo).await?;
        World::start_at(plane.kubeconfig_path(), mongo, binary, dir, options).await
    }

    /// As [`World::start`], on any API server and store.
    pub async fn start_at(
        kubeconfig: &Path,
        mongo: Mongo,
        binary: &Path,
        dir: &Path,
        options: WorldOptions,
    ) -> Result<World> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let ports = [free_port()?, free_port()?, free_port()?, free_port()?];
        let [webhook, socket, router_admin, controller_admin] = ports;
        let webhook_url = format!("http://127.0.0.1:{webhook}");
        let sandbox =
            Sandbox::start(binary, dir, &format!("{webhook_url}/webhook"), APP_SECRET, options.speed, options.seed)
                .await?;
        let router = start_router(binary, dir, &mongo.uri(), ports, &options.log, "router")?;
        let client = client_of(kubeconfig).await?;
        let new = || [format!("platform-{number}"), format!("clients-{number}")];
        let [platform, clients] = options.namespaces.clone().unwrap_or_else(new);
        for name in [&platform, &clients] {
            let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
            let namespace: k8s_openapi::api::core::v1::Namespace =
                serde_json::from_value(json!({"metadata": {"name": name}}))?;
            let params = kube::api::PatchParams::apply("world");
            namespaces.patch(name, &params, &kube::api::Patch::Apply(&namespace)).await?;
        }
        let mut world = World {
            binary: binary.to_owned(),
            dir: dir.to_owned(),
            platform,
            clients,
            client,
            kubeconfig: kubeconfig.to_owned(),
            mongo,
            sandbox,
            router,
            controller: None,
            socket_url: format!("http://127.0.0.1:{socket}"),
            router_admin: format!("http://127.0.0.1:{router_admin}"),
            controller_admin: format!("http://127.0.0.1:{controller_admin}"),
            webhook_url,
            ports,
            options,
        };
        apply_crds(&world.client).await?;
        world.wait_answers(&format!("{}/readyz", world.router_admin), "the router to be ready").await?;
        world.apply(secret(&world.platform, "telnyx", json!({"apiKey": TELNYX_KEY}))).await?;
        world
            .apply(secret(&world.platform, "meta", json!({"accessToken": ACCESS_TOKEN, "appSecret": APP_SECRET})))
            .await?;
        world.options.controller_env.push(("NAMESPACE".into(), format!("{},{}", world.platform, world.clients)));
        Ok(world)
    }

    /// The administrator's kubeconfig, past any proxy.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder with all logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the controller, through proxies where their addresses are given.
    pub async fn control(&mut self, kubeconfig: Option<&Path>, mongo_uri: Option<&str>) -> Result<()> {
        self.controller = Some(self.started("controller", self.ports[3], false, kubeconfig, mongo_uri)?);
        Ok(())
    }

    /// Starts one controller more, of another name and with an admin port of its own. With `elect` it works only while it
    /// holds the lease of this world.
    pub fn another(
        &self,
        name: &str,
        elect: bool,
        kubeconfig: Option<&Path>,
        mongo_uri: Option<&str>,
    ) -> Result<Program> {
        self.started(name, free_port()?, elect, kubeconfig, mongo_uri)
    }

    fn started(
        &self,
        name: &str,
        port: u16,
        elect: bool,
        kubeconfig: Option<&Path>,
        mongo_uri: Option<&str>,
    ) -> Result<Program> {
        let lease =
            if elect { format!("--lease-namespace={}", self.platform) } else { "--no-leader-election".to_owned() };
        let args = [
            "controller".to_owned(),
            lease,
            format!("--admin-addr=127.0.0.1:{port}"),
            format!("--policy-time-scale={}", self.options.scale),
            format!("--log={}", self.options.log),
        ];
        let uri = mongo_uri.map_or_else(|| self.mongo.uri(), str::to_owned);
        let mut env = self.options.controller_env.clone();
        env.push(("MONGODB_URI".into(), uri));
        env.push(("KUBECONFIG".into(), kubeconfig.unwrap_or(&self.kubeconfig).display().to_string()));
        Program::start(name, &self.binary, &self.dir, args, env)
    }

    /// Starts the controller with more environment, for this start only.
    pub async fn control_with(&mut self, env: &[(&str, &str)]) -> Result<()> {
        let kept = self.options.controller_env.clone();
        self.options.controller_env.extend(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let started = self.control(None, None).await;
        self.options.controller_env = kept;
        started
    }

    /// One more controller beside the first, without election as that one: a replica that takes itself for the leader.
    pub fn replica(&self, name: &str, kubeconfig: Option<&Path>) -> Result<Program> {
        self.another(name, false, kubeconfig, None)
    }

    /// The controller.
    pub fn controller(&mut self) -> Result<&mut Program> {
        self.controller.as_mut().context("the controller was not started")
    }

    /// SIGKILLs the router and starts another one on the same ports.
    pub async fn replace_router(&mut self) -> Result<()> {
        self.router.kill().await?;
        self.router =
            start_router(&self.binary, &self.dir, &self.mongo.uri(), self.ports, &self.options.log, "router-2")?;
        self.wait_answers(&format!("{}/readyz", self.router_admin), "the second router to be ready").await
    }

    /// Creates an object of any kind (apiVersion and kind inside).
    pub async fn apply(&self, object: Value) -> Result<()> {
        let object: kube::api::DynamicObject = serde_json::from_value(object)?;
        let types = object.types.clone().context("no kind")?;
        let gvk = kube::core::GroupVersionKind::try_from(&types)?;
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &gvk).await?;
        let namespace = object.namespace().context("no namespace")?;
        let api: Api<kube::api::DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &resource);
        let name = object.name_any();
        let params = kube::api::PatchParams::apply("world").force();
        api.patch(&name, &params, &kube::api::Patch::Apply(&object)).await?;
        Ok(())
    }

    /// The Portfolio of this world, with `change` on its spec.
    pub fn portfolio(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut spec = json!({
            "ownerId": "world",
            "telnyx": {"apiKeySecretRef": {"name": "telnyx", "key": "apiKey"}, "baseUrl": self.sandbox.telnyx},
            "meta": {
                "businessId": "1020", "wabaId": "104", "appId": "7700",
                "accessTokenSecretRef": {"name": "meta", "key": "accessToken"},
                "appSecretSecretRef": {"name": "meta", "key": "appSecret"},
                "baseUrl": self.sandbox.meta,
                "webhookUrl": format!("{}/webhook", self.webhook_url),
            },
            "rateCards": [{
                "validFrom": "2026-01-01", "usdMad": "10.5", "rentUsd": {"number": "1.00", "capability": "0.10"},
                "messages": [{"category": "service", "country": "MA", "price": "0", "currency": "MAD"}],
            }],
            "allowedNamespaces": {"from": "All"},
        });
        change(&mut spec);
        json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "Portfolio",
            "metadata": {"name": "main", "namespace": self.platform}, "spec": spec,
        })
    }

    /// A line that buys its number, with `change` on its spec.
    pub fn line(&self, name: &str, company: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut spec = json!({
            "companyId": company,
            "displayName": format!("{company} by Recruto"),
            "portfolioRef": {"name": "main", "namespace": self.platform},
            "number": {"acquire": {}},
        });
        change(&mut spec);
        json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
            "metadata": {"name": name, "namespace": self.clients}, "spec": spec,
        })
    }

    /// The lines' API.
    pub fn lines(&self) -> Api<ClientNumber> {
        Api::namespaced(self.client.clone(), &self.clients)
    }

    /// The Portfolios' API.
    pub fn portfolios(&self) -> Api<Portfolio> {
        Api::namespaced(self.client.clone(), &self.platform)
    }

    /// Waits until a line's Ready has this status and reason ("" for any); the line.
    pub async fn wait_line(
        &mut self,
        name: &str,
        ready: &str,
        reason: &str,
        deadline: Duration,
    ) -> Result<ClientNumber> {
        let api = self.lines();
        let controller = self.controller.as_mut();
        let mut controller = controller;
        wait::until(deadline, &format!("{name} to be Ready={ready}/{reason}"), async || {
            if let Some(end) = controller.as_mut().and_then(|c| c.ended()) {
                return Seen::Never(end);
            }
            let line = match api.get(name).await {
                Ok(line) => line,
                Err(error) => return Seen::NotYet(error.to_string()),
            };
            let conditions = line.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
            match get(&conditions, ConditionType::Ready) {
                Some(c) if c.status == ready && (reason.is_empty() || c.reason == reason) => Seen::Done(line),
                Some(c) => Seen::NotYet(format!("{}/{}: {}", c.status, c.reason, c.message)),
                None => Seen::NotYet("no condition".into()),
            }
        })
        .await
    }

    /// A recruiter's token.
    pub fn token(&self, company: &str, recruiter: &str) -> Result<String> {
        let now = jiff::Timestamp::now().as_second();
        let claims =
            json!({"sub": recruiter, "company_id": company, "aud": "clientnumber", "iat": now, "exp": now + 900});
        let key = jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes());
        Ok(jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?)
    }

    async fn wait_answers(&mut self, url: &str, what: &str) -> Result<()> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let router = &mut self.router;
        wait::until(Duration::from_secs(60), what, async || {
            if let Some(end) = router.ended() {
                return Seen::Never(end);
            }
            match http.get(url).send().await {
                Ok(answer) if answer.status().is_success() => Seen::Done(()),
                Ok(answer) => Seen::NotYet(answer.text().await.unwrap_or_default()),
                Err(error) => Seen::NotYet(error.to_string()),
            }
        })
        .await
    }
}

fn start_router(binary: &Path, dir: &Path, mongo: &str, ports: [u16; 4], log: &str, name: &str) -> Result<Program> {
    let args = [
        "router".to_owned(),
        format!("--webhook-addr=127.0.0.1:{}", ports[0]),
        format!("--socket-addr=127.0.0.1:{}", ports[1]),
        format!("--admin-addr=127.0.0.1:{}", ports[2]),
        format!("--log={log}"),
    ];
    let env = [
        ("MONGODB_URI", mongo),
        ("META_VERIFY_TOKEN", VERIFY_TOKEN),
        ("META_APP_SECRET", APP_SECRET),
        ("QUARANTINE_KEY", QUARANTINE_KEY),
        ("JWT_HS256_SECRET", JWT_SECRET),
        ("DRAIN_DELAY", "0s"),
    ];
    Program::start(name, binary, dir, args, env)
}

/// A Secret of these texts.
pub fn secret(namespace: &str, name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": data})
}

/// Applies both definitions and waits until they are served.
pub async fn apply_crds(client: &Client) -> Result<()> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in clientnumber::resources::crds::crds() {
        let name = crd.name_any();
        let params = kube::api::PatchParams::apply("world").force();
        api.patch(&name, &params, &kube::api::Patch::Apply(&crd)).await?;
        let established =
            kube::runtime::wait::await_condition(api.clone(), &name, kube::runtime::conditions::is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), established).await.context("the CRD is not established")??;
    }
    Ok(())
}
