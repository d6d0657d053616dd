//! `boot.eal.extra_args`: the EAL arguments that are known to be harmless.
//!
//! EAL runs as root, and some of its options load a library (`-d`), write files or take devices away. So the list is of what may be
//! given, not of what may not. EAL reads options with getopt_long, which takes every unambiguous abbreviation (`--vd` for `--vdev`) and
//! short options in one word with their value (`-dFILE`): a name counts only when it is written out, and a short option that is not in
//! the list is refused with whatever follows it.

use crate::check::{Check, quote};

/// Longest argument, in octets.
const OCTETS_MAX: usize = 1024;
/// Most arguments.
const ARGUMENTS_MAX: usize = 32;

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// Nothing.
    None,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number of at most so many digits.
    Number(usize),
    /// The same, or nothing. Only behind `=`, as getopt_long has it.
    PerhapsNumber(usize),
    /// A number in hexadecimal, with 0x.
    Hex,
    /// A level ("8", "debug"), or components by pattern and their level ("pmd.net.ice*:8").
    Level,
}

/// An argument that may be given, and why it does no harm.
#[derive(Debug)]
struct Allowed {
    option: &'static str,
    value: Value,
    #[cfg_attr(not(test), expect(dead_code, reason = "docs/settings.md has them; a test compares"))]
    why: &'static str,
}

/// The whole list. docs/settings.md explains it.
const ALLOWED: &[Allowed] = &[
    Allowed { option: "--iova-mode", value: Value::Word(&["pa", "va"]), why: "the kind of addresses that devices are given" },
    Allowed { option: "--log-level", value: Value::Level, why: "how much DPDK says" },
    Allowed { option: "--legacy-mem", value: Value::None, why: "memory is reserved at the start, not as it is needed" },
    Allowed { option: "--match-allocations", value: Value::None, why: "huge pages are given back as they were taken" },
    Allowed { option: "--force-max-simd-bitwidth", value: Value::Number(3), why: "the widest vectors that drivers use" },
    Allowed { option: "--huge-worker-stack", value: Value::PerhapsNumber(7), why: "stacks of DPDK's threads in huge pages, in KiB" },
    Allowed { option: "--base-virtaddr", value: Value::Hex, why: "where memory is mapped; a hint" },
    Allowed { option: "--vfio-intr", value: Value::Word(&["legacy", "msi", "msix"]), why: "the kind of interrupts" },
    Allowed { option: "--no-hpet", value: Value::None, why: "one timer less is used" },
    Allowed { option: "--vmware-tsc-map", value: Value::None, why: "the time stamp counter of VMware" },
    Allowed { option: "--no-telemetry", value: Value::None, why: "Sonde sets it already" },
    Allowed { option: "-n", value: Value::Number(2), why: "memory channels" },
    Allowed { option: "-r", value: Value::Number(2), why: "memory ranks" },
];

/// Arguments that are asked for and refused, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("-l", "use boot.cores"),
    ("-c", "use boot.cores"),
    ("-s", "use boot.cores"),
    ("-S", "use boot.cores"),
    ("--lcores", "use boot.cores"),
    ("--main-lcore", "use boot.cores.service"),
    ("--service-corelist", "use boot.cores"),
    ("-m", "use boot.eal.memory_mib"),
    ("--socket-mem", "use boot.eal.memory_mib"),
    ("--numa-mem", "use boot.eal.memory_mib"),
    ("--socket-limit", "use boot.eal.memory_mib"),
    ("--numa-limit", "use boot.eal.memory_mib"),
    ("--no-huge", "use boot.eal.huge_pages"),
    ("--in-memory", "use boot.eal.huge_pages"),
    ("--single-file-segments", "use boot.eal.huge_pages"),
    ("--huge-unlink", "use boot.eal.huge_pages"),
    ("--huge-dir", "huge pages are anonymous: Sonde leaves no file in such a folder"),
    ("--no-pci", "use boot.eal.pci"),
    ("--vdev", "use boot.ports"),
    ("-a", "use boot.ports"),
    ("--allow", "use boot.ports"),
    ("-b", "use boot.ports"),
    ("--block", "use boot.ports"),
    ("--device-option", "use boot.ports"),
    ("-d", "it loads a library as root"),
    ("--create-uio-dev", "it makes device files"),
    ("--file-prefix", "use boot.instance"),
    ("--proc-type", "a dataplane is a DPDK primary process"),
    ("--no-shconf", "it follows from boot.eal.huge_pages"),
    ("--mbuf-pool-ops-name", "Sonde chooses the pools of its packet buffers"),
    ("--syslog", "Sonde shows what DPDK says: RUST_LOG=debug"),
    ("--telemetry", "it opens a socket beside Sonde's own"),
    ("--trace", "it writes files as root"),
    ("--trace-dir", "it writes files as root"),
    ("--trace-bufsz", "it writes files as root"),
    ("--trace-mode", "it writes files as root"),
    ("--vfio-vf-token", "a secret, and settings are shown to whoever asks for them"),
    ("--", "it would hide Sonde's own arguments"),
    ("-h", "see `dpdk-testpmd --help`"),
    ("--help", "see `dpdk-testpmd --help`"),
    ("-v", "see `sonde-dataplane --version`"),
    ("--version", "see `sonde-dataplane --version`"),
];

/// A fault of an argument: which, the rule, what was found.
pub(crate) type Fault = (usize, String, String);

/// Notes what is wrong with the arguments.
pub(crate) fn check(arguments: &[String], check: &mut Check) {
    if arguments.len() > ARGUMENTS_MAX {
        check.refuse("boot.eal.extra_args", format!("at most {ARGUMENTS_MAX} arguments"), format!("{} arguments", arguments.len()));
    }
    for (at, rule, found) in faults(arguments) {
        check.refuse(format!("boot.eal.extra_args[{at}]"), rule, found);
    }
}

/// The arguments that may be given, without the others. What stands behind a refused one without being an option went with it.
pub(crate) fn harmless(arguments: &[String]) -> Vec<String> {
    let mut kept = arguments.to_vec();
    while let Some((at, ..)) = faults(&kept).first() {
        let at = *at;
        kept.remove(at);
    }
    kept
}

fn faults(arguments: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut rest = arguments.iter().enumerate().peekable();
    while let Some((at, argument)) = rest.next() {
        let fault = |rule: String| (at, rule, quote(argument));
        if argument.is_empty() || argument.len() > OCTETS_MAX || argument.chars().any(char::is_control) {
            faults.push(fault(format!("1 to {OCTETS_MAX} octets without control characters")));
            continue;
        }
        let Some((allowed, given)) = find(argument) else {
            faults.push(fault(rule(argument)));
            continue;
        };
        let given = match (allowed.value, given) {
            (Value::None | Value::PerhapsNumber(_), given) | (_, given @ Some(_)) => given,
            // The next word is its value, whatever it looks like: getopt_long takes it.
            (_, None) => rest.next().map(|(_, value)| value.as_str()),
        };
        if !fits(allowed.value, given) {
            let found = if given.is_some_and(|given| !argument.ends_with(given)) { given.unwrap_or_default() } else { argument };
            faults.push((at, format!("{} {}", allowed.option, words(allowed.value)), quote(found)));
        }
    }
    faults
}

/// The option an argument is, by its whole name, and the value that stands in the same word.
fn find(argument: &str) -> Option<(&'static Allowed, Option<&str>)> {
    if argument.starts_with("--") {
        let (name, value) = argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)));
        return ALLOWED.iter().find(|allowed| allowed.option == name).map(|allowed| (allowed, value));
    }
    // "-n4": of a short option only digits can follow, so that no other one hides behind it.
    let name = argument.get(..2)?;
    let value = argument.get(2..).filter(|value| !value.is_empty());
    ALLOWED.iter().find(|allowed| allowed.option == name).map(|allowed| (allowed, value))
}

fn fits(value: Value, given: Option<&str>) -> bool {
    let number = |text: &str, digits: usize| (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    match (value, given) {
        (Value::None | Value::PerhapsNumber(_), None) => true,
        (Value::Word(words), Some(given)) => words.contains(&given),
        (Value::Number(digits) | Value::PerhapsNumber(digits), Some(given)) => number(given, digits),
        (Value::Hex, Some(given)) => {
            given.strip_prefix("0x").is_some_and(|digits| (1..=16).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        }
        (Value::Level, Some(given)) => {
            let clean = |b: u8| b.is_ascii_alphanumeric() || b"._-*:,".contains(&b);
            (1..=128).contains(&given.len()) && !given.starts_with('-') && given.bytes().all(clean)
        }
        (Value::None, Some(_)) | (_, None) => false,
    }
}

fn words(value: Value) -> String {
    match value {
        Value::None => "without a value".to_owned(),
        Value::Word(words) => format!("with one of {}", words.join(", ")),
        Value::Number(digits) => format!("with a whole number of at most {digits} digits"),
        Value::PerhapsNumber(digits) => format!("alone or with a whole number of at most {digits} digits behind ="),
        Value::Hex => "with an address in hexadecimal (0x100000000)".to_owned(),
        Value::Level => "with a level (\"8\"), or names and a level (\"pmd.net.ice*:8\")".to_owned(),
    }
}

/// The rule that an argument breaks which is not in the list.
fn rule(argument: &str) -> String {
    let name = argument.split('=').next().unwrap_or(argument);
    let is = |option: &str| match (option.strip_prefix("--"), name.strip_prefix("--")) {
        (Some(""), Some("")) => true,
        // An abbreviation is told what it is short for.
        (Some(long), Some(given)) => !given.is_empty() && long.starts_with(given),
        (None, None) => name.starts_with(option),
        _ => false,
    };
    let exact = REFUSED.iter().find(|(option, _)| *option == name);
    if let Some((option, instead)) = exact.or_else(|| REFUSED.iter().find(|(option, _)| is(option))) {
        return format!("an argument of the list in docs/settings.md, and {option} is not: {instead}");
    }
    let all: Vec<&str> = ALLOWED.iter().map(|allowed| allowed.option).collect();
    format!("an argument that is known to be harmless, its name written out: {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options, abbreviations of them and of what may be given, values that are none, and options that wait for a value.
    const BAD: &str = "-d -d/tmp/a.so -dFILE -d=/tmp/a.so --vdev=net_null1 --vde --vd=net_null1 --v -a -a0000:01:00.0 -b \
        --block=0000:01:00.0 --blo --file-prefix=x --file-p --proc-type=secondary --proc --huge-dir=/tmp --huge-d --syslog=local0 \
        --trace=.* --trace-dir=/tmp --trace-d=/tmp --trace-b=1 --vfio-vf-token=x --vfio-vf --create-uio-dev --telemetry --no-hug \
        --no-huge -l -l0-3 --lcores=0 -c1 -S -m -m64 --socket-mem=1 --socket-m=1 --in-memory -- -h --help -v --mbuf-pool-ops-name=x \
        --device-option=x --unknown ---d - --= -x plain /tmp/a.so --iova --iova-m=va --log-l=8 --legacy --no-tele --force-max=512 \
        --iova-mode=x --legacy-mem=1 --log-level=-d --force-max-simd-bitwidth=1e9 --base-virtaddr=7 --huge-worker-stack=/tmp \
        --huge-worker-stack= -n-d -nd/tmp/a.so -n4d -r/tmp/a.so --vfio-intr=none --iova-mode= -n --log-level";

    fn list(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|a| (*a).to_owned()).collect()
    }

    #[test]
    fn what_is_harmless_is_taken_in_every_way_it_is_written() {
        for good in [
            &["--iova-mode=va"][..],
            &["--iova-mode", "pa"],
            &["--log-level=8"],
            &["--log-level", "debug"],
            &["--log-level=pmd.net.ice*:8", "--log-level", "lib.eal:debug"],
            &["--legacy-mem"],
            &["--match-allocations"],
            &["--force-max-simd-bitwidth=512"],
            &["--huge-worker-stack"],
            &["--huge-worker-stack=2048"],
            &["--base-virtaddr=0x100000000"],
            &["--vfio-intr", "msix"],
            &["--no-hpet", "--vmware-tsc-map", "--no-telemetry"],
            &["-n", "4"],
            &["-n4", "-r2"],
            &[],
        ] {
            assert_eq!(faults(&list(good)), [], "{good:?}");
            assert_eq!(harmless(&list(good)), list(good));
        }
    }

    #[test]
    fn everything_else_is_refused_however_it_is_written() {
        for bad in BAD.split(' ').chain(["", "--log-level=a b"]) {
            let all = faults(&list(&["--no-hpet", bad]));
            assert_eq!(all.len(), 1, "{bad}: {all:?}");
            assert_eq!(all[0].0, 1, "{bad}");
            assert!(!all[0].1.is_empty());
            assert_eq!(harmless(&list(&["--no-hpet", bad])), ["--no-hpet"], "{bad}");
        }
    }

    #[test]
    fn a_value_is_a_value_whatever_it_looks_like() {
        // getopt_long takes the next word as the value: it is looked at as one.
        for bad in [&["--iova-mode", "--legacy-mem"][..], &["-n", "-d"], &["--log-level", "-d/tmp/a.so"], &["--legacy-mem", "8"]] {
            assert_eq!(faults(&list(bad)).len(), 1, "{bad:?}");
        }
        assert_eq!(harmless(&list(&["-d", "/tmp/a.so", "-n", "4"])), ["-n", "4"]);
        let rule = &faults(&list(&["--vd=x"]))[0].1;
        assert!(rule.contains("--vdev is not: use boot.ports"), "{rule}");
        let rule = &faults(&list(&["-dFILE"]))[0].1;
        assert!(rule.contains("-d is not: it loads a library as root"), "{rule}");
    }

    #[test]
    fn the_page_has_the_list_with_its_reasons() {
        let page = include_str!("../../../docs/settings.md");
        for allowed in ALLOWED {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}`", allowed.option)));
            assert!(row.is_some_and(|row| row.contains(allowed.why)), "{allowed:?} has no row in docs/settings.md");
        }
        for (option, instead) in REFUSED {
            assert!(page.contains(&format!("`{option}`")), "{option} ({instead}) is not in docs/settings.md");
        }
    }
}
