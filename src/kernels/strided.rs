//! Walks along neighbours that lie apart.

/// Calls `op` with each of `to` and what belongs to it in `from`: its elements `step` apart from the
/// first on.
#[inline(always)]
pub(crate) fn each<X, Y>(to: &mut [Y], from: &[X], step: usize, op: impl Fn(&mut Y, &X)) {
    // The usual steps without the counting of `step_by`, which costs the chip more than `op`. Fours
    // are written out, because a plain loop of copies becomes a call of memcpy, which goes byte by
    // byte in many firmwares.
    match step {
        1 => {
            let ((fours, last), (from_fours, _)) = (to.as_chunks_mut::<4>(), from.as_chunks::<4>());
            let done = 4 * fours.len();
            for ([p, q, r, s], [a, b, c, d]) in fours.iter_mut().zip(from_fours) {
                op(p, a);
                op(q, b);
                op(r, c);
                op(s, d);
            }
            let from = from.get(done..).unwrap_or_default();
            last.iter_mut().zip(from).for_each(|(to, from)| op(to, from));
        }
        2 => {
            let (pairs, last) = from.as_chunks::<2>();
            let (to, rest) = to.split_at_mut(pairs.len().min(to.len()));
            to.iter_mut().zip(pairs).for_each(|(to, [from, _])| op(to, from));
            rest.iter_mut().zip(last).for_each(|(to, from)| op(to, from));
        }
        step => {
            let from = from.iter().step_by(step.max(1));
            to.iter_mut().zip(from).for_each(|(to, from)| op(to, from));
        }
    }
}
