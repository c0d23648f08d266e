//! The operator's transcriber of a Portfolio: what it is made of, and asking it about one recording. It is asked last, and a
//! Portfolio whose transcriber can't be used works all the same: only who would ask it is told what is wrong.
//!
//! Must never keep a recording's sound or words.

use std::hash::{DefaultHasher, Hash};

use secrecy::{ExposeSecret, SecretString};

use super::accounts::Account;
use crate::domain::Invalid;
use crate::providers::telnyx::Recording;
use crate::providers::transcriber::{self, Transcriber};
use crate::providers::{Http, ProviderError};
use crate::resources::portfolio;

/// The token that a Portfolio names for its transcriber.
#[derive(Clone)]
pub enum TranscriberToken {
    /// It names none.
    None,
    /// As it stands in the Secret.
    Token(SecretString),
    /// The Secret can't be used: which, and why.
    Missing(String),
}

impl TranscriberToken {
    /// For telling one from another.
    pub(super) fn hash_into(&self, hasher: &mut DefaultHasher) {
        match self {
            Self::None => "none".hash(hasher),
            Self::Token(token) => ("token", token.expose_secret()).hash(hasher),
            Self::Missing(problem) => ("missing", problem).hash(hasher),
        }
    }
}

/// The transcriber of an account, or why it can't be asked.
pub(super) struct Operator {
    http: Http,
    client: Result<Transcriber, String>,
}

impl Operator {
    pub(super) fn new(spec: &portfolio::Transcriber, token: &TranscriberToken, http: &Http) -> Result<Self, Invalid> {
        let token = match token {
            TranscriberToken::None => Ok(None),
            TranscriberToken::Token(token) => Ok(Some(token.clone())),
            TranscriberToken::Missing(problem) => Err(problem.clone()),
        };
        let client = match token {
            Ok(token) => Ok(Transcriber::new(&spec.url, token, spec.model.clone(), http)?),
            Err(problem) => Err(problem),
        };
        Ok(Self { http: http.clone(), client })
    }
}

impl Account {
    /// What the operator's transcriber hears in a recording; None: the Portfolio names none, or the recording is gone. The
    /// recording is read anew for its address, its sound is fetched into memory and handed on: three calls, none repeated.
    ///
    /// # Errors
    /// Those of each call; NeedsHuman if the transcriber's Secret can't be used.
    pub async fn transcribe_by_operator(&self, recording: &Recording) -> Result<Option<SecretString>, ProviderError> {
        let Some(operator) = &self.operator else { return Ok(None) };
        let client = operator.client.as_ref().map_err(|problem| transcriber::without_token(problem))?;
        // The download address is good for about ten minutes.
        let Some(fresh) = self.telnyx.recording(&recording.id).await? else { return Ok(None) };
        let sound = operator.http.sound(&fresh).await?;
        client.transcribe(&sound).await.map(Some)
    }
}
