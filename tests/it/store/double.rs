//! The double with an index on `_id` answers what the double as it is delivered answers. If it doesn't, every other test of
//! the store says nothing.

use crate::support::*;
use anyhow::{Result, ensure};
use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::{FindOptions, IndexOptions};
use mongodb::{Collection, IndexModel};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

const QUERIES: u64 = 400;

#[tokio::test]
async fn an_index_on_id_changes_no_answer() -> Result<()> {
    let [ours, plain] = &both("double-index").await?;
    let (ours, plain) = (collection(ours).await?, collection(plain).await?);
    let mut draw = SmallRng::seed_from_u64(11);
    let mut seqs: Vec<i64> = (-20..400).filter(|_| draw.random_bool(0.7)).collect();
    seqs.shuffle(&mut draw);
    // As no log is filled, but as an index must bear: in any order, and with neighbours that sort before and after.
    let entries: Vec<Document> = seqs.iter().map(|&seq| entry(seq, &mut draw)).collect();
    for collection in [&ours, &plain] {
        collection.insert_many(&entries).await?;
        for neighbour in ["lo", "log2"] {
            collection
                .client()
                .database("company")
                .collection::<Document>(neighbour)
                .insert_many(&entries[..3])
                .await?;
        }
    }
    let mut found = 0;
    for n in 0..QUERIES {
        let mut draw = SmallRng::seed_from_u64(n);
        let (filter, options) = query(&seqs, &mut draw);
        let ask = async |of: &Collection<Document>| -> Result<Vec<Document>> {
            Ok(of.find(filter.clone()).with_options(options.clone()).await?.try_collect().await?)
        };
        let (ours, plain) = (ask(&ours).await?, ask(&plain).await?);
        ensure!(ours == plain, "{filter} {options:?}\nwith the index: {ours:?}\nwithout: {plain:?}");
        found += ours.len();
    }
    assert!(found > 5_000, "the questions found {found} entries only");
    Ok(())
}

#[tokio::test]
async fn nor_does_it_for_ids_of_several_fields() -> Result<()> {
    let mut ends = Vec::new();
    for store in &both("double-ids").await? {
        let sessions = store.client().await?.database("platform").collection::<Document>("sessions");
        let mut told = Vec::new();
        for n in 0..40_i32 {
            let mut id = doc! {"company": "atlas", "recruiter": format!("r{}", n % 7), "device": n % 3};
            if n % 2 == 0 {
                id.insert("device", "phone");
            }
            let change = doc! {"$inc": {"number": 1_i64}, "$setOnInsert": {"first": n}};
            told.push(sessions.find_one_and_update(doc! {"_id": id}, change).upsert(true).await?);
        }
        for id in [
            doc! {"company": "atlas", "recruiter": "r1", "device": "phone"},
            doc! {"recruiter": "r1", "company": "atlas", "device": "phone"},
            doc! {"company": "atlas", "recruiter": "r1", "device": 1},
            // The same number of another type is the same, another order of fields or a field less is not.
            doc! {"company": "atlas", "recruiter": "r1", "device": 1.0},
            doc! {"recruiter": "r1", "company": "atlas", "device": 1},
            doc! {"company": "atlas", "recruiter": "r1"},
        ] {
            told.push(sessions.find_one(doc! {"_id": &id}).await?);
            told.push(sessions.find_one(doc! {"_id": &id, "number": {"$gt": 1}}).await?);
            let seated = sessions.update_one(doc! {"_id": &id}, doc! {"$max": {"seat": 9_i64}}).await?;
            told.push(Some(doc! {"matched": i64::try_from(seated.matched_count)?}));
            let gone = sessions.delete_one(doc! {"_id": &id, "number": 0_i64}).await?;
            told.push(Some(doc! {"gone": i64::try_from(gone.deleted_count)?}));
        }
        ends.push(told);
    }
    ensure!(ends[0] == ends[1], "with the index: {:?}\nwithout: {:?}", ends[0], ends[1]);
    let matched = ends[0].iter().flatten().filter(|told| told.get_i64("matched").is_ok_and(|n| n == 1)).count();
    assert_eq!(matched, 3, "{:?}", ends[0]);
    Ok(())
}

/// The double as tests have it, and as it is delivered.
async fn both(name: &str) -> Result<[Mongo; 2]> {
    let options = MongoOptions { as_delivered: true, ..MongoOptions::default() };
    let ours = Mongo::start(&run_dir(name)?, MongoOptions::default()).await?;
    Ok([ours, Mongo::start(&run_dir(&format!("{name}-plain"))?, options).await?])
}

async fn collection(store: &Mongo) -> Result<Collection<Document>> {
    let collection = store.client().await?.database("company").collection::<Document>("log");
    let unique = IndexOptions::builder().unique(true).partial_filter_expression(doc! {"meta_id": {"$exists": true}});
    let by_contact = IndexModel::builder().keys(doc! {"contact_id": 1, "_id": -1}).build();
    let by_meta = IndexModel::builder().keys(doc! {"meta_id": 1}).options(unique.build()).build();
    collection.create_indexes([by_contact, by_meta]).await?;
    Ok(collection)
}

fn entry(seq: i64, draw: &mut SmallRng) -> Document {
    if draw.random_bool(0.1) {
        return doc! {"_id": seq, "ours": true, "kind": "fence"};
    }
    let contact = format!("c{}", draw.random_range(0..9));
    doc! {"_id": seq, "at": draw.random::<f64>(), "contact_id": contact, "meta_id": seq.to_string(), "raw": "{}"}
}

fn query(seqs: &[i64], draw: &mut SmallRng) -> (Document, FindOptions) {
    let mut filter = Document::new();
    if draw.random_bool(0.7) {
        let mut range = Document::new();
        for _ in 0..draw.random_range(1..3) {
            let bound = ["$gt", "$gte", "$lt", "$lte"].choose(draw).copied().unwrap_or("$gt");
            range.insert(bound, seqs.choose(draw).copied().unwrap_or(0) + draw.random_range(0..2));
        }
        filter.insert("_id", range);
    }
    if draw.random_bool(0.3) {
        filter.insert(
            "ours",
            if draw.random() {
                doc! {"$ne": true}
            } else {
                doc! {"$eq": true}
            },
        );
    }
    if draw.random_bool(0.2) {
        filter.insert("contact_id", doc! {"$in": ["c1", "c2"]});
    }
    if draw.random_bool(0.2) {
        filter.insert("at", doc! {"$gte": draw.random::<f64>()});
    }
    let mut options = FindOptions::default();
    options.sort = Some(doc! {"_id": if draw.random() { 1 } else { -1 }});
    options.limit = [None, Some(1), Some(7), Some(50)].choose(draw).copied().flatten();
    options.skip = draw.random_bool(0.2).then_some(3);
    options.projection = [None, Some(doc! {"_id": 1}), Some(doc! {"raw": 0})].choose(draw).cloned().flatten();
    (filter, options)
}
