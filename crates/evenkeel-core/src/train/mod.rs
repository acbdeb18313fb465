//! Trainers, one file each.
