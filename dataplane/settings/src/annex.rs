//! `boot.annex`: the memory for everything that only some flows have, and what becomes of the four older settings that shared it out.

use sonde_proto::v1;
use toml::{Table as Toml, Value};

use crate::check::Check;
use crate::converted::Converted;
use crate::patterns::Patterns;
use crate::table::Table;

/// Most MiB: an entry has 29 bits for a place of 128 octets.
const MIB_MAX: u64 = 1 << 16;

/// Settings that are gone, and what whoever gives one is told.
pub(crate) const GONE: [&str; 4] =
    ["boot.table.layers_percent", "boot.table.performance_percent", "boot.table.udp_performance_percent", "boot.patterns.percent"];
/// Why they are gone: the warning of a conversion and the refusal of a new document.
pub(crate) const SENTENCE: &str = "left out: layers, performance and patterns share one pool of memory (boot.annex.mib), and \
                                   boot.annex.layers, boot.annex.tcp and boot.annex.udp switch them";

/// Octets of what one flow has: its layers, the state of TCP, of UDP, its pattern, its pattern together with its layers.
const LAYERS: u64 = 164;
const TCP: u64 = 456;
const UDP: u64 = 128;
const PATTERN: u64 = 1024;
const BOTH: u64 = 1366;
/// What is left to those that come first in the order of precedence, in percent: where patterns are kept, where they are not.
const LEFT_BY_PATTERNS: u64 = 10;
const LEFT_BY_UDP: u64 = 4;
/// Chunks that are begun and not full: one of each class, and rounding.
const BEGUN: u64 = 64 << 10;

/// One worker's memory for what only some flows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Annex {
    /// MiB, 1 to 65536; `None`: as much as the numbers of flows ask for, see [`Annex::octets`].
    pub mib: Option<u64>,
    /// Whether layers are kept.
    pub layers: bool,
    /// Whether TCP is measured.
    pub tcp: bool,
    /// Whether UDP is.
    pub udp: bool,
}

/// How many flows of each hundred have what.
#[derive(Clone, Copy)]
struct Percents {
    /// Of the IPv4 table.
    layers: u64,
    /// Of the other one.
    layers_wide: u64,
    tcp: u64,
    udp: u64,
    patterns: u64,
}

/// What is expected where nothing is said.
const EXPECTED: Percents = Percents { layers: 25, layers_wide: 100, tcp: 50, udp: 50, patterns: 25 };

impl Percents {
    /// Octets for so many flows of the two tables, in whichever order they come.
    fn octets(self, ipv4: u64, wide: u64) -> u64 {
        let hundred = |layers: u64| {
            let both = layers.min(self.patterns);
            (layers - both) * LAYERS + (self.patterns - both) * PATTERN + both * BOTH + self.tcp * TCP + self.udp * UDP
        };
        let needed = (ipv4 * hundred(self.layers) + wide * hundred(self.layers_wide)) / 100;
        let left = if self.patterns != 0 { LEFT_BY_PATTERNS } else { LEFT_BY_UDP };
        if needed == 0 { 0 } else { (needed * 100).div_ceil(100 - left) + BEGUN }
    }
}

impl Annex {
    /// Constructs it, noting what is wrong.
    pub(crate) fn construct(boot: &v1::Boot, check: &mut Check) -> Self {
        let v1::Annex { mib, layers, tcp, udp } = boot.annex.unwrap_or_default();
        let table = boot.table.unwrap_or_default();
        let percents = [table.layers_percent, table.performance_percent, table.udp_performance_percent];
        let patterns = boot.patterns.and_then(|patterns| patterns.percent);
        for (path, value) in GONE.iter().zip(percents.into_iter().chain([patterns])) {
            if let Some(value) = value {
                check.refuse(*path, SENTENCE, value.to_string());
            }
        }
        let mib = (mib != 0).then(|| check.ranged("boot.annex.mib".into(), mib, 1, 1..=MIB_MAX));
        Self { mib, layers: layers.unwrap_or(true), tcp: tcp.unwrap_or(true), udp: udp.unwrap_or(true) }
    }

    /// Octets of it, for tables of these sizes.
    pub fn octets(&self, table: &Table, patterns: &Patterns) -> u64 {
        let kept = |on: bool, percent: u64| if on { percent } else { 0 };
        let percents = Percents {
            layers: kept(self.layers, EXPECTED.layers),
            layers_wide: kept(self.layers, EXPECTED.layers_wide),
            tcp: kept(self.tcp, EXPECTED.tcp),
            udp: kept(self.udp, EXPECTED.udp),
            patterns: kept(patterns.any(), EXPECTED.patterns),
        };
        self.mib.map_or_else(|| percents.octets(table.ipv4_flows, table.wide_flows), |mib| mib << 20)
    }
}

impl From<&Annex> for v1::Annex {
    fn from(annex: &Annex) -> Self {
        let Annex { mib, layers, tcp, udp } = *annex;
        Self { mib: mib.unwrap_or_default(), layers: Some(layers), tcp: Some(tcp), udp: Some(udp) }
    }
}

/// Converts the settings that are gone to `boot.annex`: memory for at least as many flows of each kind as they said. A row of its own
/// beside the table of conversions, because four values become one.
pub(crate) fn convert(document: &mut Toml) -> Vec<Converted> {
    let Some(Value::Table(boot)) = document.get_mut("boot") else { return Vec::new() };
    let number = |boot: &Toml, table: &str, key: &str| boot.get(table)?.get(key)?.as_integer().and_then(|value| u64::try_from(value).ok());
    let old = GONE.map(|path| {
        let mut steps = path.split('.').skip(1);
        let (table, key) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
        let value = number(boot, table, key);
        if let (Some(_), Some(Value::Table(table))) = (value, boot.get_mut(table)) {
            table.remove(key);
        }
        value.map(|value| value.min(100))
    });
    if old.iter().all(Option::is_none) {
        return Vec::new();
    }
    let from: Vec<_> = GONE.iter().zip(old).filter_map(|(path, value)| Some(format!("{path} = {}", value?))).collect();
    let [layers, tcp, udp, patterns] = old;
    let any = |key: &str| match boot.get("patterns").and_then(|patterns| patterns.get(key)) {
        Some(Value::Boolean(on)) => *on,
        Some(Value::Integer(count)) => *count != 0,
        _ => false,
    };
    let kept = ["histograms", "first_packets", "bursts", "nettisa"].into_iter().any(any);
    let percents = |expected: Percents| Percents {
        layers: layers.unwrap_or(expected.layers),
        tcp: tcp.unwrap_or(expected.tcp),
        udp: udp.unwrap_or(expected.udp),
        // 0 meant the default.
        patterns: if kept { patterns.filter(|percent| *percent != 0).unwrap_or(expected.patterns) } else { 0 },
        ..expected
    };
    let flows = |key: &str, default: u64| number(boot, "table", key).filter(|flows| *flows != 0).unwrap_or(default).min(1 << 28);
    let (ipv4, wide) = (flows("ipv4_flows", Table::IPV4_FLOWS), flows("wide_flows", Table::WIDE_FLOWS));
    let (wanted, expected) = (percents(EXPECTED), Percents { patterns: if kept { EXPECTED.patterns } else { 0 }, ..EXPECTED });
    let mib = wanted.octets(ipv4, wide).div_ceil(1 << 20).clamp(1, MIB_MAX);
    let octets = |percents: Percents| [percents.layers, percents.tcp, percents.udp, percents.patterns];
    let mut done = Vec::new();
    let mut set = |key: &str, value: Option<Value>, shown: String| {
        if let (Some(value), Value::Table(annex)) = (value, boot.entry("annex").or_insert_with(|| Value::Table(Toml::new()))) {
            annex.insert(key.to_owned(), value);
        }
        done.push(Converted { path: format!("boot.annex.{key}"), from: from.join(", "), to: Some(shown), sentence: SENTENCE });
    };
    if octets(wanted) == octets(expected) {
        set("mib", None, format!("0 ({mib} MiB for these tables)"));
    } else {
        set("mib", Some(Value::Integer(i64::try_from(mib).unwrap_or(i64::MAX))), mib.to_string());
    }
    for (key, value) in [("tcp", tcp), ("udp", udp)] {
        if value == Some(0) {
            set(key, Some(Value::Boolean(false)), "false".to_owned());
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    const PORT: &str = "[[boot.ports]]\nname = \"a\"\ndevice = \"net_null0\"\n";

    fn converted(text: &str) -> (Annex, u64, Vec<String>) {
        let mut table: Toml = format!("{PORT}{text}").parse().expect("TOML");
        let said = crate::convert::document(&mut table, "", None).iter().map(ToString::to_string).collect();
        let settings = Settings::try_from(&crate::document::from_table(&table).expect("a document")).expect("good");
        assert_eq!(convert(&mut table), [], "once");
        let boot = &settings.boot;
        (boot.annex, boot.annex.octets(&boot.table, &boot.patterns), said)
    }

    #[test]
    fn defaults_of_the_older_settings_become_the_default() {
        let text = "[boot.table]\nipv4_flows = 65536\nwide_flows = 16384\nlayers_percent = 25\nperformance_percent = 50\n\
                    udp_performance_percent = 50\n[boot.patterns]\npercent = 25\n";
        let (annex, octets, said) = converted(text);
        assert_eq!((annex, said.len()), (Annex { mib: None, layers: true, tcp: true, udp: true }, 1), "{said:?}");
        assert!(
            said[0].starts_with("boot.annex.mib is now 0 (30 MiB for these tables), it was boot.table.layers_percent = 25, "),
            "{said:?}"
        );
        assert!(said[0].ends_with(&format!("({SENTENCE})")), "{said:?}");
        // 333 and 456 octets a flow, of four pools with four octets for each place.
        assert!(octets >= 65_536 * 333 + 16_384 * 456, "{octets}");
    }

    #[test]
    fn other_values_become_as_much_memory_and_zero_switches_off() {
        let flows = "[boot.table]\nipv4_flows = 1000000\nwide_flows = 100000\n";
        let (annex, octets, said) = converted(&format!("{flows}performance_percent = 100\nudp_performance_percent = 0\n"));
        assert_eq!((annex.tcp, annex.udp, annex.mib.map(|mib| mib << 20), said.len()), (true, false, Some(octets), 2), "{said:?}");
        assert!(octets >= 1_100_000 * 452 + 350_000 * 164, "{octets}");
        let (annex, octets, _) = converted(&format!("{flows}[boot.patterns]\npercent = 100\nbursts = true\n"));
        assert!(annex.mib.is_some() && octets >= 1_100_000 * 1028 + 550_000 * (452 + 132), "{octets}");
        let (annex, ..) = converted(&format!("{flows}[boot.patterns]\npercent = 100\n"));
        assert_eq!(annex.mib, None, "of patterns that nobody wanted there were none");
    }

    #[test]
    fn a_new_document_with_an_older_setting_is_refused_with_the_same_sentence() {
        for path in GONE {
            let mut table: Toml = PORT.parse().expect("TOML");
            let refused = crate::document::set(&mut table, path, "30").expect_err("gone");
            assert_eq!((refused.path.as_str(), refused.rule.as_str(), refused.found.as_str()), (path, SENTENCE, "\"30\""));
            let (section, key) = path.rsplit_once('.').expect("a path");
            let all = crate::parse_toml(&format!("{PORT}[{section}]\n{key} = 30\n")).expect_err("gone");
            assert_eq!((all.len(), all[0].path.as_str(), all[0].rule.as_str()), (1, path, SENTENCE));
        }
        let mut document = crate::parse_toml(PORT).expect("good");
        let boot = document.boot.as_mut().expect("ports");
        boot.table = Some(v1::Table { layers_percent: Some(0), ..v1::Table::default() });
        boot.patterns = Some(v1::Patterns { percent: Some(3), ..v1::Patterns::default() });
        let all = Settings::try_from(&document).expect_err("gone");
        let found: Vec<_> = all.iter().map(|v| (v.path.as_str(), v.rule.as_str(), v.found.as_str())).collect();
        assert_eq!(found, [(GONE[0], SENTENCE, "0"), (GONE[3], SENTENCE, "3")]);
    }
}
