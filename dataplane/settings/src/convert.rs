//! Settings that an older version wrote, brought to what this one means.
//!
//! Documents of the history and of the dataplane's disk live longer than the version that wrote them. When a field is renamed, takes
//! other values, or may no longer say what it said, a row of [`CONVERSIONS`] says what becomes of the old value; whoever loads such a
//! document says each conversion with the new value. A new document with an old value is not converted: it is refused, with the same
//! sentence where the row has one.

use sonde_proto::v1;
use toml::{Table, Value};

pub use crate::converted::Converted;
use crate::trust::Trust;
use crate::{Settings, annex, arguments};

/// The version that writes documents now.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One row: what becomes of an old value.
struct Conversion {
    /// The field: `boot.eal.extra_args`; `[]` stands for each element of a list.
    path: &'static str,
    /// Documents of this version and later ones have the new meaning; `None` where the old value is told by itself, whoever wrote it.
    since: Option<&'static str>,
    /// The new value (`Some(None)`: the field is left out, so that it gets its default); `None` where the value is good.
    rule: fn(&Value, Option<&Trust>) -> Option<Option<Value>>,
    /// Why, for people.
    sentence: &'static str,
}

/// The whole table. A row may go when no version that wrote the old value can be updated from any more: after two versions.
const CONVERSIONS: &[Conversion] = &[
    Conversion {
        path: "boot.eal.extra_args",
        since: None,
        rule: |value, _| {
            let old: Vec<String> = value.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            let kept = arguments::harmless(&old);
            (kept != old).then(|| Some(kept.into()))
        },
        sentence: "only arguments that are known to be harmless are given to EAL",
    },
    Conversion {
        path: "boot.eal.extra_args",
        since: None,
        rule: |value, trust| {
            let wanted = Value::from(trust?.extra_args().to_vec());
            (*value != wanted).then_some(Some(wanted))
        },
        sentence: "EAL's arguments come from the profile alone",
    },
    Conversion { path: "live.enrichment.asn_database", since: None, rule: database, sentence: DATABASE },
    Conversion { path: "live.enrichment.country_database", since: None, rule: database, sentence: DATABASE },
    Conversion { path: "live.enrichment.city_database", since: None, rule: database, sentence: DATABASE },
    Conversion { path: "live.enrichment.bgp_rib", since: None, rule: database, sentence: DATABASE },
];

const DATABASE: &str = "files are those of the profile, or named inside its trust.databases_folder";

fn database(value: &Value, trust: Option<&Trust>) -> Option<Option<Value>> {
    Some(Some(trust?.instead(value.as_str()?)?.into()))
}

/// Converts a document that a version wrote (empty: one that did not say). Without a trust, what depends on it stays as it is.
pub fn document(table: &mut Table, version: &str, trust: Option<&Trust>) -> Vec<Converted> {
    let mut converted = annex::convert(table);
    converted.extend(convert(CONVERSIONS, table, version, trust));
    converted
}

/// Converts a profile: its settings that are gone, and nothing else. What a profile may not say is refused.
pub fn profile(table: &mut Table) -> Vec<Converted> {
    annex::convert(table)
}

/// Converts settings that may no longer name what they name.
pub fn settings(settings: &Settings, trust: &Trust) -> (v1::Settings, Vec<Converted>) {
    let document = v1::Settings::from(settings);
    let mut table = crate::document::tree(&document);
    let converted = convert(CONVERSIONS, &mut table, VERSION, Some(trust));
    (crate::document::from_table(&table).unwrap_or(document), converted)
}

fn convert(rows: &[Conversion], table: &mut Table, version: &str, trust: Option<&Trust>) -> Vec<Converted> {
    let mut done = Vec::new();
    for row in rows.iter().filter(|row| row.since.is_none_or(|since| older(version, since))) {
        let steps: Vec<&str> = row.path.split('.').collect();
        visit(table, &steps, String::new(), &mut |path, value| {
            let new = (row.rule)(value, trust)?;
            let to = new.as_ref().map(ToString::to_string);
            done.push(Converted { path, from: value.to_string(), to, sentence: row.sentence });
            Some(new)
        });
    }
    done
}

type Edit<'a> = dyn FnMut(String, &Value) -> Option<Option<Value>> + 'a;

/// Goes to every place that a path means.
fn visit(table: &mut Table, steps: &[&str], path: String, edit: &mut Edit<'_>) {
    let Some((step, rest)) = steps.split_first() else { return };
    let key = step.trim_end_matches("[]");
    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let Some(value) = table.get_mut(key) else { return };
    if rest.is_empty() {
        match edit(path, value) {
            Some(Some(new)) => *value = new,
            Some(None) => drop(table.remove(key)),
            None => {}
        }
        return;
    }
    match value {
        Value::Table(inner) => visit(inner, rest, path, edit),
        Value::Array(list) => {
            for (at, inner) in list.iter_mut().enumerate() {
                if let Value::Table(inner) = inner {
                    visit(inner, rest, format!("{path}[{at}]"), edit);
                }
            }
        }
        _ => {}
    }
}

/// Whether one version is older than another; one that was not said is the oldest.
pub fn older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> { text.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap_or(0)).collect() };
    numbers(version) < numbers(than)
}

/// What to say of a document with a fault that a newer version wrote; empty where this version or an older one did.
pub fn newer(version: &str, program: &str) -> String {
    if !older(VERSION, version) {
        return String::new();
    }
    format!(
        "; it was written by {program} {version}, this is {VERSION}: install {version} and restart {program} to have it again, or go on \
         without it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::fields;

    const PORT: &str = "[[boot.ports]]\nname = \"a\"\ndevice = \"net_null0\"\n";

    fn files(document: &v1::Settings) -> Vec<String> {
        let enrichment = document.live.as_ref().and_then(|live| live.enrichment.clone()).unwrap_or_default();
        fields(&enrichment).into_iter().map(|(_, file)| file.clone()).collect()
    }

    fn trust(profile: &str, places: &v1::Trust) -> Trust {
        let document = crate::parse_toml(&format!("{PORT}{profile}")).expect("TOML");
        Trust::of(&Settings::try_from(&document).expect("good"), places).expect("good")
    }

    #[test]
    fn arguments_that_did_harm_are_dropped_and_said() {
        let text = "[boot.eal]\nextra_args = [\"-d\", \"/tmp/a.so\", \"--log-level=8\"]\n";
        let mut table: Table = text.parse().expect("TOML");
        let done = document(&mut table, "", None);
        assert_eq!(table["boot"]["eal"]["extra_args"], Value::from(vec!["--log-level=8"]));
        assert_eq!(done.len(), 1, "{done:?}");
        assert_eq!(
            done[0].to_string(),
            "boot.eal.extra_args is now [\"--log-level=8\"], it was [\"-d\", \"/tmp/a.so\", \"--log-level=8\"] (only arguments that are \
             known to be harmless are given to EAL)"
        );
        assert_eq!(document(&mut table, "", None), [], "once");
        // With the profile known, the arguments are its own.
        let trust = trust("[boot.eal]\nextra_args = [\"-n\", \"4\"]\n", &v1::Trust::default());
        let done = document(&mut table, VERSION, Some(&trust));
        assert_eq!((done.len(), done[0].to.as_deref()), (1, Some("[\"-n\", \"4\"]")));
    }

    #[test]
    fn files_become_names_in_the_folder_or_are_dropped() {
        let places = v1::Trust { databases_folder: "/var/lib/geo".into(), ..v1::Trust::default() };
        let trust = trust("[live.enrichment]\ncountry_database = \"/opt/country.mmdb\"\n", &places);
        let text = format!(
            "{PORT}[live.enrichment]\nasn_database = \"/var/lib/geo/asn.mmdb\"\ncountry_database = \"/opt/country.mmdb\"\n\
             city_database = \"/var/lib/geo/../city.mmdb\"\nbgp_rib = \"/etc/shadow\"\n"
        );
        let old = Settings::try_from(&crate::parse_toml(&text).expect("TOML")).expect("good");
        let (new, done) = settings(&old, &trust);
        assert_eq!(files(&new), ["asn.mmdb", "/opt/country.mmdb", "", ""]);
        let paths: Vec<_> = done.iter().map(|c| c.path.as_str()).collect();
        assert_eq!(paths, ["live.enrichment.asn_database", "live.enrichment.city_database", "live.enrichment.bgp_rib"]);
        assert!(done[0].to_string().starts_with("live.enrichment.asn_database is now \"asn.mmdb\", it was \"/var/lib/geo/asn.mmdb\""));
        assert!(trust.violations(&Settings::try_from(&new).expect("good")).is_empty());
    }

    #[test]
    fn a_row_is_for_documents_older_than_it() {
        let doubled: fn(&Value, Option<&Trust>) -> Option<Option<Value>> = |value, _| Some(Some((value.as_integer()? * 2).into()));
        let rows = [
            Conversion { path: "boot.table.layers", since: Some("0.3.0"), rule: doubled, sentence: "of each table" },
            Conversion { path: "boot.ports[].queue", since: Some("0.3.0"), rule: |_, _| Some(None), sentence: "gone" },
        ];
        let text = "[boot.table]\nlayers = 4\n[[boot.ports]]\nqueue = 1\nname = \"a\"\n[[boot.ports]]\nqueue = 2\n";
        for (version, converted) in [("", 3), ("0.2.9", 3), ("0.3.0", 0), ("0.3.1-rc", 0), ("1.0.0", 0)] {
            let mut table: Table = text.parse().expect("TOML");
            let done = convert(&rows, &mut table, version, None);
            assert_eq!(done.len(), converted, "{version}: {done:?}");
            assert_eq!(table["boot"]["table"]["layers"].as_integer(), Some(if converted == 0 { 4 } else { 8 }));
            if converted != 0 {
                assert_eq!(done[2].path, "boot.ports[1].queue");
                assert!(table["boot"]["ports"][1].get("queue").is_none());
                assert!(done[2].to_string().contains("is now its default, it was 2"), "{}", done[2]);
            }
        }
    }

    #[test]
    fn a_newer_version_is_named_with_the_side_to_restart() {
        assert_eq!(newer(VERSION, "sonde-dataplane"), "");
        assert_eq!(newer("", "sonde-dataplane"), "");
        let said = newer("99.1.0", "sonde-dataplane");
        assert!(said.contains("written by sonde-dataplane 99.1.0") && said.contains("restart sonde-dataplane"), "{said}");
        assert!(older("0.9.0", "0.10.0") && !older("0.10.0", "0.9.0") && older("", "0.0.1"));
    }
}
