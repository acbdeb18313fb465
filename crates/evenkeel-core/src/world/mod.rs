//! The embedded assistant world.
