//! What a profile's cluster contains.
