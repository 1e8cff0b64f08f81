//! The parts of a model or of a call that errors speak of. Their table is `whats.rs`, which
//! `build.rs` reads, too.

macro_rules! whats {
    ($($name:ident $text:literal)*) => {
        /// The part of the model or of the call that an error speaks of.
        #[derive(Clone, Copy, Debug)]
        #[repr(u8)]
        pub enum What { $(#[doc = concat!("\"", $text, "\"")] $name,)* }

        impl What {
            /// The words of the parts, in the order of the table.
            pub(super) const TEXTS: &'static [&'static str] = &[$($text,)*];
        }
    };
}

include!("whats.rs");
