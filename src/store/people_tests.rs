use super::*;
use crate::domain::{E164, PhoneNumberId};
use crate::store::log_entry::{Kind, LineRef};

fn text(value: &str) -> Option<Pii<String>> {
    (!value.is_empty()).then(|| Pii(value.to_owned()))
}

fn hint(user: &str, phone: &str, name: &str) -> ContactHint {
    ContactHint { user_id: text(user), wa_id: text(phone), name: text(name), username: None }
}

fn item(hint: ContactHint, changes: Vec<IdentityChange>) -> NewEntry {
    let line = LineRef {
        phone_number_id: PhoneNumberId::parse("1").unwrap(),
        phone_number: E164::parse("+212612345678").unwrap(),
    };
    NewEntry { contact: Some(hint), changes, ..NewEntry::new(Kind::Message, line, 1) }
}

/// From whom, and what Meta says of their ids.
struct World {
    people: People,
    seq: Seq,
    /// Names for ids that are random.
    ids: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self { people: People::default(), seq: 0, ids: Vec::new() }
    }

    fn name(&mut self, id: &str) -> char {
        let place = self.ids.iter().position(|known| known == id).unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        });
        char::from(b'A' + u8::try_from(place).unwrap())
    }

    fn told(&mut self, known: &Known) -> String {
        let text = |id: &Option<Pii<String>>| id.as_ref().map_or("-".to_owned(), |id| id.expose().clone());
        let Contact { user_id, wa_id, name, .. } = &known.contact;
        format!("{} {} {} {}", self.name(&known.id), text(user_id), text(wa_id), text(name))
    }

    /// Whose the item is, and what is written about contacts before it.
    fn meets(&mut self, item: &NewEntry, about: Option<&str>) -> String {
        self.seq += 1;
        let met = self.people.meet(item, about, self.seq).unwrap();
        let mut told = met.whose.as_ref().map_or("nobody".to_owned(), |known| self.told(known));
        for note in &met.notes {
            let merged: String = note.merged.iter().map(|id| self.name(id)).collect();
            told += &format!(
                " | {}{}",
                self.told(&note.known),
                if merged.is_empty() { String::new() } else { format!(" + {merged}") }
            );
        }
        told
    }

    fn says(&mut self, user: &str, phone: &str, name: &str) -> String {
        self.meets(&item(hint(user, phone, name), Vec::new()), None)
    }

    fn changes(&mut self, before: (&str, &str), now: (&str, &str)) -> String {
        let (before, now) = (hint(before.0, before.1, ""), hint(now.0, now.1, ""));
        self.meets(&item(now.clone(), vec![IdentityChange { before, now }]), None)
    }
}

#[test]
fn bsuid_first_phone_second_never_by_force() {
    // (hint user, hint phone), found by user, found by phone, chosen
    let known = |id: &str, user: &str, phone: &str| {
        Some(Known { id: id.into(), contact: overlay(None, &hint(user, phone, "")) })
    };
    let table = [
        (("U1", ""), known("a", "U1", ""), None, "a"),
        (("U1", "212"), known("a", "U1", ""), known("b", "U2", "212"), "a"),
        (("U1", "212"), None, known("b", "", "212"), "b"),
        (("", "212"), None, known("b", "U9", "212"), "b"),
        // The phone number belonged to somebody with another BSUID.
        (("U1", "212"), None, known("b", "U9", "212"), ""),
        (("U1", "212"), None, None, ""),
        (("", ""), None, None, ""),
    ];
    for ((user, phone), by_user, by_phone, want) in table {
        let chosen = choose(&hint(user, phone, ""), by_user, by_phone).map(|k| k.id).unwrap_or_default();
        assert_eq!(chosen, want, "{user} {phone}");
    }
}

#[test]
fn what_is_not_said_again_stays_known_and_what_is_otherwise_is_told() {
    let mut world = World::new();
    assert_eq!(world.says("U1", "", "Amina"), "A U1 - Amina");
    assert_eq!(world.says("U1", "212", ""), "A U1 212 Amina", "learnt for the first time: the item says it");
    assert_eq!(world.says("U1", "", "Amina B"), "A U1 212 Amina B | A U1 212 Amina B");
    assert_eq!(world.says("U1", "213", "Amina B"), "A U1 213 Amina B | A U1 213 Amina B");
    assert_eq!(world.says("", "213", ""), "A U1 213 Amina B");
    assert_eq!(world.says("U2", "", ""), "B U2 - -");
}

#[test]
fn a_person_s_new_ids_lead_to_the_same_contact() {
    for (what, before, now, want) in [
        ("both ids", ("U1", "211"), ("U2", "212"), "A U2 212 Amina | A U2 212 Amina"),
        ("the id alone", ("U1", ""), ("U2", ""), "A U2 211 Amina | A U2 211 Amina"),
        ("the number alone", ("", "211"), ("", "212"), "A U1 212 Amina | A U1 212 Amina"),
        ("a new id by the old number", ("", "211"), ("U2", "212"), "A U2 212 Amina | A U2 212 Amina"),
        ("of somebody unknown", ("U8", ""), ("U9", ""), "B U9 - -"),
        ("a number that the contact never had", ("", "299"), ("U2", "212"), "B U2 212 -"),
        ("an id and somebody else's number", ("U8", "211"), ("U9", "212"), "B U9 212 -"),
    ] {
        let mut world = World::new();
        world.says("U1", "211", "Amina");
        assert_eq!(world.changes(before, now), want, "{what}");
    }
}

#[test]
fn old_webhooks_undo_nothing() {
    let mut world = World::new();
    world.says("U1", "211", "Amina");
    world.changes(("U1", "211"), ("U2", "212"));
    world.changes(("U2", "212"), ("U3", "213"));
    // Told twice, by the system message and by the field of its own.
    assert_eq!(world.changes(("U2", ""), ("U3", "213")), "A U3 213 Amina");
    assert_eq!(world.changes(("U1", ""), ("U2", "")), "A U3 213 Amina");
    assert_eq!(world.says("U1", "211", "Amina"), "A U3 213 Amina", "a message from before");
    assert_eq!(
        world.says("", "211", ""),
        "B - 211 -",
        "whoever has her first number now, or had it: not known to be her"
    );
    assert_eq!(world.says("U3", "", ""), "A U3 213 Amina");
}

#[test]
fn two_contacts_that_are_one_are_merged_and_the_older_id_stays() {
    let mut world = World::new();
    world.says("", "212", "");
    world.says("U1", "", "Amina");
    assert_eq!(world.says("U1", "212", ""), "A U1 212 Amina | A U1 212 Amina + B", "known by phone alone");
    assert_eq!(
        (world.says("U1", "", ""), world.says("", "212", "")),
        ("A U1 212 Amina".into(), "A U1 212 Amina".into())
    );

    let mut world = World::new();
    world.says("U1", "211", "Amina");
    world.says("U2", "212", "Amina B");
    assert_eq!(world.changes(("U1", "211"), ("U2", "212")), "A U2 212 Amina | A U2 212 Amina + B");
    assert_eq!(world.says("U2", "", ""), "A U2 212 Amina");

    // The newer one knew the person first by their new ids.
    let mut world = World::new();
    world.says("U2", "212", "Amina");
    world.says("U1", "211", "");
    assert_eq!(world.changes(("U1", "211"), ("U2", "212")), "A U2 212 Amina | A U2 212 Amina + B");
    // A message from before a change tells that they are one, and takes back no id.
    let mut world = World::new();
    world.says("U1", "", "Amina");
    world.changes(("U1", ""), ("U2", ""));
    world.says("", "211", "");
    assert_eq!(world.says("U1", "211", ""), "A U2 211 Amina | A U2 211 Amina + B");
    assert_eq!(world.says("U2", "", ""), "A U2 211 Amina");
    // Two people with a BSUID each are two, whatever number one of them has by now.
    let mut world = World::new();
    world.says("U1", "211", "");
    world.says("U2", "", "");
    assert_eq!(world.says("U2", "211", ""), "B U2 211 -");
    assert_eq!(world.says("U1", "", ""), "A U1 211 -");
}

#[test]
fn chains_of_merges_end_at_one_id() {
    let mut people = People::default();
    let known = |id: &str| Known { id: id.into(), contact: overlay(None, &hint("U", "", "")) };
    people.learn(&known("a"));
    people.is_now("b", "a");
    people.is_now("c", "b");
    people.is_now("a", "a");
    assert_eq!(people.known("c").map(|k| k.id), Some("a".into()));
    people.is_now("a", "c");
    assert_eq!(people.known("c"), None, "a ring is nobody");
}

#[test]
fn ages_are_asked_for_before_a_merge() {
    let mut people = People::of(usize::MAX);
    for (id, user, phone) in [("old", "U1", ""), ("new", "", "212")] {
        people.learn(&Known { id: id.into(), contact: overlay(None, &hint(user, phone, "")) });
    }
    let both = item(hint("U1", "212", ""), Vec::new());
    let asked = people.clone().meet(&both, None, 9).unwrap_err();
    assert_eq!(asked, Ages(HashSet::from(["old".to_owned(), "new".to_owned()])));
    people.is_since("old".into(), 3);
    people.is_since("new".into(), 2);
    let met = people.meet(&both, None, 9).unwrap();
    assert_eq!(
        (met.notes[0].known.id.as_str(), met.notes[0].merged.as_slice()),
        ("new", ["old".to_owned()].as_slice())
    );
}

#[test]
fn a_status_that_names_nobody_is_about_whom_the_message_was_with() {
    let mut world = World::new();
    world.says("U1", "", "Amina");
    let id = world.ids[0].clone();
    assert_eq!(world.meets(&item(ContactHint::default(), Vec::new()), Some(&id)), "A U1 - Amina");
    assert_eq!(world.meets(&item(ContactHint::default(), Vec::new()), Some("forgotten")), "B - - -");
    assert_eq!(world.says("", "212", ""), "C - 212 -");
    let id = world.ids[2].clone();
    assert_eq!(world.meets(&item(hint("U3", "", ""), Vec::new()), Some(&id)), "C U3 212 -", "an id that is news");
    assert_eq!(world.meets(&item(hint("U1", "", ""), Vec::new()), Some(&id)), "A U1 - Amina", "one that is somebody's");
    assert_eq!(world.meets(&item(hint("U4", "", ""), Vec::new()), Some(&id)), "D U4 - -", "another person's");
}

#[test]
fn what_is_forgotten_is_forgotten_whole() {
    let mut people = People::of(2);
    for n in 0..5 {
        people.learn(&Known { id: format!("c{n}"), contact: overlay(None, &hint(&format!("U{n}"), "", "")) });
    }
    let known = (0..5).filter(|n| people.by_user(&Pii(format!("U{n}"))).is_some()).count();
    assert!((1..=2).contains(&known), "{known}");
}

#[test]
fn who_was_erased_comes_back_as_somebody_new() {
    let mut world = World::new();
    assert_eq!(world.says("U1", "", "Amina"), "A U1 - Amina");
    assert_eq!(world.says("", "212", ""), "B - 212 -");
    let merged = world.says("U1", "212", "");
    assert!(merged.starts_with("A U1 212 Amina | A"), "{merged}");
    assert_eq!(world.says("U2", "213", "Brahim"), "C U2 213 Brahim");
    let ids = [world.ids[0].clone(), world.ids[1].clone()];
    let erasure = NewEntry { erased: ids.to_vec(), ..NewEntry::of(Kind::Erasure) };
    world.people.fold(&crate::store::append_job::draft(&erasure, 9, jiff::Timestamp::UNIX_EPOCH));
    assert!(ids.iter().all(|id| world.people.known(id).is_none()));
    assert_eq!(world.says("U1", "", ""), "D U1 - -", "no name and no number is remembered");
    assert_eq!(world.says("", "212", ""), "E - 212 -");
    assert_eq!(world.says("U2", "", ""), "C U2 213 Brahim", "nobody else is forgotten");
}

#[test]
fn who_was_erased_is_not_known_again_by_an_entry_that_is_still_there() {
    let mut people = People::of(3);
    let known = |id: &str, user: &str| Known { id: id.into(), contact: overlay(None, &hint(user, "", "Amina")) };
    people.learn(&known("a", "U1"));
    let erasure = NewEntry { erased: vec!["a".into()], ..NewEntry::of(Kind::Erasure) };
    people.fold(&crate::store::append_job::draft(&erasure, 9, jiff::Timestamp::UNIX_EPOCH));
    for n in 0..5 {
        // Also when all else was forgotten meanwhile.
        people.learn(&known(&format!("c{n}"), &format!("V{n}")));
    }
    let mut gathered = People::of(usize::MAX);
    for (id, user) in [("a", "U1"), ("b", "U2")] {
        gathered.remember(&known(id, user));
        gathered.user_is(Pii(user.into()), id.into());
    }
    gathered.forget_erased(&people);
    people.add(gathered);
    let found = ["U1", "U2"].map(|user| people.by_user(&Pii(user.into())).map(|known| known.id));
    assert_eq!(found, [None, Some("b".to_owned())]);
}

#[test]
fn what_is_gathered_is_newer_than_what_was_known_and_has_its_bounds() {
    let mut people = People::of(4);
    let known = |user: &str, name: &str| Known { id: "a".into(), contact: overlay(None, &hint(user, "", name)) };
    people.learn(&known("U1", "Amina"));
    let mut gathered = People::of(usize::MAX);
    gathered.remember(&known("U1", "Amina B"));
    gathered.is_since("a".into(), 2);
    people.add(gathered.clone());
    assert_eq!(people.by_user(&Pii("U1".into())), Some(known("U1", "Amina B")));
    let mut other = People::of(usize::MAX);
    other.remember_from(&people, &known("U1", "Amina B"));
    assert_eq!(other.ages.get("a"), Some(&2), "what is older is known with it");
    for n in 0..4 {
        gathered.remember(&Known { id: format!("c{n}"), ..known("", "") });
    }
    people.add(gathered);
    assert_eq!((people.current.len(), people.by_user.len()), (5, 0), "the rest was forgotten");
}
