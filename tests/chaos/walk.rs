//! Every document of every collection of every database, as the bytes that the server sends, searched for what candidates
//! said and are. Logs and metrics too.
//!
//! Nothing is left out but `local`, a server's own record of its writes, which belongs to no database of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use futures::TryStreamExt;
use mongodb::bson::{RawDocumentBuf, doc};

use super::finder::Finder;

/// What was found in one place: the numbers of the texts, and how much was searched.
#[derive(Default)]
pub struct Place {
    pub found: BTreeSet<usize>,
    pub documents: usize,
    pub bytes: usize,
}

/// By database and collection.
pub type Places = BTreeMap<(String, String), Place>;

/// Searches the whole store.
pub async fn store(client: &mongodb::Client, finder: &Finder) -> Result<Places> {
    let mut places = Places::new();
    for database in client.list_database_names().await?.into_iter().filter(|name| name != "local") {
        let db = client.database(&database);
        for collection in db.list_collection_names().await? {
            let place = places.entry((database.clone(), collection.clone())).or_default();
            let mut all = db.collection::<RawDocumentBuf>(&collection).find(doc! {}).await?;
            while let Some(document) = all.try_next().await? {
                place.documents += 1;
                place.bytes += document.as_bytes().len();
                finder.find(document.as_bytes(), &mut place.found);
            }
        }
    }
    Ok(places)
}

/// Searches a file or a text.
pub fn bytes(bytes: &[u8], finder: &Finder) -> Place {
    let mut place = Place { documents: 1, bytes: bytes.len(), ..Place::default() };
    finder.find(bytes, &mut place.found);
    place
}

/// Searches a file.
pub fn file(path: &Path, finder: &Finder) -> Result<Place> {
    Ok(bytes(&std::fs::read(path)?, finder))
}
