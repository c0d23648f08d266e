//! What candidates said and are, each text with the companies that may hold it; and where it was found instead.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::book::{self, Key};
use super::finder::Finder;
use super::plan::{Kind, Plan};
use super::walk::{Place, Places};

/// All texts, and whose they are.
pub struct Markers {
    pub finder: Finder,
    what: Vec<&'static str>,
    owners: Vec<BTreeSet<usize>>,
    /// What each company's log holds for certain.
    pub held: Vec<BTreeSet<usize>>,
    /// One text of each company and its number, to be planted where it must not be.
    pub samples: BTreeMap<usize, (usize, String)>,
}

impl Markers {
    /// `owners`: of each item, in the plan's order; `certain`: keys of what its owner's log must hold.
    pub fn new(plan: &Plan, keys: &[Key], owners: &[Option<usize>], certain: &HashMap<Key, usize>) -> Markers {
        let companies = plan.size.companies;
        let mut all = Markers {
            finder: Finder::default(),
            what: Vec::new(),
            owners: Vec::new(),
            held: vec![BTreeSet::new(); companies],
            samples: BTreeMap::new(),
        };
        let mut people: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); plan.candidates.len()];
        for ((item, key), owner) in plan.items.iter().zip(keys).zip(owners) {
            people[item.candidate].extend(owner);
            let mut texts = vec![("wamid", &item.wamid)];
            if item.kind != Kind::Status {
                texts.push(("text", &item.text));
            }
            if matches!(item.kind, Kind::Image | Kind::New) {
                texts.push(("media id", &item.media_id));
            }
            for (what, text) in texts {
                let number = all.add(what, text, owner.iter().copied().collect());
                if let Some(holder) = certain.get(key) {
                    all.held[*holder].insert(number);
                    all.samples.entry(*holder).or_insert_with(|| (number, text.clone()));
                }
            }
        }
        let mut numbers = Vec::new();
        for (candidate, owners) in plan.candidates.iter().zip(people) {
            let texts = [("name", &candidate.name), ("BSUID", &candidate.user_id), ("phone", &candidate.phone)];
            numbers.push(texts.map(|(what, text)| all.add(what, text, owners.clone())));
        }
        // An entry bears of its candidate what came with it.
        for (item, holder) in plan.items.iter().zip(keys.iter().map(|key| certain.get(key))) {
            let (Some(holder), [name, user_id, phone]) = (holder, numbers[item.candidate]) else { continue };
            let shown = [(name, true), (user_id, book::shows_user_id(plan, item)), (phone, item.with_phone)];
            all.held[*holder].extend(shown.iter().filter(|(_, is)| *is).map(|(number, _)| number));
        }
        all
    }

    fn add(&mut self, what: &'static str, text: &str, owners: BTreeSet<usize>) -> usize {
        self.what.push(what);
        self.owners.push(owners);
        self.finder.add(text)
    }

    /// What stands where it must not. `databases`: each company's.
    pub fn misplaced(&self, places: &Places, databases: &[String]) -> Vec<String> {
        let mut faults = Vec::new();
        for ((database, collection), place) in places {
            let company = databases.iter().position(|name| name == database);
            let foreign = |number: &&usize| company.is_none_or(|company| !self.owners[**number].contains(&company));
            for number in place.found.iter().filter(foreign) {
                faults.push(format!("a {} in {database}.{collection}", self.what[*number]));
            }
        }
        faults
    }

    /// What a place holds that may hold nothing.
    pub fn any(&self, name: &str, place: &Place) -> Vec<String> {
        place.found.iter().map(|number| format!("a {} in {name}", self.what[*number])).collect()
    }

    /// Companies whose log does not show all that it holds for certain: then the search is blind.
    pub fn unseen(&self, places: &Places, databases: &[String]) -> Vec<String> {
        let none = BTreeSet::new();
        let mut faults = Vec::new();
        for (held, database) in self.held.iter().zip(databases) {
            let log = places.get(&(database.clone(), "log".to_owned()));
            let found = log.map_or(&none, |place| &place.found);
            let unseen = held.difference(found).count();
            if unseen > 0 || held.is_empty() {
                faults.push(format!("{unseen} of {} texts were not seen in {database}.log", held.len()));
            }
        }
        faults
    }

    /// How many texts of each kind were found in companies' own databases.
    pub fn seen(&self, places: &Places) -> BTreeMap<&'static str, usize> {
        let found: BTreeSet<usize> = places.values().flat_map(|place| place.found.iter().copied()).collect();
        let mut kinds = BTreeMap::new();
        for number in found {
            *kinds.entry(self.what[number]).or_default() += 1;
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::key;
    use crate::plan::Size;

    #[test]
    fn what_stands_where_it_must_not_is_found() {
        let plan = Plan::draw(5, Size { companies: 4, posts: 100, messages: 200 });
        let keys: Vec<Key> = plan.items.iter().map(key).collect();
        let owners: Vec<Option<usize>> = plan.items.iter().map(|item| (item.line < 4).then_some(item.line)).collect();
        let certain = keys.iter().cloned().zip(&owners).filter_map(|(key, owner)| Some((key, (*owner)?))).collect();
        let markers = Markers::new(&plan, &keys, &owners, &certain);
        let databases: Vec<String> = (0..4).map(|n| format!("co_{n}")).collect();
        let log = |n: usize| (databases[n].clone(), "log".to_owned());
        let with = |found: BTreeSet<usize>| Place { found, ..Place::default() };
        let good: Places = (0..4).map(|n| (log(n), with(markers.held[n].clone()))).collect();
        assert_eq!((markers.misplaced(&good, &databases), markers.unseen(&good, &databases)), (vec![], vec![]));
        let samples: Vec<usize> = markers.samples.values().map(|(number, _)| *number).collect();
        assert_eq!(samples.len(), 4);
        let plant = |place: (String, String), number: usize| {
            let mut places: Places = good.iter().map(|(k, v)| (k.clone(), with(v.found.clone()))).collect();
            places.entry(place).or_default().found.insert(number);
            markers.misplaced(&places, &databases)
        };
        assert_eq!(plant(log(1), samples[0]), ["a wamid in co_1.log"]);
        assert_eq!(plant(("co_1".into(), "cursors".into()), samples[0]), ["a wamid in co_1.cursors"]);
        assert_eq!(plant(("co_0".into(), "cursors".into()), samples[0]), [""; 0]);
        let platform = ("clientnumber".to_owned(), "quarantine".to_owned());
        assert_eq!(plant(platform, samples[0]), ["a wamid in clientnumber.quarantine"]);
        for kind in ["wamid", "text", "media id", "name", "BSUID", "phone"] {
            let mut blind: Places = good.iter().map(|(k, v)| (k.clone(), with(v.found.clone()))).collect();
            blind.get_mut(&log(2)).unwrap().found.retain(|number| markers.what[*number] != kind);
            assert_eq!(markers.unseen(&blind, &databases).len(), 1, "nobody sees that no {kind} is found");
        }
    }
}
