//! The reference pages name everything there is: a counter or a field that is not explained is not finished.

use std::collections::BTreeSet;
use std::path::Path;

use sonde_export::elements::VARIABLE;
use sonde_export::template;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names that `page` does not have in backquotes.
fn unnamed<'a>(page: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    names.into_iter().filter(|name| !page.contains(&format!("`{name}`"))).collect()
}

/// The words in double quotes of the list that `text` has behind `start`.
fn quoted<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let from = text.find(start).unwrap_or_else(|| panic!("no {start}")) + start.len();
    let list = &text[from..from + text[from..].find("];").expect("the end of the list")];
    let words: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert!(words.len() > 2, "{start}: {words:?}");
    words
}

#[test]
fn every_counter_is_explained() {
    let explained = page("docs/counters.md");
    assert_eq!(unnamed(&explained, sonde_worker::counter_names()), Vec::<&str>::new());
    for (file, list) in [
        ("dataplane/src/workers.rs", "const BESIDE: [&str; 8] ="),
        ("dataplane/src/gauges.rs", "const COUNTERS: [&str; 8] ="),
        ("dataplane/src/gauges.rs", "const LOSSES: [&str; 3] ="),
        ("dataplane/src/lookups.rs", "const COUNTERS: [&str; 4] ="),
        ("dataplane/export/src/session.rs", "pub const COUNTERS: &[&str] ="),
        ("dataplane/export/src/session.rs", "pub const TEXTS: &[&str] ="),
    ] {
        let source = page(file);
        let words = if list.contains("TEXTS") { vec!["state", "last_error", "delivery"] } else { quoted(&source, list) };
        assert_eq!(unnamed(&explained, words), Vec::<&str>::new(), "{file}");
    }
    // And nothing that is gone.
    let gone: Vec<_> = explained.split('`').skip(1).step_by(2).filter(|word| word.starts_with("not_metered.")).collect();
    assert!(gone.iter().all(|word| *word == "not_metered.*" || sonde_worker::counter_names().contains(word)), "{gone:?}");
}

#[test]
fn every_setting_is_explained() {
    let proto = page("proto/sonde/v1/config.proto");
    let settings = &proto[proto.find("message Settings {").expect("the document")..proto.find("// One fault of").expect("its end")];
    let explained = page("docs/settings.md");
    let fields: Vec<&str> = settings
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter_map(|line| line.split_once(" = ")?.0.split_whitespace().last())
        .collect();
    assert!(fields.len() > 30, "{fields:?}");
    // `boot` and `live` have sections, not rows.
    assert_eq!(unnamed(&explained, fields), Vec::<&str>::new());
}

/// Rows of the tables of elements: enterprise, number, name, octets.
fn element_rows(text: &str) -> BTreeSet<(u32, u16, String, String)> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let row = |cells: Vec<String>| {
        let [_, element, name, octets, ..] = cells.as_slice() else { return None };
        let (enterprise, number) = element.split_once(':').unwrap_or(("0", element));
        Some((enterprise.parse().ok()?, number.parse().ok()?, name.trim_matches('`').to_owned(), octets.clone()))
    };
    text.lines().filter_map(|line| row(cells(line))).collect()
}

#[test]
fn every_exported_element_is_explained_and_no_other() {
    let fields: BTreeSet<_> = template::all_fields().collect();
    let reversed: BTreeSet<_> = fields.iter().filter(|field| field.reverse).map(|field| field.element.id).collect();
    let sent = fields.iter().filter(|field| !field.reverse).map(|field| {
        // Of a list its items are explained.
        let element = field.list.map_or(field.element, |list| list.item);
        let length = if element.length == VARIABLE { "variable".to_owned() } else { element.length.to_string() };
        let octets = match field.list {
            Some(list) if list.least == list.most => format!("{} x {length}", list.most),
            Some(list) => format!("to {} x {length}", list.most),
            None if element.pen == 0 && reversed.contains(&element.id) => format!("{length} + {length}"),
            None => length,
        };
        (element.pen, element.id, element.name.to_owned(), octets)
    });
    assert_eq!(element_rows(&page("docs/ipfix.md")), sent.collect());
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut links = 0;
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/api.md",
        "docs/cli.md",
        "docs/expressions.md",
        "docs/settings.md",
        "docs/counters.md",
        "docs/conformance.md",
        "docs/ipfix.md",
        "docs/security.md",
    ] {
        let text = page(name);
        let folder = root.join(name).parent().expect("a folder").to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target)) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                assert!(folder.join(file).exists(), "{name} links to {target}");
                links += 1;
            }
        }
    }
    assert!(links > 5, "{links}");
}

#[test]
fn the_page_of_fields_is_the_catalogue() {
    let (kept, made) = (page("docs/fields.md"), sonde_controlplane::cli::fields::reference());
    let differs = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    assert!(kept == made, "make the page anew: sonde fields --markdown > docs/fields.md; the first line that differs: {differs:?}");
}

#[test]
fn the_exporter_and_the_catalogue_have_the_same_elements() {
    let options = [template::statistics(), template::interfaces(), template::types()];
    let of_options: BTreeSet<u16> = options.iter().flat_map(|template| &template.fields).map(|field| field.element.id).collect();
    // `ingressInterface` is a flow's, too. Containers and padding are no field.
    let is_flows = |pen: u32, id: u16| pen != 0 || id == 10 || !(of_options.contains(&id) || matches!(id, 210 | 291));
    let elements = template::all_fields().map(|field| (field.list.map_or(field.element, |list| list.item), field.reverse));
    let sent: BTreeSet<_> = elements
        .filter(|(element, _)| is_flows(element.pen, element.id))
        .map(|(element, reverse)| (element.pen, element.id, reverse, element.name.to_owned()))
        .collect();
    let known: BTreeSet<_> = sonde_record::catalogue::fields()
        .flat_map(|field| {
            let elements: Vec<_> = field.elements().collect();
            elements.into_iter().map(|(element, reverse)| (element.registry.pen(), element.id, reverse, element.name.to_owned()))
        })
        .collect();
    assert_eq!(sent.difference(&known).collect::<Vec<_>>(), Vec::<&_>::new(), "no field of the catalogue");
    assert_eq!(known.difference(&sent).collect::<Vec<_>>(), Vec::<&_>::new(), "not sent");
}
