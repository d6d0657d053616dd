//! Slots of every class are distinct, keep what is written to them, and their memory goes from one class to another.

use proptest::prelude::*;

use super::*;

const ALL: [Class; CLASSES] = [Class::Layers, Class::Tcp, Class::Udp, Class::Pattern, Class::Both];
const WANTED: Wanted = Wanted { huge: false, populate: false };

/// An annex of so many chunks that keeps everything.
fn annex(chunks: u64) -> Annex {
    let room = Room { octets: chunks * CHUNK_OCTETS as u64, layers: true, tcp: true, udp: true, patterns: Wants::ALL };
    Annex::new(room, WANTED).expect("little memory")
}

fn take_all(annex: &mut Annex, class: Class) -> Vec<u32> {
    std::iter::from_fn(|| annex.take(class)).collect()
}

/// Writes a number to the first and the last word of whatever the slot holds.
fn mark(annex: &mut Annex, class: Class, place: u32, number: u32) {
    let ends = |words: &mut [u32]| {
        *words.first_mut().expect("words") = number;
        *words.last_mut().expect("words") = number;
    };
    match class {
        Class::Tcp => {
            let (ways, rest) = annex.tcp_mut(place).expect("a slot");
            ends(bytemuck::cast_slice_mut(std::slice::from_mut(ways)));
            ends(bytemuck::cast_slice_mut(std::slice::from_mut(rest)));
        }
        Class::Udp => ends(bytemuck::cast_slice_mut(std::slice::from_mut(annex.udp_mut(place).expect("a slot")))),
        Class::Layers | Class::Pattern | Class::Both => {
            let extras = Extras::new(class, place);
            if let Some(layers) = annex.layers_mut(extras) {
                ends(bytemuck::cast_slice_mut(std::slice::from_mut(layers)));
            }
            if let Some(pattern) = annex.pattern_mut(extras) {
                ends(bytemuck::cast_slice_mut(std::slice::from_mut(pattern)));
            }
        }
    }
}

/// All that [`mark`] wrote.
fn marks(annex: &Annex, class: Class, place: u32) -> Vec<u32> {
    let ends = |words: &[u32]| [*words.first().expect("words"), *words.last().expect("words")];
    let mut found = Vec::new();
    match class {
        Class::Tcp => {
            let (ways, rest) = annex.tcp(place).expect("a slot");
            found.extend(ends(bytemuck::cast_slice(std::slice::from_ref(ways))));
            found.extend(ends(bytemuck::cast_slice(std::slice::from_ref(rest))));
        }
        Class::Udp => found.extend(ends(bytemuck::cast_slice(std::slice::from_ref(annex.udp(place).expect("a slot"))))),
        Class::Layers | Class::Pattern | Class::Both => {
            let extras = Extras::new(class, place);
            found.extend(annex.layers(extras).into_iter().flat_map(|layers| ends(bytemuck::cast_slice(std::slice::from_ref(layers)))));
            found.extend(annex.pattern(extras).into_iter().flat_map(|state| ends(bytemuck::cast_slice(std::slice::from_ref(state)))));
        }
    }
    found
}

#[test]
fn chunks_hold_as_many_slots_as_fit() {
    assert_eq!(SLOTS, [25, 9, 32, 4, 3]);
}

#[test]
fn no_slot_holds_nothing() {
    let mut annex = annex(1);
    assert!(annex.tcp(0).is_none() && annex.tcp_mut(0).is_none() && annex.udp(0).is_none() && annex.udp_mut(0).is_none());
    assert!(annex.layers(Extras::NONE).is_none() && annex.pattern(Extras::NONE).is_none());
    annex.give_back(Class::Tcp, 0);
    annex.prefetch_ways(0, 1);
    annex.prefetch_rest(u32::MAX, 0..5);
    assert_eq!((annex.unused, annex.take(Class::Layers)), (1, Some(1 << SLOT_BITS)));
}

#[test]
fn memory_of_one_class_is_used_by_another_when_it_is_free() {
    let mut annex = annex(20);
    let udp = take_all(&mut annex, Class::Udp);
    assert_eq!(udp.len(), 20 * 32);
    assert_eq!((annex.take(Class::Tcp), annex.take(Class::Layers)), (None, None));
    for place in udp.iter().filter(|place| **place >> SLOT_BITS != 20) {
        annex.give_back(Class::Udp, *place);
    }
    assert_eq!(take_all(&mut annex, Class::Tcp).len(), 19 * 9);
    assert_eq!((annex.take(Class::Udp), annex.take(Class::Pattern)), (None, None));
    annex.give_back(Class::Udp, 20 << SLOT_BITS | 7);
    assert_eq!((annex.take(Class::Udp), annex.take(Class::Udp)), (Some(20 << SLOT_BITS | 7), None));
}

#[test]
fn the_order_of_precedence_says_who_may_go_on() {
    let mut annex = annex(100);
    let taken = [Class::Both, Class::Pattern, Class::Udp, Class::Tcp, Class::Layers].map(|class| {
        let before = annex.unused;
        take_all(&mut annex, class);
        before - annex.unused
    });
    assert_eq!(taken, [90, 0, 6, 2, 2]);
}

#[test]
fn what_is_not_kept_gets_no_memory() {
    let room = Room { octets: 1 << 20, layers: true, tcp: false, udp: true, patterns: Wants::NONE };
    let mut annex = Annex::new(room, WANTED).expect("little memory");
    assert_eq!((annex.take(Class::Tcp), annex.take(Class::Pattern), annex.take(Class::Both)), (None, None, None));
    assert!(annex.take(Class::Udp).is_some() && annex.keeps(Class::Layers) && !annex.keeps(Class::Tcp) && annex.follows());
    assert!(!Annex::new(Room { udp: false, ..room }, WANTED).expect("little memory").follows());
}

#[test]
fn room_for_shares_is_enough_for_all_of_them_in_any_order() {
    let shares = Shares { layers: 700, tcp: 1000, udp: 900, patterns: 100, both: 300 };
    let mut order: Vec<(Class, usize)> = ALL.into_iter().zip([700, 1000, 900, 100, 300]).collect();
    for _ in 0..CLASSES {
        order.rotate_left(1);
        let mut annex = Annex::new(Room::of(shares, Wants::ALL), WANTED).expect("little memory");
        for (class, count) in &order {
            let found = (0..*count).filter(|_| annex.take(*class).is_some()).count();
            assert_eq!(found, *count, "{class:?} in {order:?}");
        }
    }
    assert_eq!(Room::of(Shares::default(), Wants::ALL), Room::NONE);
}

#[test]
fn a_flow_with_layers_and_a_pattern_has_one_handle_for_both() {
    let mut annex = annex(100);
    let extras = annex.keep_layers(&Layers::default()).expect("memory");
    assert_eq!((extras.class(), annex.keep_pattern(extras)), (Class::Both, Some(extras)));
    let pattern = annex.keep_pattern(Extras::NONE).expect("memory");
    assert_eq!((pattern.class(), annex.layers(pattern).is_none()), (Class::Pattern, true));
    take_all(&mut annex, Class::Both);
    let extras = annex.keep_layers(&Layers::default()).expect("the last tenth is for layers");
    assert_eq!((extras.class(), annex.keep_pattern(extras), annex.pattern(extras).is_none()), (Class::Layers, None, true));
}

#[test]
fn growing_keeps_places_and_what_stands_there() {
    let mut annex = annex(30);
    let mut held = Vec::new();
    for (number, class) in (1..).zip(ALL.into_iter().cycle().take(100)) {
        if let Some(place) = annex.take(class) {
            mark(&mut annex, class, place, number);
            held.push((class, place, number));
        }
    }
    let (class, place, _) = held.swap_remove(3);
    annex.give_back(class, place);
    assert!(annex.is_low());
    annex.grow(Room { octets: 1 << 30, ..annex.room }).expect("little memory");
    assert!(!annex.is_low() && annex.room.octets == 4 * 128 * CHUNK_OCTETS as u64);
    for (class, place, number) in &held {
        assert!(marks(&annex, *class, *place).iter().all(|found| found == number));
    }
    let more = take_all(&mut annex, Class::Layers);
    assert!(more.len() > 400 * 25 && held.iter().all(|(class, place, _)| *class != Class::Layers || !more.contains(place)));
    annex.grow(annex.room).expect("nothing to do");
    assert!(!annex.is_low(), "it is as large as it may be");
}

proptest! {
    #[test]
    fn slots_are_distinct_and_memory_is_never_lost(steps in proptest::collection::vec((0..CLASSES, any::<bool>(), any::<prop::sample::Index>()), 1..400)) {
        let mut annex = annex(24);
        let mut held: Vec<(Class, u32, u32)> = Vec::new();
        for (number, (class, take, which)) in (1..).zip(steps) {
            if take {
                let class = ALL[class];
                if let Some(place) = annex.take(class) {
                    mark(&mut annex, class, place, number);
                    held.push((class, place, number));
                }
            } else if !held.is_empty() {
                let (class, place, _) = held.swap_remove(which.index(held.len()));
                annex.give_back(class, place);
            }
            for (class, place, number) in &held {
                prop_assert!(marks(&annex, *class, *place).iter().all(|found| found == number));
            }
        }
        for (class, place, _) in held {
            annex.give_back(class, place);
        }
        prop_assert_eq!(annex.unused, 24);
        prop_assert_eq!(take_all(&mut annex, Class::Layers).len(), 24 * 25);
    }
}
