//! A real Kubernetes API for tests: etcd, kube-apiserver with RBAC, and the two controllers that tests rely on
//! (namespace deletion, garbage collection of owned objects).
//!
//! Everything lies in one folder: data, certificates, logs, kubeconfig. Users come from a token file, so a test can be
//! somebody with few rights. Must never be used for more than tests: etcd does not sync, data goes with the folder.

use super::keep::{Kept, Launch};
use super::run::{free_port, run_dir, tool};
use super::wait::{self, Seen};
use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long the API may take to come up; it takes 2 to 5 s on an idle machine.
const UP_WITHIN: Duration = Duration::from_secs(90);

/// Somebody who may talk to the API server.
#[derive(Clone, Debug)]
pub struct User {
    /// The name that RBAC knows.
    pub name: String,
    /// The groups; `system:masters` may do everything.
    pub groups: Vec<String>,
    /// The bearer token.
    pub token: String,
}

impl User {
    /// Somebody with a token made from the name.
    pub fn new(name: &str, groups: &[&str]) -> User {
        User {
            name: name.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            token: format!("{}-token", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
        }
    }
}

/// A running control plane; ended when dropped, or with this process.
pub struct ControlPlane {
    url: String,
    token: String,
    dir: PathBuf,
    ca: PathBuf,
    kubeconfig: PathBuf,
    // Ended in this order: those that talk to the API server first.
    parts: Mutex<Vec<Kept>>,
}

impl ControlPlane {
    /// The one of this test process, started at its first use. Tests share it, each in namespaces of its own.
    pub async fn shared() -> Result<&'static ControlPlane> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(async || ControlPlane::start(&run_dir("control-plane")?).await).await
    }

    /// Starts one in `dir` with an administrator only.
    pub async fn start(dir: &Path) -> Result<ControlPlane> {
        ControlPlane::start_with(dir, &[]).await
    }

    /// Starts one in `dir` with further users.
    pub async fn start_with(dir: &Path, users: &[User]) -> Result<ControlPlane> {
        clientnumber::install_crypto_provider();
        let admin = User::new("admin", &["system:masters"]);
        let pki = dir.join("pki");
        fs::create_dir_all(&pki)?;
        let tokens = dir.join("tokens.csv");
        fs::write(&tokens, token_file(std::iter::once(&admin).chain(users)))?;
        let key = dir.join("service-account.key");
        write_key(&key)?;

        let (client_port, peer_port, api_port) = (free_port()?, free_port()?, free_port()?);
        let etcd_url = format!("http://127.0.0.1:{client_port}");
        let etcd = Launch::new("etcd", tool("controlplane/etcd")?, dir).grace(0.0).args([
            "--unsafe-no-fsync".to_owned(),
            format!("--data-dir={}", dir.join("etcd").display()),
            format!("--listen-client-urls={etcd_url}"),
            format!("--advertise-client-urls={etcd_url}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
        ]);
        let api_server = Launch::new("kube-apiserver", tool("controlplane/kube-apiserver")?, dir).grace(0.0).args([
            format!("--etcd-servers={etcd_url}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={api_port}"),
            format!("--cert-dir={}", pki.display()),
            "--service-account-issuer=https://localhost".to_owned(),
            format!("--service-account-key-file={}", key.display()),
            format!("--service-account-signing-key-file={}", key.display()),
            format!("--token-auth-file={}", tokens.display()),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ]);

        let mut etcd = etcd.start()?;
        let mut api_server = api_server.start()?;
        let url = format!("https://127.0.0.1:{api_port}");
        let ca = pki.join("apiserver.crt");
        let kubeconfig = dir.join("kubeconfig");
        wait_ready(&url, &mut etcd, &mut api_server).await?;
        fs::write(&kubeconfig, kubeconfig_text(&url, Some(&ca), &admin.token)?)?;

        let controllers = Launch::new("kube-controller-manager", tool("controlplane/kube-controller-manager")?, dir)
            .grace(0.0)
            .args([
                format!("--kubeconfig={}", kubeconfig.display()),
                "--controllers=namespace-controller,garbage-collector-controller".to_owned(),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
            ]);
        let parts = Mutex::new(vec![controllers.start()?, api_server, etcd]);
        Ok(ControlPlane { url, token: admin.token, dir: dir.to_owned(), ca, kubeconfig, parts })
    }

    /// `https://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The administrator's bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// The administrator's client. A new one for each test, because it lives in the test's own runtime.
    pub async fn client(&self) -> Result<kube::Client> {
        client_of(&self.kubeconfig).await
    }

    /// A kubeconfig file for somebody else's token.
    pub fn kubeconfig_for(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.dir.join(format!("kubeconfig-{name}"));
        fs::write(&path, kubeconfig_text(&self.url, Some(&self.ca), token)?)?;
        Ok(path)
    }

    /// A token of a service account that exists, good for an hour, as a pod of it would have.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let accounts: kube::Api<k8s_openapi::api::core::v1::ServiceAccount> =
            kube::Api::namespaced(self.client().await?, namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let made: TokenRequest = accounts.create_subresource("token", name, &Default::default(), &request).await?;
        made.status.and_then(|status| status.token).with_context(|| format!("no token came for {namespace}/{name}"))
    }

    /// Runs kubectl as the administrator; what it printed. An error holds what it complained about.
    pub async fn kubectl<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        kubectl(&self.kubeconfig, args).await
    }

    /// None while all parts run; else which one ended, and the end of its log.
    pub fn ended(&self) -> Option<String> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().find_map(Kept::ended)
    }
}

/// Runs the pinned kubectl with a kubeconfig; what it printed. An error holds what it complained about.
pub async fn kubectl<S: AsRef<std::ffi::OsStr>>(
    kubeconfig: &Path,
    args: impl IntoIterator<Item = S>,
) -> Result<String> {
    let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    let done = tokio::process::Command::new(tool("controlplane/kubectl")?)
        .args(&args)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    if !done.status.success() {
        bail!("kubectl {args:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A client for a kubeconfig file.
pub async fn client_of(kubeconfig: &Path) -> Result<kube::Client> {
    clientnumber::install_crypto_provider();
    let config = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

/// The text of a kubeconfig with one cluster and one user.
pub(super) fn kubeconfig_text(url: &str, ca: Option<&Path>, token: &str) -> Result<String> {
    let mut cluster = json!({"server": url});
    if let Some(ca) = ca {
        cluster["certificate-authority"] = json!(ca);
    }
    Ok(serde_json::to_string_pretty(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user"}}],
        "current-context": "testbed",
    }))?)
}

fn token_file<'a>(users: impl Iterator<Item = &'a User>) -> String {
    users.map(|user| format!("{},{},{},\"{}\"\n", user.token, user.name, user.name, user.groups.join(","))).collect()
}

/// A fresh key for service account tokens.
fn write_key(path: &Path) -> Result<()> {
    let made = Command::new(tool("controlplane/controlplane")?).arg("keygen").output()?;
    if !made.status.success() {
        bail!("controlplane keygen failed: {}; run scripts/setup", String::from_utf8_lossy(&made.stderr).trim());
    }
    Ok(fs::write(path, made.stdout)?)
}

/// Waits until the API server says that it is ready. Any certificate will do for this question.
async fn wait_ready(url: &str, etcd: &mut Kept, api_server: &mut Kept) -> Result<()> {
    let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build()?;
    let log = api_server.log().to_owned();
    wait::until(UP_WITHIN, "the API server to be ready", async || {
        if let Some(end) = etcd.ended().or_else(|| api_server.ended()) {
            return Seen::Never(end);
        }
        let answer = match http.get(format!("{url}/readyz")).timeout(Duration::from_secs(5)).send().await {
            Ok(answer) if answer.status().is_success() => return Seen::Done(()),
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => format!("{error:#}"),
        };
        Seen::NotYet(format!("{answer}; its log {} ends with:\n{}", log.display(), super::run::tail(&log, 5)))
    })
    .await
}
