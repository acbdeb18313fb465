//! `report.html`: a run's curves and samples in one self-contained page.

pub mod charts;
