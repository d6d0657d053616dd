//! Settings documents, and `--set path=value`.

use sonde_proto::v1;
use sonde_settings::{Settings, Trust, convert, document, parse_toml};

/// A TOML document. A first line `#set path=value` is done to it.
///
/// It is refused with violations that say something, or it is good, and then it can be written and read again.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some((path, value)) = text.lines().next().and_then(|line| line.strip_prefix("#set ")?.split_once('='))
        && let Ok(mut table) = document::parse_table(text)
    {
        let before = table.clone();
        if document::set(&mut table, path, value).is_err() {
            assert_eq!(table, before, "a refusal changed the document");
        }
    }
    let checked = parse_toml(text).and_then(|found| Settings::try_from(&found));
    match checked {
        Err(violations) => {
            assert!(!violations.is_empty(), "refused without a reason");
            assert!(violations.iter().all(|violation| !violation.rule.is_empty()), "{violations:?}");
        }
        Ok(settings) => {
            names_nothing_unseen(&settings);
            let text = document::to_toml(&v1::Settings::from(&settings));
            let again = parse_toml(&text).and_then(|found| Settings::try_from(&found));
            assert_eq!(again, Ok(settings), "{text}");
        }
    }
}

/// What names a file, a socket or an argument of EAL is never taken from a caller that no profile allows it; a profile allows itself; and
/// what is converted once is good.
fn names_nothing_unseen(settings: &Settings) {
    let nobody = Trust::unknown(None);
    let document = v1::Settings::from(settings);
    if nobody.violations(settings).is_empty() {
        assert!(settings.boot.eal.extra_args.is_empty(), "{document:?}");
        assert!(settings.boot.ports.iter().all(|port| !port.device.as_str().contains(['/', ':'])), "{document:?}");
        let mut named = settings.live.enrichment.clone();
        named.networks.clear();
        assert!(named.is_empty(), "{document:?}");
    }
    if let Ok(own) = Trust::of(settings, &v1::Trust::default()) {
        assert_eq!(own.violations(settings), [], "a profile allows what it names");
    }
    let (converted, _) = convert::settings(settings, &nobody);
    let again = Settings::try_from(&converted).expect("converted settings are good");
    assert_eq!(convert::settings(&again, &nobody).1, [], "once is enough");
}
