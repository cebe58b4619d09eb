//! The library within a host: what it leaves alone, and what it does together with what is the
//! host's.

mod global;
