//! Where and whose addresses are (`live.enrichment`): the control plane keeps a table of its own, of what the dataplane says it obeys.

use crate::document;
use crate::link::Link;
use crate::notation::ip;
use sonde_enrich::{Enricher, Generation, Handle, Sources, Watcher};
use sonde_expression::Places;
use sonde_proto::southbound::Description;
use sonde_proto::v1::{self, Place, TopEntry};
use sonde_record::RecordView;
use sonde_record::field::{Lookup, Value};
use sonde_settings::Settings;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often what became of a load is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of an address.
fn place(address: IpAddr, table: &Enricher) -> Place {
    let found = table.lookup(address);
    Place {
        as_number: found.asn,
        as_name: found.as_name.to_owned(),
        prefix_length: found.prefix_length.into(),
        country: found.country.map(|country| country.to_string()).unwrap_or_default(),
        country_number: found.country.map_or(0, |country| country.numeric().into()),
        city: found.city.to_owned(),
        network: found.network.to_owned(),
    }
}

/// A table that expressions look addresses up in.
pub(crate) struct Tables<'a>(pub(crate) &'a Enricher);

impl Places for Tables<'_> {
    fn find(&self, address: IpAddr, what: Lookup) -> Value {
        let found = self.0.lookup(address);
        let number = |number: u32| if number == 0 { Value::Absent } else { Value::Unsigned(number.into()) };
        let words = |text: &str| if text.is_empty() { Value::Absent } else { Value::Words(text.to_owned()) };
        match what {
            Lookup::AsNumber => number(found.asn),
            Lookup::AsName => words(found.as_name),
            Lookup::PrefixLength => number(found.prefix_length.into()),
            Lookup::Country => found.country.map_or(Value::Absent, |country| Value::Words(country.to_string())),
            Lookup::CountryNumber => number(found.country.map_or(0, |country| country.numeric().into())),
            Lookup::City => words(found.city),
            Lookup::Network => words(found.network),
        }
    }
}

/// What is known of both ends of a flow; `None` of one without IP.
pub(crate) fn ends(record: &RecordView<'_>, table: &Enricher) -> Option<[Place; 2]> {
    let find = |bytes| ip(record.kind(), bytes).map(|address| place(address, table));
    Some([find(&record.src())?, find(&record.dst())?])
}

/// Says where and whose the values are that are IP addresses.
pub(crate) fn of_addresses(entries: &mut [TopEntry], table: &Enricher) {
    for entry in entries {
        entry.place = entry.value.parse().ok().map(|address| place(address, table));
    }
}

/// Gives autonomous systems their names.
pub(crate) fn name_systems(entries: &mut [TopEntry], table: &Enricher) {
    let mut unnamed: HashMap<u32, &mut String> =
        entries.iter_mut().filter_map(|entry| entry.place.as_mut()).map(|place| (place.as_number, &mut place.as_name)).collect();
    for (number, name) in table.systems() {
        if unnamed.is_empty() {
            return;
        }
        if let Some(place) = unnamed.remove(&number) {
            name.clone_into(place);
        }
    }
}

/// For people: the own prefix or the AS, country and city. Empty where nothing is known.
pub(crate) fn words(place: &Place) -> String {
    let asn = if place.as_number == 0 { String::new() } else { format!("AS{}", place.as_number) };
    let whose = if place.network.is_empty() { &asn } else { &place.network };
    let words: Vec<&str> = [whose, &place.country, &place.city].into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The words of source and destination, "-" where nothing is known of one; empty where it is of neither.
pub(crate) fn both(ends: &[Place; 2]) -> String {
    let words = ends.each_ref().map(words);
    let [source, destination] = words.each_ref().map(|words| if words.is_empty() { "-" } else { words });
    if (source, destination) == ("-", "-") { String::new() } else { format!("{source} > {destination}") }
}

/// The latest table. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Lookups {
    handle: Arc<Handle>,
}

impl Lookups {
    /// Starts the thread that loads what `follow` is told.
    ///
    /// # Errors
    /// The system's, when it does not start the thread.
    pub(crate) fn watch(&self) -> io::Result<Watcher> {
        Watcher::start(Arc::clone(&self.handle), Sources::default())
    }

    /// The table there is now.
    pub(crate) fn latest(&self) -> Arc<Generation> {
        self.handle.latest()
    }

    /// Takes a newer table if there is one: once a batch of records.
    pub(crate) fn refresh(&self, held: &mut Arc<Generation>) {
        self.handle.collect(held);
    }

    /// Looks up in what the settings in force say, for ever.
    pub(crate) async fn follow(self, link: Link, watcher: Arc<Watcher>) {
        let mut peer = link.follow();
        let mut told = (v1::Enrichment::default(), String::new());
        let mut faults = 0;
        loop {
            sonde_threads::trap_as("lookups");
            let description = link.description();
            if let Some(description) = description.as_deref()
                && let Some(settings) = description.settings.as_ref()
                && let Some(enrichment) = settings.live.as_ref().and_then(|live| live.enrichment.as_ref())
                && *enrichment != told.0
            {
                told.0 = enrichment.clone();
                watcher.set(sources(description, settings));
            }
            let status = self.handle.status();
            if status.faults != faults {
                faults = status.faults;
                tracing::error!("{}", status.last_fault);
            }
            let trouble = status.last_error;
            if trouble != told.1 {
                if !trouble.is_empty() {
                    tracing::warn!("addresses of flows are looked up as before: {trouble}");
                }
                told.1 = trouble;
            }
            // The thread that loads has news of its own.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, peer.changed()).await {
                return;
            }
        }
    }
}

/// Settings in force were checked: what this version does not understand in them is nothing to look up in. Nor are files that the
/// dataplane's profile does not name: this process may be root too.
fn sources(description: &Description, settings: &v1::Settings) -> Sources {
    let (Ok(settings), Some(trust)) = (Settings::try_from(settings), document::trust(description)) else { return Sources::default() };
    trust.sources(&settings.live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_the_own_prefix_before_the_as() {
        let mut place = Place { as_number: 64_500, country: "CZ".into(), city: "Brno".into(), ..Place::default() };
        assert_eq!(words(&place), "AS64500 CZ Brno");
        place.network = "office".into();
        assert_eq!(words(&place), "office CZ Brno");
        assert_eq!(words(&Place::default()), "");
        assert_eq!(both(&[place, Place::default()]), "office CZ Brno > -");
        assert_eq!(both(&<_>::default()), "");
    }
}
