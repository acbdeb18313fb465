//! End to end: the binary as a person runs it, in temporary folders.

#![forbid(unsafe_code)]

mod cli;
