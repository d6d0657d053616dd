//! Countries by their codes (ISO 3166-1).

use std::fmt;

/// A country as databases name it: two letters. Codes that ISO leaves to users (`XK`, Kosovo, in MaxMind's databases) are countries too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// The country of a code of two capital letters; `None` for any other text.
    pub fn new(code: &str) -> Option<Self> {
        let code = <[u8; 2]>::try_from(code.as_bytes()).ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// Its two letters (alpha-2), ASCII.
    pub const fn alpha2(self) -> [u8; 2] {
        self.0
    }

    /// Its number, 4 to 894; 0 where ISO has none.
    pub fn numeric(self) -> u16 {
        let at = NUMBERS.binary_search_by_key(&self.0, |(code, _)| *code);
        at.ok().and_then(|at| NUMBERS.get(at)).map_or(0, |(_, number)| *number)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

/// Alpha-2 code and number of every country, sorted by code.
#[rustfmt::skip]
const NUMBERS: [([u8; 2], u16); 249] = [
    (*b"AD", 20), (*b"AE", 784), (*b"AF", 4), (*b"AG", 28), (*b"AI", 660), (*b"AL", 8), (*b"AM", 51), (*b"AO", 24), (*b"AQ", 10),
    (*b"AR", 32), (*b"AS", 16), (*b"AT", 40), (*b"AU", 36), (*b"AW", 533), (*b"AX", 248), (*b"AZ", 31), (*b"BA", 70), (*b"BB", 52),
    (*b"BD", 50), (*b"BE", 56), (*b"BF", 854), (*b"BG", 100), (*b"BH", 48), (*b"BI", 108), (*b"BJ", 204), (*b"BL", 652), (*b"BM", 60),
    (*b"BN", 96), (*b"BO", 68), (*b"BQ", 535), (*b"BR", 76), (*b"BS", 44), (*b"BT", 64), (*b"BV", 74), (*b"BW", 72), (*b"BY", 112),
    (*b"BZ", 84), (*b"CA", 124), (*b"CC", 166), (*b"CD", 180), (*b"CF", 140), (*b"CG", 178), (*b"CH", 756), (*b"CI", 384),
    (*b"CK", 184), (*b"CL", 152), (*b"CM", 120), (*b"CN", 156), (*b"CO", 170), (*b"CR", 188), (*b"CU", 192), (*b"CV", 132),
    (*b"CW", 531), (*b"CX", 162), (*b"CY", 196), (*b"CZ", 203), (*b"DE", 276), (*b"DJ", 262), (*b"DK", 208), (*b"DM", 212),
    (*b"DO", 214), (*b"DZ", 12), (*b"EC", 218), (*b"EE", 233), (*b"EG", 818), (*b"EH", 732), (*b"ER", 232), (*b"ES", 724),
    (*b"ET", 231), (*b"FI", 246), (*b"FJ", 242), (*b"FK", 238), (*b"FM", 583), (*b"FO", 234), (*b"FR", 250), (*b"GA", 266),
    (*b"GB", 826), (*b"GD", 308), (*b"GE", 268), (*b"GF", 254), (*b"GG", 831), (*b"GH", 288), (*b"GI", 292), (*b"GL", 304),
    (*b"GM", 270), (*b"GN", 324), (*b"GP", 312), (*b"GQ", 226), (*b"GR", 300), (*b"GS", 239), (*b"GT", 320), (*b"GU", 316),
    (*b"GW", 624), (*b"GY", 328), (*b"HK", 344), (*b"HM", 334), (*b"HN", 340), (*b"HR", 191), (*b"HT", 332), (*b"HU", 348),
    (*b"ID", 360), (*b"IE", 372), (*b"IL", 376), (*b"IM", 833), (*b"IN", 356), (*b"IO", 86), (*b"IQ", 368), (*b"IR", 364),
    (*b"IS", 352), (*b"IT", 380), (*b"JE", 832), (*b"JM", 388), (*b"JO", 400), (*b"JP", 392), (*b"KE", 404), (*b"KG", 417),
    (*b"KH", 116), (*b"KI", 296), (*b"KM", 174), (*b"KN", 659), (*b"KP", 408), (*b"KR", 410), (*b"KW", 414), (*b"KY", 136),
    (*b"KZ", 398), (*b"LA", 418), (*b"LB", 422), (*b"LC", 662), (*b"LI", 438), (*b"LK", 144), (*b"LR", 430), (*b"LS", 426),
    (*b"LT", 440), (*b"LU", 442), (*b"LV", 428), (*b"LY", 434), (*b"MA", 504), (*b"MC", 492), (*b"MD", 498), (*b"ME", 499),
    (*b"MF", 663), (*b"MG", 450), (*b"MH", 584), (*b"MK", 807), (*b"ML", 466), (*b"MM", 104), (*b"MN", 496), (*b"MO", 446),
    (*b"MP", 580), (*b"MQ", 474), (*b"MR", 478), (*b"MS", 500), (*b"MT", 470), (*b"MU", 480), (*b"MV", 462), (*b"MW", 454),
    (*b"MX", 484), (*b"MY", 458), (*b"MZ", 508), (*b"NA", 516), (*b"NC", 540), (*b"NE", 562), (*b"NF", 574), (*b"NG", 566),
    (*b"NI", 558), (*b"NL", 528), (*b"NO", 578), (*b"NP", 524), (*b"NR", 520), (*b"NU", 570), (*b"NZ", 554), (*b"OM", 512),
    (*b"PA", 591), (*b"PE", 604), (*b"PF", 258), (*b"PG", 598), (*b"PH", 608), (*b"PK", 586), (*b"PL", 616), (*b"PM", 666),
    (*b"PN", 612), (*b"PR", 630), (*b"PS", 275), (*b"PT", 620), (*b"PW", 585), (*b"PY", 600), (*b"QA", 634), (*b"RE", 638),
    (*b"RO", 642), (*b"RS", 688), (*b"RU", 643), (*b"RW", 646), (*b"SA", 682), (*b"SB", 90), (*b"SC", 690), (*b"SD", 729),
    (*b"SE", 752), (*b"SG", 702), (*b"SH", 654), (*b"SI", 705), (*b"SJ", 744), (*b"SK", 703), (*b"SL", 694), (*b"SM", 674),
    (*b"SN", 686), (*b"SO", 706), (*b"SR", 740), (*b"SS", 728), (*b"ST", 678), (*b"SV", 222), (*b"SX", 534), (*b"SY", 760),
    (*b"SZ", 748), (*b"TC", 796), (*b"TD", 148), (*b"TF", 260), (*b"TG", 768), (*b"TH", 764), (*b"TJ", 762), (*b"TK", 772),
    (*b"TL", 626), (*b"TM", 795), (*b"TN", 788), (*b"TO", 776), (*b"TR", 792), (*b"TT", 780), (*b"TV", 798), (*b"TW", 158),
    (*b"TZ", 834), (*b"UA", 804), (*b"UG", 800), (*b"UM", 581), (*b"US", 840), (*b"UY", 858), (*b"UZ", 860), (*b"VA", 336),
    (*b"VC", 670), (*b"VE", 862), (*b"VG", 92), (*b"VI", 850), (*b"VN", 704), (*b"VU", 548), (*b"WF", 876), (*b"WS", 882),
    (*b"YE", 887), (*b"YT", 175), (*b"ZA", 710), (*b"ZM", 894), (*b"ZW", 716),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_numbers_are_unique() {
        assert!(NUMBERS.is_sorted_by(|a, b| a.0 < b.0));
        let mut numbers: Vec<u16> = NUMBERS.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!((numbers.len(), numbers.first(), numbers.last()), (249, Some(&4), Some(&894)));
    }

    #[test]
    fn a_code_has_two_capital_letters_and_maybe_a_number() {
        let number = |code: &str| Country::new(code).map(Country::numeric);
        assert_eq!([number("CZ"), number("AF"), number("ZW"), number("XK")], [Some(203), Some(4), Some(716), Some(0)]);
        assert_eq!([number("cz"), number("C"), number("CZE"), number(""), number("\u{e9}")], [None; 5]);
        assert_eq!(Country::new("CZ").unwrap().to_string(), "CZ");
    }
}
