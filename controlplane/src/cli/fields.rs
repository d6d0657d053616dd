//! `sonde fields`: the catalogue of fields, as a table, as JSON, and as the page `docs/fields.md`.

use super::screen::{self, Align, Out, Table};
use serde::Serialize;
use sonde_record::catalogue::{CATALOGUE, fields, of_row};
use sonde_record::field::{Field, Namer, Origin, REVERSE_PEN, Registry};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sonde fields                        all fields of a flow record
  sonde fields rtt                    those with \"rtt\" in a name
  sonde fields 8057:902               the field that an information element carries
  sonde fields tcp.srcport            by Wireshark's name
  sonde fields --json | jq '.[].name' for programs")]
pub(super) struct Args {
    /// Fields whose name, or other name, or element has this in it. Capital and small letters are the same.
    pattern: Option<String>,
    /// The reference page.
    #[arg(long, hide = true)]
    markdown: bool,
}

/// One field for programs.
#[derive(Serialize)]
struct Shown {
    name: Cow<'static, str>,
    r#type: &'static str,
    list: bool,
    unit: &'static str,
    direction: &'static str,
    looked_up: bool,
    api: &'static [&'static str],
    elements: Vec<Element>,
    aliases: Vec<Alias>,
    description: &'static str,
    source: &'static str,
}

#[derive(Serialize)]
struct Element {
    registry: &'static str,
    enterprise: u32,
    id: u16,
    name: &'static str,
}

#[derive(Serialize)]
struct Alias {
    of: &'static str,
    name: &'static str,
}

/// Runs the command.
///
/// # Errors
/// No field matches, or the output cannot be written.
pub(super) fn run(args: &Args, out: &Out) -> anyhow::Result<()> {
    if args.markdown {
        screen::write(&reference())?;
        return Ok(());
    }
    let wanted = args.pattern.as_deref().unwrap_or("").to_lowercase();
    let found: Vec<Field> = fields().filter(|field| matches(field, &wanted)).collect();
    anyhow::ensure!(!found.is_empty(), "no field has \"{wanted}\" in one of its names: `sonde fields` lists all");
    if out.json {
        screen::write(&format!("{}\n", serde_json::to_string(&found.iter().map(shown).collect::<Vec<_>>())?))?;
        return Ok(());
    }
    out.check(&table().headings())?;
    let mut table = table();
    for field in &found {
        let row = [field.name().into_owned(), type_of(field), field.row.unit.name().to_owned(), elements(field), aliases(field)];
        table.row({ row }.into_iter().chain([described(field)]));
    }
    out.lines(&table.lines(out))?;
    Ok(())
}

fn table() -> Table {
    Table::new(&[
        ("FIELD", Align::Left),
        ("TYPE", Align::Left),
        ("UNIT", Align::Left),
        ("ELEMENTS", Align::Left),
        ("OTHER NAMES", Align::Left),
        ("WHAT", Align::Left),
    ])
    .leaving_out(&["OTHER NAMES", "UNIT", "ELEMENTS"])
}

/// Whether a name of the field, or an element's number or name, has the text in it.
fn matches(field: &Field, wanted: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(wanted);
    has(&field.name())
        || field.aliases().any(|alias| has(alias.name))
        || field.elements().any(|(element, reverse)| has(element.name) || number(element.registry.pen(), element.id, reverse) == wanted)
}

/// "1", "8057:902", "29305:1".
fn number(enterprise: u32, id: u16, reverse: bool) -> String {
    match if reverse { REVERSE_PEN } else { enterprise } {
        0 => id.to_string(),
        enterprise => format!("{enterprise}:{id}"),
    }
}

fn type_of(field: &Field) -> String {
    if field.row.list { format!("list of {}", field.row.kind.name()) } else { field.row.kind.name().to_owned() }
}

fn elements(field: &Field) -> String {
    let each =
        field.elements().map(|(element, reverse)| format!("{} {}", number(element.registry.pen(), element.id, reverse), element.name));
    each.collect::<Vec<_>>().join(", ")
}

fn aliases(field: &Field) -> String {
    field.aliases().map(|alias| format!("{} ({})", alias.name, alias.of.name())).collect::<Vec<_>>().join(", ")
}

/// What it says; of the reverse direction, that it is the other one's.
fn described(field: &Field) -> String {
    if field.way == 1 { format!("{} of the reverse direction", field.row.name) } else { field.row.about.to_owned() }
}

fn shown(field: &Field) -> Shown {
    Shown {
        name: field.name(),
        r#type: field.row.kind.name(),
        list: field.row.list,
        unit: field.row.unit.name(),
        direction: match (field.row.both, field.way) {
            (false, _) => "flow",
            (true, 0) => "forward",
            (true, _) => "reverse",
        },
        looked_up: matches!(field.row.origin, Origin::Lookup(..)),
        api: field.api(),
        elements: field
            .elements()
            .map(|(element, reverse)| Element {
                registry: element.registry.name(),
                enterprise: if reverse { REVERSE_PEN } else { element.registry.pen() },
                id: element.id,
                name: element.name,
            })
            .collect(),
        aliases: field.aliases().map(|alias| Alias { of: alias.of.name(), name: alias.name }).collect(),
        description: field.row.about,
        source: field.row.source,
    }
}

/// The page `docs/fields.md`.
pub fn reference() -> String {
    let mut page = "\
# The fields of a flow record

Made by `sonde fields --markdown`, of the one table that columns, information elements and the API are made of; a test holds that this page
and the table are the same.

A field has one **name**. Of fields with a value for each direction the forward one's is listed; the reverse one's has `_reverse` behind it, and
so have its names in the API. Forward is the direction of the flow's first packet. A value that was not measured is **absent**, never 0. Times
of day are nanoseconds since 1970 UTC inside, durations nanoseconds; the API's names say the unit in which it sends them.

**Elements** are IPFIX information elements: IANA's are plain numbers, others have the enterprise's before the colon (8057 CESNET, 35632 ntop,
39499 Flowmon, \"own\" the operator's, `export.enterprise`); \"+ reverse\": enterprise 29305 carries the other direction (RFC 5103).
[ipfix.md](ipfix.md) says how they are sent.

**Other names** are accepted wherever a field is named: the headings of `sonde replay --format csv`, Wireshark's display filters, Flowmon's columns.
"
    .to_owned();
    for rows in CATALOGUE {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "\n## {}\n\n| field | type | in the API | elements | other names | what |\n|---|---|---|---|---|---|\n",
            rows.title
        );
        for row in rows.rows {
            let both: Vec<Field> = of_row(row).collect();
            let Some(field) = both.first() else { continue };
            let name = if row.both { format!("`{}`, `_reverse`", row.name) } else { format!("`{}`", row.name) };
            let kind =
                [type_of(field).as_str(), row.unit.name()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
            let api = field.api().iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
            let elements = row.elements.iter().map(|element| {
                if element.registry == Registry::Own {
                    return format!("own:{} `{}`", element.id, element.name);
                }
                let more = if element.reversible { " + reverse" } else { "" };
                format!("{} `{}`{more}", number(element.registry.pen(), element.id, false), element.name)
            });
            let elements = elements.collect::<Vec<_>>().join(", ");
            let names = Namer::ALL.into_iter().filter_map(|namer| {
                let of: Vec<String> =
                    row.aliases.iter().filter(|alias| alias.of == namer).map(|alias| format!("`{}`", alias.name)).collect();
                (!of.is_empty()).then(|| format!("{}: {}", namer.name(), of.join(", ")))
            });
            let names = names.collect::<Vec<_>>().join("; ");
            let source = if row.source.is_empty() { String::new() } else { format!(" ({})", row.source) };
            let _ = writeln!(page, "| {name} | {kind} | {api} | {elements} | {names} | {}{source} |", row.about);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pattern: &str) -> Vec<String> {
        fields().filter(|field| matches(field, &pattern.to_lowercase())).map(|field| field.name().into_owned()).collect()
    }

    #[test]
    fn a_field_is_found_by_each_of_its_names() {
        for pattern in ["destination_port", "DestinationTransportPort", "tcp.dstport", "11"] {
            assert!(named(pattern).contains(&"destination_port".to_owned()), "{pattern}: {:?}", named(pattern));
        }
        assert_eq!(named("29305:1"), ["octets_reverse"]);
        assert_eq!(named("8057:902"), ["syn_octets"]);
        assert_eq!(named("rep_transferred"), ["octets_reverse"]);
        assert_eq!(named("no such field"), Vec::<String>::new());
    }

    #[test]
    fn the_page_has_every_row() {
        let page = reference();
        for rows in CATALOGUE {
            assert!(rows.rows.iter().all(|row| page.contains(&format!("| `{}`", row.name))), "{}", rows.title);
        }
    }
}
