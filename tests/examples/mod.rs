//! The examples, started as their readers would start them.

mod embed;
