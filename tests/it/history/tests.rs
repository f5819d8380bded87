//! The checker itself: what it would let pass, it does not check.
