//! End to end: the binary as a person runs it, in temporary folders.

mod cli;
