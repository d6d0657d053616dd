//! What only some flows need, beside their entries: places that a flow takes when it begins and gives back when it ends.
//!
//! A place has a number, and an entry keeps it; 0 is none. When all are taken a flow goes without, which is counted and visible in its
//! record. Sized when the table is made; only a recording's grows.

use bytemuck::Zeroable;
use sonde_memory::prefetch::{prefetch, prefetch_line};
use sonde_memory::slab::{OutOfMemory, Slab, Wanted};
use sonde_packet::Layers;
use sonde_record::fact::Fact;

/// [`Layers`] as words of a record: put together once, when the flow begins.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(crate) struct LayersWords(pub(crate) [u64; Layers::WORDS_MAX]);

/// Most places: the entry has use for the three highest bits of a number.
const PLACES_MAX: usize = 1 << 29;

/// Numbered places of one kind.
#[derive(Debug)]
pub(crate) struct Side<T: Zeroable + Copy + Send + 'static> {
    places: Slab<T>,
    /// Places given back, the last on top.
    free: Slab<u32>,
    freed: usize,
    /// Places from here on were never taken; place 0 never is.
    fresh: u32,
}

impl<T: Zeroable + Copy + Send + 'static> Side<T> {
    /// Makes `count` places.
    ///
    /// # Errors
    /// The memory is not there.
    pub(crate) fn new(count: u64, wanted: Wanted) -> Result<Self, OutOfMemory> {
        let places = usize::try_from(count.saturating_add(1)).unwrap_or(usize::MAX).min(PLACES_MAX);
        Ok(Self { places: Slab::zeroed(places, wanted)?, free: Slab::zeroed(places, wanted)?, freed: 0, fresh: 1 })
    }

    /// Bytes that `count` places take.
    pub(crate) fn footprint(count: u64) -> u64 {
        count.saturating_add(1).saturating_mul(size_of::<T>() as u64 + size_of::<u32>() as u64)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        (size_of_val(&*self.places) + size_of_val(&*self.free)) as u64
    }

    /// Whether there are no places at all.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.len() <= 1
    }

    /// Takes a place; `None` when there is none. What stands in it is its last owner's.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(top) = self.freed.checked_sub(1) {
            self.freed = top;
            return self.free.get(top).copied();
        }
        let place = self.fresh;
        if (place as usize) < self.places.len() {
            self.fresh = place.wrapping_add(1);
            return Some(place);
        }
        None
    }

    /// Gives a place back; 0 is none.
    #[inline]
    pub(crate) fn give_back(&mut self, place: u32) {
        if place != 0
            && let Some(top) = self.free.get_mut(self.freed)
        {
            *top = place;
            self.freed += 1;
        }
    }

    /// What stands at a place; `None` for 0.
    #[inline(always)]
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        if place == 0 { None } else { self.places.get(place as usize) }
    }

    /// As [`Side::get`].
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        if place == 0 { None } else { self.places.get_mut(place as usize) }
    }

    /// Asks for the first cache line of a place, and for one other. Place 0 stands for none, and its lines are always near.
    #[inline(always)]
    pub(crate) fn prefetch(&self, place: u32, line: usize) {
        if let Some(value) = self.places.get(place as usize) {
            prefetch(value);
            prefetch_line(value, line);
        }
    }

    /// Moves everything to `count` places; the numbers stay.
    ///
    /// # Errors
    /// The memory is not there; nothing has changed.
    pub(crate) fn grow(&mut self, count: u64) -> Result<(), OutOfMemory> {
        let mut larger = Self::new(count, Wanted { huge: false, populate: false })?;
        for (to, from) in larger.places.iter_mut().zip(&*self.places).take(self.fresh as usize) {
            *to = *from;
        }
        for (to, from) in larger.free.iter_mut().zip(&*self.free).take(self.freed) {
            *to = *from;
        }
        (larger.freed, larger.fresh) = (self.freed, self.fresh);
        *self = larger;
        Ok(())
    }
}

/// Numbered places of two parts: what is touched often stands together.
#[derive(Debug)]
pub(crate) struct Twin<H: Zeroable + Copy + Send + 'static, R: Zeroable + Copy + Send + 'static> {
    hot: Side<H>,
    rest: Slab<R>,
}

impl<H: Zeroable + Copy + Send + 'static, R: Zeroable + Copy + Send + 'static> Twin<H, R> {
    /// As [`Side::new`].
    ///
    /// # Errors
    /// The memory is not there.
    pub(crate) fn new(count: u64, wanted: Wanted) -> Result<Self, OutOfMemory> {
        let hot = Side::new(count, wanted)?;
        let rest = Slab::zeroed(hot.places.len(), wanted)?;
        Ok(Self { hot, rest })
    }

    /// Bytes that `count` places take.
    pub(crate) fn footprint(count: u64) -> u64 {
        Side::<H>::footprint(count).saturating_add(count.saturating_add(1).saturating_mul(size_of::<R>() as u64))
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.hot.bytes().saturating_add(size_of_val(&*self.rest) as u64)
    }

    /// As [`Side::is_empty`].
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.hot.is_empty()
    }

    /// As [`Side::take`].
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u32> {
        self.hot.take()
    }

    /// As [`Side::give_back`].
    #[inline]
    pub(crate) fn give_back(&mut self, place: u32) {
        self.hot.give_back(place);
    }

    /// As [`Side::get`].
    #[inline(always)]
    pub(crate) fn get(&self, place: u32) -> Option<(&H, &R)> {
        self.hot.get(place).zip(self.rest.get(place as usize))
    }

    /// As [`Side::get`].
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<(&mut H, &mut R)> {
        self.hot.get_mut(place).zip(self.rest.get_mut(place as usize))
    }

    /// Asks for a cache line of the part that is touched often. Place 0 stands for none, and its lines are always near.
    #[inline(always)]
    pub(crate) fn prefetch_hot(&self, place: u32, line: usize) {
        if let Some(value) = self.hot.places.get(place as usize) {
            prefetch_line(value, line);
        }
    }

    /// Asks for cache lines of the other part.
    #[inline(always)]
    pub(crate) fn prefetch_rest(&self, place: u32, lines: std::ops::Range<usize>) {
        if let Some(value) = self.rest.get(place as usize) {
            lines.for_each(|line| prefetch_line(value, line));
        }
    }

    /// As [`Side::grow`].
    ///
    /// # Errors
    /// The memory is not there; nothing has changed.
    pub(crate) fn grow(&mut self, count: u64) -> Result<(), OutOfMemory> {
        let wanted = Wanted { huge: false, populate: false };
        let places = usize::try_from(count.saturating_add(1)).unwrap_or(usize::MAX).min(PLACES_MAX);
        let mut larger = Slab::zeroed(places, wanted)?;
        self.hot.grow(count)?;
        for (to, from) in larger.iter_mut().zip(&*self.rest).take(self.hot.fresh as usize) {
            *to = *from;
        }
        self.rest = larger;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(count: u64) -> Side<u64> {
        Side::new(count, Wanted { huge: false, populate: false }).expect("little memory")
    }

    #[test]
    fn every_place_is_taken_once_until_it_is_given_back() {
        let mut side = side(100);
        let mut taken: Vec<u32> = std::iter::from_fn(|| side.take()).collect();
        taken.sort_unstable();
        assert_eq!(taken, (1..=100).collect::<Vec<_>>());
        assert_eq!(side.take(), None);
        side.give_back(7);
        side.give_back(0);
        assert_eq!((side.take(), side.take()), (Some(7), None));
    }

    #[test]
    fn no_place_holds_nothing() {
        let mut side = side(1);
        assert_eq!(side.get(0), None);
        assert_eq!(side.get_mut(0), None);
        side.prefetch(0, 2);
        side.prefetch(u32::MAX, 2);
    }

    #[test]
    fn growing_keeps_numbers_and_values() {
        let mut side = side(4);
        for value in 1..=4u64 {
            let place = side.take().expect("a place");
            *side.get_mut(place).expect("a place") = value * 10;
        }
        side.give_back(2);
        side.grow(6).expect("little memory");
        assert_eq!((side.get(1), side.get(4)), (Some(&10), Some(&40)));
        assert_eq!(std::iter::from_fn(|| side.take()).collect::<Vec<_>>(), [2, 5, 6]);
    }

    #[test]
    fn both_parts_of_a_place_move_together() {
        let mut twin = Twin::<u64, [u64; 3]>::new(2, Wanted { huge: false, populate: false }).expect("little memory");
        assert_eq!(twin.bytes(), Twin::<u64, [u64; 3]>::footprint(2));
        let places: Vec<u32> = std::iter::from_fn(|| twin.take()).collect();
        for place in &places {
            let (hot, rest) = twin.get_mut(*place).expect("a place");
            (*hot, *rest) = (u64::from(*place), [u64::from(*place) * 10; 3]);
        }
        twin.prefetch_hot(9, 0);
        twin.prefetch_rest(9, 0..2);
        twin.grow(4).expect("little memory");
        assert_eq!(places, [1, 2]);
        assert_eq!((twin.get(0), twin.get(1), twin.get(2)), (None, Some((&1, &[10; 3])), Some((&2, &[20; 3]))));
        assert_eq!(std::iter::from_fn(|| twin.take()).collect::<Vec<_>>(), [3, 4]);
    }
}
