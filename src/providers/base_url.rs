//! Which base URLs a token may be sent to: https anywhere, plain http only inside this machine or the cluster. Pure.

use reqwest::Url;

use crate::domain::Invalid;

/// A checked base URL.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl {
    url: Url,
    local: bool,
}

impl BaseUrl {
    /// Checks scheme, host and the absence of user info, query and fragment. The error names the host only.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        const WAY_OUT: &str = "use an https URL without user, query or fragment, such as https://api.telnyx.com/v2; \
                               plain http only to localhost, 127.0.0.1, ::1 or a host ending in .svc or .svc.cluster.local";
        let bad = |shown: &str| Invalid::new("base URL", shown, WAY_OUT);
        let url = Url::parse(text).map_err(|_| bad("(not a URL)"))?;
        let host = url.host_str().unwrap_or("").to_owned();
        let clean = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && !host.is_empty();
        let plain = match url.scheme() {
            "https" => false,
            "http" if is_local(&host) => true,
            _ => return Err(bad(&format!("{}://{host}", url.scheme()))),
        };
        if clean { Ok(Self { url, local: plain }) } else { Err(bad(&format!("{}://{host}", url.scheme()))) }
    }

    /// True for plain http: such a call must not go through a proxy, since the token would leave the machine unencrypted.
    pub(crate) fn is_plain(&self) -> bool {
        self.local
    }

    /// Host and port: which installation of the provider it is.
    pub(crate) fn authority(&self) -> String {
        self.url.authority().to_owned()
    }

    /// The URL of a path below the base; each segment is encoded, so an id can't leave its place.
    pub(crate) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            for segment in segments {
                // An empty or dotted segment would address the parent: encode it visibly instead.
                path.push(match *segment {
                    "" | "." | ".." => "_",
                    other => other,
                });
            }
        }
        url
    }
}

/// One address that is used exactly as it is, with its query; true: plain http, which must not go through a proxy. None:
/// neither https nor local, or with a user or a fragment.
pub(crate) fn address(text: &str) -> Option<(Url, bool)> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let plain = match url.scheme() {
        "https" => false,
        "http" if is_local(host) => true,
        _ => return None,
    };
    let clean = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    clean.then_some((url, plain))
}

/// Loopback or cluster-local.
pub(crate) fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    matches!(host, "localhost" | "127.0.0.1" | "::1") || host.ends_with(".svc") || host.ends_with(".svc.cluster.local")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_token_may_go() {
        for good in [
            "https://api.telnyx.com/v2",
            "https://graph.facebook.com/",
            "http://127.0.0.1:4010/v2",
            "http://localhost:1",
            "http://[::1]:4010/v2",
            "http://sandbox.dev.svc:80",
            "http://sandbox.dev.svc.cluster.local",
        ] {
            assert!(BaseUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "api.telnyx.com",
            "http://api.telnyx.com/v2",
            "http://127.0.0.1.example.com",
            "http://evil.svc.example.com",
            "ftp://127.0.0.1",
            "https://user:pass@api.telnyx.com",
            "https://api.telnyx.com/?x=1",
            "https://api.telnyx.com/#x",
        ] {
            let error = BaseUrl::parse(bad).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("https") && !error.contains("pass"), "{bad}: {error}");
        }
    }

    #[test]
    fn addresses_keep_their_query() {
        for (text, want) in [
            ("https://stt.example.ma/v1/t?key=1", Some(false)),
            ("http://stt.speech.svc/v1/t", Some(true)),
            ("http://stt.example.ma/v1/t", None),
            ("https://user:pass@stt.example.ma/v1/t", None),
            ("https://stt.example.ma/#t", None),
            ("stt.example.ma/v1", None),
        ] {
            let got = address(text);
            assert_eq!(got.as_ref().map(|(_, plain)| *plain), want, "{text}");
            assert!(got.is_none_or(|(url, _)| url.as_str() == text), "{text}");
        }
    }

    #[test]
    fn segments_stay_in_their_place() {
        let base = BaseUrl::parse("http://127.0.0.1:1/v2/").unwrap();
        for (segments, want) in [
            (&["phone_numbers", "12"][..], "http://127.0.0.1:1/v2/phone_numbers/12"),
            (&["phone_numbers", "../a?b#c"], "http://127.0.0.1:1/v2/phone_numbers/..%2Fa%3Fb%23c"),
            (&["phone_numbers", ".."], "http://127.0.0.1:1/v2/phone_numbers/_"),
        ] {
            assert_eq!(base.join(segments).as_str(), want);
        }
    }
}
