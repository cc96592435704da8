//! Equal items of a list.

use std::collections::HashMap;
use std::hash::Hash;

/// The first item that equals an earlier one: the places of the earlier one and of it. Takes time
/// in proportion to the number of items.
pub(crate) fn first_equal<T: Eq + Hash>(items: impl Iterator<Item = T>) -> Option<(usize, usize)> {
    let mut places = HashMap::new();
    items.enumerate().find_map(|(second, item)| {
        let first = *places.entry(item).or_insert(second);
        (first != second).then_some((first, second))
    })
}

#[cfg(test)]
mod tests {
    use super::first_equal;

    #[test]
    fn the_first_pair_is_found() {
        assert_eq!(first_equal([3, 1, 2].into_iter()), None);
        assert_eq!(first_equal([3, 1, 2, 1, 3].into_iter()), Some((1, 3)));
        assert_eq!(first_equal(std::iter::empty::<u8>()), None);
    }
}
