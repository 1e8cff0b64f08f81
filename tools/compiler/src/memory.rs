//! Where values lie: each gets a place that no other value has while it is needed.

use std::time::{Duration, Instant};

/// A stretch of memory that is needed for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Units of memory.
    pub size: usize,
    /// First step at which it holds something.
    pub from: usize,
    /// Last step at which it is read.
    pub to: usize,
}

impl Need {
    fn overlaps(&self, other: &Need) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

/// Tries of the search for a better layout; the result depends on them, not on the time they take.
const TRIES: u64 = 4000;

/// Offsets for all needs, and the size of the memory.
///
/// Takes the best of first fit in order of time, best fit in order of size, and a search from
/// there, which ends at the lower bound, after a fixed number of tries or after `limit`.
pub fn plan(needs: &[Need], limit: Duration) -> (Vec<usize>, usize) {
    let bound = peak(needs);
    let mut in_time: Vec<usize> = (0..needs.len()).collect();
    in_time.sort_by_key(|&i| (needs[i].from, i));
    let mut best = place(needs, &in_time);
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(needs[i].size), needs[i].from, i));
    let by_size = place(needs, &order);
    if by_size.1 < best.1 {
        best = by_size;
    } else {
        order = in_time;
    }
    let (start, mut random) = (Instant::now(), 0x9E37_79B9_7F4A_7C15u64);
    for _ in 0..TRIES {
        if best.1 <= bound || needs.len() < 2 || start.elapsed() >= limit {
            break;
        }
        let mut pick = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % needs.len() as u64) as usize
        };
        let mut tried = order.clone();
        let moved = tried.remove(pick());
        tried.insert(pick().min(tried.len()), moved);
        let result = place(needs, &tried);
        if result.1 <= best.1 {
            (best, order) = (result, tried);
        }
    }
    best
}

/// The most that is needed at any one time: no layout is smaller.
pub fn peak(needs: &[Need]) -> usize {
    let at =
        |step: usize| needs.iter().filter(|n| n.from <= step && step <= n.to).map(|n| n.size).sum();
    needs.iter().map(|n| at(n.from)).max().unwrap_or(0)
}

/// Places needs in the given order, each into the smallest gap that is large enough.
fn place(needs: &[Need], order: &[usize]) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; needs.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    for &i in order {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| needs[i].overlaps(&needs[j]))
            .map(|&j| (offsets[j], offsets[j] + needs[j].size))
            .collect();
        taken.sort_unstable();
        let (mut at, mut best) = (0, None::<(usize, usize)>);
        for (from, to) in taken {
            if from >= at + needs[i].size && best.is_none_or(|(gap, _)| from - at < gap) {
                best = Some((from - at, at));
            }
            at = at.max(to);
        }
        offsets[i] = best.map_or(at, |(_, at)| at);
        total = total.max(offsets[i] + needs[i].size);
        placed.push(i);
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn needs() -> impl Strategy<Value = Vec<Need>> {
        let need = (1usize..100, 0usize..20, 0usize..6).prop_map(|(size, from, length)| Need {
            size,
            from,
            to: from + length,
        });
        prop::collection::vec(need, 1..25)
    }

    proptest! {
        #[test]
        fn nothing_is_overwritten(needs in needs()) {
            let (offsets, total) = plan(&needs, Duration::from_secs(1));
            prop_assert!(total >= peak(&needs));
            for i in 0..needs.len() {
                prop_assert!(offsets[i] + needs[i].size <= total);
                for j in 0..i {
                    let apart = offsets[i] + needs[i].size <= offsets[j] || offsets[j] + needs[j].size <= offsets[i];
                    prop_assert!(apart || !needs[i].overlaps(&needs[j]));
                }
            }
            let (again, _) = plan(&needs, Duration::from_secs(1));
            prop_assert_eq!(offsets, again);
        }

        #[test]
        fn never_worse_than_in_order_of_time(needs in needs()) {
            let mut order: Vec<usize> = (0..needs.len()).collect();
            order.sort_by_key(|&i| (needs[i].from, i));
            prop_assert!(plan(&needs, Duration::ZERO).1 <= place(&needs, &order).1);
        }
    }
}
