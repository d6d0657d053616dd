//! Lists of values of one element (`basicList`, 291; RFC 6313 section 4.5.1).
//!
//! Their semantic is "ordered" (section 4.4.6): the first item is the first packet, burst or bin. A list's length is said in one octet, so it
//! has 254 octets at most.

use super::elements::Element;
use super::field::{Field, LIST_HEADER_OCTETS, cesnet_list};
use crate::cursor::Cursor;

const ORDERED: u8 = 4;

/// The longest list of one octet of length (RFC 7011 section 7).
const OCTETS_MAX: usize = 254;

/// A list in every record, of so many items.
pub(crate) const fn fixed(id: u16, items: u16) -> Field {
    cesnet_list(id, items, items)
}

/// A list of at most so many items. `least`: no record has room for fewer.
pub(crate) const fn varying(id: u16, least: u16, most: u16) -> Field {
    let field = cesnet_list(id, least, most);
    assert!(
        LIST_HEADER_OCTETS - 1 + most as usize * field.list.expect("a list").item.length as usize <= OCTETS_MAX,
        "the list is too long"
    );
    field
}

/// Octets of the heads of the chosen lists (bit n is field n), and of one item of each of them.
#[inline]
pub(crate) fn octets(fields: &[Field], chosen: u16) -> [usize; 2] {
    let lists = fields.iter().enumerate().filter(|(at, _)| chosen >> at & 1 != 0).filter_map(|(_, field)| field.list);
    lists.fold([0; 2], |[heads, each], list| [heads + LIST_HEADER_OCTETS, each + usize::from(list.item.length)])
}

/// Writes a list. The items have the element's length, or the list is nonsense.
#[inline]
pub(crate) fn put<const N: usize>(out: &mut Cursor<'_>, field: &Field, items: impl ExactSizeIterator<Item = [u8; N]>) {
    let Some(list) = field.list else { return };
    let Element { pen, id, length, .. } = list.item;
    debug_assert_eq!(usize::from(length), N, "{}", list.item.name);
    let octets = LIST_HEADER_OCTETS - 1 + N * items.len();
    out.put([u8::try_from(octets).expect("at most 254"), ORDERED]);
    out.put((id | 0x8000).to_be_bytes());
    out.put(length.to_be_bytes());
    out.put(pen.to_be_bytes());
    items.for_each(|item| out.put(item));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_encoded_as_rfc_6313_draws_it() {
        let mut out = [7; 16];
        let mut cursor = Cursor(&mut out);
        put(&mut cursor, &varying(1013, 0, 30), [[1, 2], [3, 4]].into_iter());
        assert_eq!(cursor.0, [7, 7]);
        // 13 octets, ordered; enterprise bit and 1013, items of 2, enterprise 8057.
        assert_eq!(out[..14], [13, 4, 0x83, 0xf5, 0, 2, 0, 0, 0x1f, 0x79, 1, 2, 3, 4]);
    }

    #[test]
    fn an_empty_list_has_its_head() {
        let mut out = [7; 10];
        put::<8>(&mut Cursor(&mut out), &varying(1014, 0, 30), [].into_iter());
        assert_eq!(out, [9, 4, 0x83, 0xf6, 0, 8, 0, 0, 0x1f, 0x79]);
    }
}
