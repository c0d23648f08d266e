//! Proxies and certificates from the environment, for real: each case is a process of its own that makes one call with the
//! variables that an administrator would set. The token must never be read by a proxy.
//!
//! The certificates in `tests/support/tls` are good for a hundred years; the CA's key was thrown away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use clientnumber::providers::{Http, telnyx};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{root, run_dir};

const TOKEN: &str = "KEYnetwork4d1e5f";
const CHILD: &str = "CLIENTNUMBER_NETWORK_CHILD";
const TEST: &str = "network::proxies_and_certificates_come_from_the_environment";

/// What a listener has read of its clients.
type Read = Arc<Mutex<Vec<String>>>;
/// URL, variables, whether the call succeeds, whether it goes through the proxy.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool, bool);

#[tokio::test(flavor = "multi_thread")]
async fn proxies_and_certificates_come_from_the_environment() -> Result<()> {
    if let Ok(url) = std::env::var(CHILD) {
        return child(&url).await;
    }
    let (secure, secure_read) = provider(true).await?;
    let (plain, plain_read) = provider(false).await?;
    let (proxy, proxy_read) = proxy(secure).await?;
    let ca = pem("ca.pem");
    // OpenSSL's folders hold certificates under the hash of their names.
    let folder = run_dir("network")?;
    std::fs::copy(&ca, folder.join("1a2b3c4d.0"))?;
    let (ca, folder) = (ca.display().to_string(), folder.display().to_string());
    let proxy = format!("http://{proxy}");
    let direct = format!("https://localhost:{}/v2", secure.port());
    let behind = "https://provider.test/v2".to_owned();
    let local = format!("http://{plain}/v2");

    let (file, dir) = (("SSL_CERT_FILE", ca.as_str()), ("SSL_CERT_DIR", folder.as_str()));
    let (https, http, all) =
        (("HTTPS_PROXY", proxy.as_str()), ("HTTP_PROXY", proxy.as_str()), ("ALL_PROXY", proxy.as_str()));
    let cases: [Case; 7] = [
        (&direct, &[], false, false),
        (&direct, &[file], true, false),
        (&direct, &[dir], true, false),
        (&behind, &[file, https], true, true),
        (&behind, &[https], false, true),
        (&direct, &[file, https, ("NO_PROXY", "localhost,127.0.0.1")], true, false),
        (&local, &[http, https, all], true, false),
    ];
    for (url, env, works, proxied) in cases {
        for read in [&secure_read, &plain_read, &proxy_read] {
            read.lock().unwrap().clear();
        }
        let said = run_child(url, env).await?;
        ensure!(said.contains("RESULT ok") == works, "{url} {env:?}: {said}");
        ensure!(works || said.contains("no connection to"), "{url} {env:?}: {said}");
        ensure!(!said.contains(TOKEN), "{url} {env:?}: the token was shown: {said}");
        let heard: Vec<String> =
            [&secure_read, &plain_read].iter().flat_map(|read| read.lock().unwrap().clone()).collect();
        ensure!(heard.iter().any(|text| text.contains(TOKEN)) == works, "{url} {env:?}: the provider heard {heard:?}");
        let passed = proxy_read.lock().unwrap().clone();
        ensure!(passed.is_empty() != proxied, "{url} {env:?}: the proxy read {passed:?}");
        ensure!(!passed.iter().any(|text| text.contains(TOKEN)), "{url} {env:?}: the proxy read the token");
        ensure!(
            !proxied || passed.iter().any(|text| text.starts_with("CONNECT provider.test:443 ")),
            "{url}: {passed:?}"
        );
    }
    Ok(())
}

/// One call, in a process of its own.
async fn child(url: &str) -> Result<()> {
    let client = telnyx::Client::new(url, TOKEN.into(), &Http::new()?)?;
    match client.balance().await {
        Ok(balance) => println!("RESULT ok {}", balance.available.display()),
        Err(error) => println!("RESULT error {error} {error:?}"),
    }
    Ok(())
}

async fn run_child(url: &str, env: &[(&str, &str)]) -> Result<String> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.args([TEST, "--exact", "--nocapture"]).env(CHILD, url).kill_on_drop(true);
    for name in
        ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD"]
    {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let done = command.envs(env.iter().copied()).output().await?;
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(said.contains("RESULT "), "the child said nothing: {said}");
    Ok(said)
}

fn pem(name: &str) -> PathBuf {
    root().join("tests/support/tls").join(name)
}

/// Answers each request with a balance.
async fn provider(secure: bool) -> Result<(SocketAddr, Read)> {
    let (listener, read) = (TcpListener::bind("127.0.0.1:0").await?, Read::default());
    let acceptor = secure.then(acceptor).transpose()?;
    let (address, heard) = (listener.local_addr()?, read.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, heard) = (acceptor.clone(), heard.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => answer(stream, &heard).await,
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => answer(stream, &heard).await,
                        Err(_) => Ok(()),
                    },
                }
            });
        }
    });
    Ok((address, read))
}

fn acceptor() -> Result<tokio_rustls::TlsAcceptor> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let certificate = CertificateDer::from_pem_slice(&read(&pem("server.pem"))?)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&pem("server.key"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, heard: &Read) -> std::io::Result<()> {
    let request = head(&mut stream).await?;
    heard.lock().unwrap().push(request);
    let body =
        r#"{"data":{"balance":"7.00","available_credit":"7.00","credit_limit":"0","pending":"0","currency":"USD"}}"#;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

/// Up to the empty line.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") && read.len() < 16_384 {
        read.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// A CONNECT proxy that leads everywhere to `target`, and keeps what clients send through it.
async fn proxy(target: SocketAddr) -> Result<(SocketAddr, Read)> {
    let (listener, read) = (TcpListener::bind("127.0.0.1:0").await?, Read::default());
    let (address, passed) = (listener.local_addr()?, read.clone());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let passed = passed.clone();
            tokio::spawn(async move {
                let asked = head(&mut client).await?;
                passed.lock().unwrap().push(asked);
                let server = TcpStream::connect(target).await?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.split(), server.into_split());
                let back = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(|_| ()) };
                let forth = async {
                    let mut buffer = [0; 4096];
                    loop {
                        let count = from_client.read(&mut buffer).await?;
                        if count == 0 {
                            return Ok(());
                        }
                        passed.lock().unwrap().push(String::from_utf8_lossy(&buffer[..count]).into_owned());
                        to_server.write_all(&buffer[..count]).await?;
                    }
                };
                tokio::select! { done = back => done, done = forth => done }
            });
        }
    });
    Ok((address, read))
}
