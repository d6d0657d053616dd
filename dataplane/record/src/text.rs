//! Strings in a fact: a server name, a URL.
//!
//! A string is one word with its length in octets (16 bits) and whether it was cut (bit 16), then its octets, eight a word, zeros behind
//! them. It is cut to the most octets that its fact allows: between two characters where it is UTF-8, else at that octet.

use crate::word::pack;

/// The string was longer.
const CUT: u64 = 1 << 16;

/// A string of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its octets, as the network sent them: not always UTF-8.
    pub octets: Vec<u8>,
    /// Whether it was longer.
    pub cut: bool,
}

/// Words of a string of so many octets at most.
pub const fn words(octets_max: usize) -> usize {
    1 + octets_max.div_ceil(8)
}

/// Writes a string, cut to `octets_max`, at the beginning of `words`; how many words it is. 0, and nothing is written, when there is no room.
pub fn put(words: &mut [u64], octets: &[u8], octets_max: usize) -> usize {
    let most = octets_max.min(u16::MAX.into());
    let kept = octets.get(..boundary(octets, most)).unwrap_or_default();
    let length = self::words(kept.len());
    let Some((head, places)) = words.get_mut(..length).and_then(<[u64]>::split_first_mut) else { return 0 };
    *head = kept.len() as u64 | if kept.len() < octets.len() { CUT } else { 0 };
    for (place, part) in places.iter_mut().zip(kept.chunks(8)) {
        let mut eight = [0; 8];
        eight.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        *place = pack(eight);
    }
    length
}

/// Reads a string at the beginning of `words`, and what follows it. `None` when it says to be longer than there are words. Trusts nothing.
pub fn get(words: &[u64]) -> Option<(Text, &[u64])> {
    let (head, rest) = words.split_first()?;
    let length = usize::try_from(head & 0xffff).ok()?;
    let (parts, behind) = rest.split_at_checked(length.div_ceil(8))?;
    let octets = parts.iter().flat_map(|word| word.to_le_bytes()).take(length).collect();
    (head >> 17 == 0).then_some((Text { octets, cut: head & CUT != 0 }, behind))
}

/// The length to cut to: `most`, or a little less where that would part a character of UTF-8.
fn boundary(octets: &[u8], most: usize) -> usize {
    if octets.len() <= most {
        return octets.len();
    }
    // A character has four octets at most, and those behind its first begin with 10.
    let part = |at: usize| octets.get(at).is_some_and(|octet| octet & 0xc0 == 0x80);
    (most.saturating_sub(3)..=most).rev().find(|at| !part(*at)).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(text: &[u8], most: usize) -> (Vec<u8>, bool, usize) {
        let mut room = [u64::MAX; 16];
        let length = put(&mut room, text, most);
        let (read, behind) = get(&room).expect("a string");
        assert_eq!(behind.len(), room.len() - length);
        (read.octets, read.cut, length)
    }

    #[test]
    fn a_string_survives_its_words() {
        assert_eq!(there_and_back(b"", 8), (b"".to_vec(), false, 1));
        assert_eq!(there_and_back(b"www.example", 64), (b"www.example".to_vec(), false, 3));
        assert_eq!(there_and_back(b"12345678", 8), (b"12345678".to_vec(), false, words(8)));
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(there_and_back(b"123456789", 8), (b"12345678".to_vec(), true, 2));
        assert_eq!(there_and_back("1234567\u{fc}9".as_bytes(), 8), (b"1234567".to_vec(), true, 2));
        assert_eq!(there_and_back("12345\u{1f600}".as_bytes(), 8), (b"12345".to_vec(), true, 2));
        // What is no UTF-8 is cut where it must be.
        assert_eq!(there_and_back(&[0x80; 9], 8), (vec![0x80; 8], true, 2));
    }

    #[test]
    fn what_has_no_room_is_not_written() {
        let mut room = [7; 2];
        assert_eq!((put(&mut room, b"123456789", 64), room), (0, [7; 2]));
        assert_eq!(put(&mut [], b"", 64), 0);
    }

    #[test]
    fn words_that_are_no_string_are_refused() {
        assert_eq!(get(&[]), None);
        assert_eq!(get(&[9, 0]), None, "nine octets in one word");
        assert_eq!(get(&[1 << 17]), None, "bits that mean nothing");
        let mut room = [0; 8];
        let length = put(&mut room, b"a string of some octets", 64);
        (0..length).for_each(|end| assert_eq!(get(&room[..end]), None));
    }
}
