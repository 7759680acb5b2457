//! The controllers a Watson Assistant relies on.
