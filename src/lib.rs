//! ClientNumber: one WhatsApp number per client company, declared in Kubernetes.
//!
//! The layers, outermost first; each uses those below it, never those above, which a test below holds true:
//! `cli` starts programs; `controller`, `line` and `portfolio` are one layer, the controller; `delivery` (sockets) and
//! below it `router` (ingest) serve messages; `telemetry` logs and measures; `code` catches the verification code; `store`
//! is MongoDB; `providers` is Telnyx and Meta over HTTP; `money` prices; `listen` accepts connections; `resources` are the
//! Kubernetes kinds; `domain` holds the words. `sandbox` plays the two providers for development: only `cli` may use it,
//! and it uses nothing but `domain`, so that it is a judge of the clients and not their echo.

pub mod cli;
pub mod code;
pub mod controller;
pub mod delivery;
pub mod domain;
pub mod line;
pub mod listen;
pub mod money;
pub mod portfolio;
pub mod providers;
pub mod resources;
mod restart;
pub mod router;
pub mod sandbox;
pub mod store;
pub mod telemetry;
mod test_switches;

/// Installs ring as the process-wide TLS provider. Call once, first thing in `main` and in tests that speak TLS:
/// rustls refuses to choose by itself when several crates could bring one.
pub fn install_crypto_provider() {
    // An Err means that one is installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// Outermost first; modules of one entry may use each other.
    const LAYERS: [&[&str]; 11] = [
        &["cli"],
        &["controller", "line", "portfolio"],
        &["delivery"],
        &["router"],
        &["telemetry"],
        &["code", "store"],
        &["providers"],
        &["money"],
        &["listen", "restart"],
        &["resources"],
        &["domain"],
    ];

    fn layer(module: &str) -> Option<usize> {
        LAYERS.iter().position(|layer| layer.contains(&module))
    }

    fn files(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().flatten().for_each(|entry| files(&entry.path(), found));
        } else {
            found.push(path.to_owned());
        }
    }

    #[test]
    fn each_layer_uses_those_below_it_only() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut all = Vec::new();
        files(&src, &mut all);
        let mut uses = 0;
        for file in all {
            let inside = file.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
            let module = inside.split(['/', '.']).next().unwrap_or_default().to_owned();
            if ["lib", "main", "test_switches"].contains(&module.as_str()) {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for part in line.split("crate::").skip(1) {
                    let used: String = part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                    let allowed = match (module.as_str(), used.as_str()) {
                        ("cli", "sandbox") | ("sandbox", "sandbox" | "domain") => true,
                        ("sandbox", other) | (_, other @ "sandbox") => layer(other).is_none() && other != "sandbox",
                        (user, used) => layer(used).is_none_or(|below| layer(user).is_some_and(|above| above <= below)),
                    };
                    uses += usize::from(layer(&used).is_some());
                    assert!(allowed, "{inside} uses {used}, which is not below it");
                }
            }
        }
        assert!(uses > 100, "only {uses} uses found: does the search still work?");
    }
}
